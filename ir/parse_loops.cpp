// Reads the text form that print_loops.cpp writes.
#include "ir/line_scanner.h"
#include "ir/loops.h"
#include "ir/loops_text.h"
#include "ir/op.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace cpuflow::ir {

DType usual_dtype(Op op, const std::vector<DType>& arguments) {
  switch (op) {
    case Op::Eq:
    case Op::Ne:
    case Op::Lt:
    case Op::Le:
    case Op::And:
    case Op::Or:
    case Op::Not:
      return DType::Bool;
    case Op::ToReal:
      return DType::Real;
    case Op::Select:
      return arguments.size() > 1 ? arguments[1] : DType::Real;
    default:
      break;
  }
  const bool whole = !arguments.empty() && std::all_of(arguments.begin(), arguments.end(), [](DType t) { return t == DType::Int; });
  return whole ? DType::Int : DType::Real;
}

namespace {

class LoopParser : LineScanner {
 public:
  LoopParser(const std::string& text, const std::string& path) : LineScanner(text, path) {}

  LoopProgram run() {
    each_line([&] {
      if (!at_end()) line();
    });
    return std::move(p_);
  }

 private:
  void line() {
    const size_t begin = at_;
    if (accept_word("program")) {
      program();
    } else if (accept_word("buffer")) {
      buffer();
    } else if (accept_word("let")) {
      let();
    } else if (accept_word("function")) {
      function();
    } else if (accept_word("once")) {
      need(!p_.functions.empty(), begin, "a part belongs to a function");
      p_.functions.back().parts.emplace_back();
      place_ = Where::Part;
    } else if (accept_word("layers")) {
      need(!p_.functions.empty(), begin, "a part belongs to a function");
      Part part;
      part.loops = true;
      part.layer = axis();
      part.direction = accept_word("down") ? -1 : +1;
      if (part.direction > 0) take_word("up");
      p_.functions.back().parts.push_back(part);
      place_ = Where::Part;
    } else if (accept_word("region")) {
      need(!p_.functions.empty() && !p_.functions.back().parts.empty(), begin, "a region belongs to a part: 'once' or 'layers'");
      region();
    } else {
      need(place_ >= Where::Region, begin, "expected 'program', 'buffer', 'let', 'function', 'once', 'layers' or 'region'");
      in_region();
    }
    if (!at_end()) expected("the end of the line");
  }

  void need(bool holds, size_t begin, const std::string& message) const {
    if (!holds) fail(begin, message, std::max<size_t>(1, end_ - begin));
  }

  size_t one_of(const std::vector<std::string>& names, const char* what) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == "=" ? accept('=') : accept_word(names[i].c_str())) return i;
    }
    std::string list;
    for (const std::string& n : names) list += (list.empty() ? "" : ", ") + n;
    expected(fmt::format("{} ({})", what, list));
  }

  int64_t whole(const char* what) { return number<int64_t>(what); }
  int64_t setting(const char* name) {
    take_word(name);
    return whole("a whole number");
  }

  void program() {
    p_.model = string();
    p_.panel = static_cast<int>(setting("panel"));
    p_.shared_floats = setting("shared");
    p_.grad_floats = setting("grads");
    p_.loss_floats = setting("losses");
  }

  BufferId buffer_id() {
    take('@');
    return number<BufferId>("the number of a buffer");
  }

  void buffer() {
    skip();
    const size_t begin = at_;
    const BufferId id = buffer_id();
    need(id == p_.buffers.size(), begin, fmt::format("expected @{}: buffers are numbered in order", p_.buffers.size()));
    Buffer b;
    b.bf16 = accept_word("bf16");
    b.dtype = static_cast<DType>(one_of(dtype_names(), "the type of a buffer"));
    b.space = static_cast<Space>(one_of(space_names(), "where a buffer lives"));
    list([&] {
      b.axes.push_back(axis());
      take('*');
      b.strides.push_back(whole("the distance of neighbours"));
    });
    b.floats = whole("the size of a buffer in floats");
    b.offset = setting("at");
    take_word("holds");
    b.rows = static_cast<Rows>(one_of(rows_names(), "which rows a buffer holds"));
    if (accept_word("of")) b.row = axis();
    if (accept_word("and")) {
      b.history = whole("a number of rows");
      take_word("before");
    }
    while (accept(',')) {
      if (one_of({"far", "kept"}, "what else is known of a buffer") == 0) b.far = true;
      else b.persistent = true;
    }
    if (accept_word("values")) list([&] { b.values.push_back(number<double>("a number")); });
    b.node = label();
    b.name = rest_;
    p_.buffers.push_back(b);
  }

  NodeId label() {
    if (!accept('%')) return kNoNode;
    return number<NodeId>("the number of a value");
  }

  void let() {
    take('$');
    const size_t begin = at_;
    need(number<size_t>("the number of an expression") == named_.size(), begin, fmt::format("expected ${}: expressions are numbered in order", named_.size()));
    take('=');
    named_.push_back(expr());
  }

  void function() {
    Function f;
    f.name = word("the name of a function");
    f.lane_floats = setting("scratch");
    f.state_floats = setting("kept");
    f.carried_floats = setting("carried");
    f.row_range = accept_word("rows");
    p_.functions.push_back(f);
    place_ = Where::Function;
  }

  void region() {
    Region r;
    if (accept_word("rows")) {
      r.has_rows = true;
      r.row = axis();
      r.tile = setting("tiles");
      if (accept_word("chunks")) {
        r.chunk = whole("positions of a chunk");
        r.complete = accept_word("complete");
      }
      if (accept_word("forward")) r.direction = 1;
      else if (accept_word("backward")) r.direction = -1;
    }
    r.name = rest_;
    p_.functions.back().parts.back().regions.push_back(r);
    place_ = Where::Region;
  }

  Region& here() { return p_.functions.back().parts.back().regions.back(); }

  void in_region() {
    const size_t begin = at_;
    if (accept_word("values")) {
      while (!at_end()) {
        if (text_[at_] != '%') expected("the number of a value, as in %12");
        here().nodes.push_back(label());
      }
    } else if (accept_word("before")) {
      place_ = Where::Before;
    } else if (accept_word("each")) {
      take_word("row");
      here().groups.push_back({true, {}});
      place_ = Where::Group;
    } else if (accept_word("whole")) {
      here().groups.push_back({false, {}});
      place_ = Where::Group;
    } else if (text_[at_] == '@') {
      need(place_ >= Where::Before && !steps().empty() && (steps().back().kind == Step::Kind::Nest || !steps().back().product.blocks.empty()), begin, "a store belongs to a nest");
      Step& s = steps().back();
      store(s.kind == Step::Kind::Nest ? s.nest : s.product.blocks.back());
    } else if (accept_word("and")) {
      need(in_product(), begin, "only a product has more terms");
      ProductTerm t;
      take_word("k"), t.k = axis();
      take(':');
      t.a = place();
      t.b = place();
      t.node = label();
      steps().back().product.more.push_back(t);
    } else if (accept_word("refers")) {
      need(in_product(), begin, "only a product has a reference");
      for (const char* w : {"to", "the", "first", "block", "while", "good"}) take_word(w);
      steps().back().product.total = place();
    } else if (accept_word("of")) {
      need(in_product(), begin, "only a product has blocks");
      for (const char* w : {"each", "block", "nest"}) take_word(w);
      steps().back().product.blocks.push_back(nest());
    } else {
      need(place_ >= Where::Before, begin, "expected 'values', 'before', 'each row' or 'whole'");
      steps().push_back(step());
    }
  }

  bool in_product() { return place_ >= Where::Before && !steps().empty() && steps().back().kind == Step::Kind::Product; }

  std::vector<Step>& steps() { return place_ == Where::Before ? here().before : here().groups.back().steps; }

  void reaches(Step& s) {
    while (accept_word("near")) {
      const Axis a = axis();
      const int64_t before = setting("before");
      s.reaches.push_back({a, before, setting("after")});
    }
  }

  Nest nest() {
    Nest n;
    n.loops = axes();
    take_word("reduces");
    n.reduced = static_cast<size_t>(setting("from"));
    n.lane = static_cast<int>(setting("lanes"));
    if (accept_word("where")) {
      Nonzeros some;
      some.loop = axis();
      for (const char* w : {"is", "one"}) take_word(w);
      some.most = setting("of");
      for (const char* w : {"nonzeros", "of"}) take_word(w);
      some.of = place();
      n.nonzeros = some;
    }
    return n;
  }

  Step step() {
    Step s;
    if (accept_word("nest")) {
      s.nest = nest();
      reaches(s);
    } else if (accept_word("product")) {
      s.kind = Step::Kind::Product;
      s.product.bf16 = accept_word("bf16");
      s.product.accumulate = accept_word("into");
      s.product.loops = axes();
      take_word("m"), s.product.m = axis();
      take_word("k"), s.product.k = axis();
      take_word("n"), s.product.n = axis();
      reaches(s);
      take(':');
      s.product.c = place();
      take('=');
      s.product.a = place();
      s.product.b = place();
      s.product.node = label();
    } else if (accept_word("pack")) {
      s.kind = Step::Kind::Pack;
      s.pack.bf16 = accept_word("bf16");
      if (accept_word("new")) s.pack.part = one_of({"rows", "columns"}, "which part") == 0 ? Pack::Part::NewRows : Pack::Part::NewColumns;
      s.pack.loops = axes();
      take_word("k"), s.pack.k = axis();
      take_word("n"), s.pack.n = axis();
      reaches(s);
      take(':');
      s.pack.dst = place();
      take('=');
      s.pack.src = place();
      s.pack.node = label();
    } else if (accept_word("fill")) {
      s.kind = Step::Kind::Fill;
      if (accept_word("at")) take_word("start"), s.fill.at_start = true;
      s.fill.place = place();
      s.fill.floats = whole("a number of floats");
      take_word("with");
      s.fill.value = number<double>("a number");
    } else if (accept_word("shift")) {
      s.kind = Step::Kind::Shift;
      s.shift.place = place();
      s.shift.rows = setting("rows");
    } else if (accept_word("choose")) {
      s.kind = Step::Kind::Choose;
      s.choose.op = operation();
      s.choose.loops = axes();
      s.choose.axis = axis();
      s.choose.k = setting("k");
      take(':');
      s.choose.dst = place();
      take('=');
      s.choose.src = place();
      s.choose.node = label();
    } else {
      expected("nest, product, pack, fill, shift or choose");
    }
    return s;
  }

  void store(Nest& nest) {
    Store s;
    s.place = place();
    s.how = static_cast<Store::How>(one_of(how_names(), "how values are stored"));
    s.accumulate = accept_word("into");
    s.value = expr();
    s.node = label();
    nest.stores.push_back(s);
  }

  Op operation() {
    skip();
    const size_t begin = at_;
    const std::string name = word("an operation");
    Op op;
    if (!op_by_name(name, op)) fail(begin, fmt::format("unknown operation '{}'", name), name.size());
    return op;
  }

  Place place() {
    skip();
    const size_t begin = at_;
    Place p;
    p.buffer = buffer_id();
    need(p.buffer < p_.buffers.size(), begin, fmt::format("there is no buffer @{}", p.buffer));
    list([&] { p.indices.push_back(index()); });
    need(p.indices.size() == p_.buffers[p.buffer].axes.size(), begin,
         fmt::format("expected {} indices, found {}", p_.buffers[p.buffer].axes.size(), p.indices.size()));
    return p;
  }

  bool axis_here() {
    skip();
    return at_ + 1 < end_ && std::string("bltf").find(text_[at_]) != std::string::npos && std::isdigit(static_cast<unsigned char>(text_[at_ + 1]));
  }

  Index index() {
    Index i;
    do {
      if (axis_here()) {
        i.terms.emplace_back(axis(), 1);
      } else if (accept('(')) {
        i.computed = expr();
        take(')');
      } else {
        const int64_t value = whole("an axis, a number or an expression in brackets");
        if (accept('*')) i.terms.emplace_back(axis(), value);
        else i.offset = value;
      }
    } while (accept('+'));
    return i;
  }

  ExprId add(Expr e) {
    const auto [it, fresh] = known_.try_emplace(e, static_cast<ExprId>(p_.exprs.size()));
    if (fresh) p_.exprs.push_back(std::move(e));
    return it->second;
  }

  /// Whether a number without an axis stands here: a constant.
  bool constant_here() {
    skip();
    size_t end = at_;
    while (end < end_ && std::string("+-.0123456789einfa").find(text_[end]) != std::string::npos) ++end;
    if (end == at_) return false;
    size_t behind = end;
    while (behind < end_ && text_[behind] == ' ') ++behind;
    return std::isalnum(static_cast<unsigned char>(text_[end - 1])) != 0 && (behind >= end_ || (text_[behind] != '*' && text_[behind] != '(' && text_[end] != '_')) &&
           (std::isdigit(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-' || text_.compare(at_, 3, "inf") == 0 || text_.compare(at_, 3, "nan") == 0);
  }

  ExprId expr() {
    Expr e;
    skip();
    if (accept_word("true") || accept_word("false")) {
      e.dtype = DType::Bool;
      e.value = text_[at_ - 3] == 'r' ? 1 : 0;  // the third letter from the end: t-r-ue, fa-l-se
      return add(e);
    }
    if (accept('$')) {
      const size_t begin = at_, n = number<size_t>("the number of an expression");
      need(n < named_.size(), begin, fmt::format("there is no expression ${} before", n));
      return named_[n];
    }
    if (constant_here()) {
      const size_t begin = at_;
      e.value = number<double>("a number");
      const std::string digits = text_.substr(begin, at_ - begin);
      e.dtype = digits.find_first_not_of("-0123456789") == std::string::npos ? DType::Int : DType::Real;
      return add(e);
    }
    if (at_ < end_ && text_[at_] == '@') {
      e.kind = Expr::Kind::Load;
      e.place = place();
      e.dtype = p_.buffers[e.place.buffer].dtype;
      return add(e);
    }
    if (axis_here() || (at_ < end_ && (text_[at_] == '(' || text_[at_] == '-' || std::isdigit(static_cast<unsigned char>(text_[at_]))))) {
      e.kind = Expr::Kind::Counter;
      e.dtype = DType::Int;
      e.index = index();
      return add(e);
    }
    if (accept_word("random")) {
      e.kind = Expr::Kind::Random;
      take('(');
      e.text = string();
      take(',');
      e.index = index();
      take(')');
      return add(e);
    }
    e.kind = Expr::Kind::Apply;
    e.rough = accept_word("rough");
    e.op = operation();
    const bool typed = accept(':');
    const DType type = typed ? static_cast<DType>(one_of(dtype_names(), "a type")) : DType::Real;
    take('(');
    std::vector<DType> types;
    do {
      e.args.push_back(expr());
      types.push_back(p_.exprs[e.args.back()].dtype);
    } while (accept(','));
    take(')');
    e.dtype = typed ? type : usual_dtype(e.op, types);
    return add(e);
  }

  enum class Where { Program, Function, Part, Region, Before, Group } place_ = Where::Program;
  LoopProgram p_;
  std::map<Expr, ExprId> known_;
  std::vector<ExprId> named_;
};

}  // namespace

LoopProgram parse_loops(const std::string& text, const std::string& path) { return LoopParser(text, path).run(); }

}  // namespace cpuflow::ir
