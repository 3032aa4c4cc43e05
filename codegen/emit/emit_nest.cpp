#include "codegen/emit/emit_nest.h"

#include "ir/op.h"
#include "ir/random_draw.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <optional>
#include <set>

namespace cpuflow::codegen {
using namespace ir;

namespace {

class NestEmitter {
 public:
  NestEmitter(const LoopProgram& p, const Names& names, const Nest& nest, const std::vector<Reach>& reaches, int indent) : p_(p), names_(names), nest_(nest), reaches_(reaches), indent_(indent) {}

  std::string emit() {
    prepare();
    loops(0);
    return out_;
  }

  /// All columns of a block, for one row.
  std::string emit_block(const std::vector<std::string>& reductions) {
    prepare();
    temporaries(0);
    auto each_reduction = [&](const char* format) {
      for (size_t i = 0; i < nest_.stores.size(); ++i) {
        if (nest_.stores[i].how != Store::How::Set) line(0, fmt::format(fmt::runtime(format), fmt::arg("sum", fmt::format("sum{}", i)), fmt::arg("kept", reductions[i])));
      }
    };
    each_reduction("auto {sum} = {kept};");
    line(0, fmt::format("kernel::for_block<{}>(first, columns, [&]<class V>(int {}) __attribute__((always_inline)) {{", nest_.loops[0].size, names_.variable(nest_.loops[0])));
    temporaries(1);
    ask_ahead(1, [&](const Place& p) { return std::max<int64_t>(p_.panel, kLine) * stride(p); });
    for (size_t i = 0; i < nest_.stores.size(); ++i) {
      const Store& s = nest_.stores[i];
      const std::string value = widened_store(s.value);
      if (s.how == Store::How::Set) write(1, s, value, true);
      else line(1, fmt::format("sum{}.add({});", i, value));
    }
    line(0, "});");
    each_reduction("{kept} = {sum};");
    return out_;
  }

  /// One column of a block, if it is there: the only one where what is reduced is not 0.
  std::string emit_column(ExprId column, const std::string& reduction) {
    prepare();
    visit(column);
    const std::string v = names_.variable(nest_.loops[0]);
    line(0, fmt::format("if (const int {} = {}; {} >= first && {} < first + columns) {}.add({});", v, definition(column), v, v, reduction, definition(nest_.stores[0].value)));
    return out_;
  }

 private:
  void prepare() {
    for (size_t i = 0; i < nest_.loops.size(); ++i) depth_of_[nest_.loops[i]] = static_cast<int>(i) + 1;
    if (nest_.lane >= 0) lane_ = &nest_.loops[nest_.lane];
    for (const Store& s : nest_.stores) {
      scalar_ = scalar_ || (s.how != Store::How::Set || s.accumulate ? reduce_depth(s) > nest_.lane && lane_ && stride(s.place) != 1 : lane_ && stride(s.place) != 1);
      for (ExprId i : computed_indices(s.place)) visit(i), scalar_ = scalar_ || (lane_ && in_lane(i));
    }
    for (const Store& s : nest_.stores) {
      visit(s.value);
      if (s.how == Store::How::Set && !s.accumulate) forwarded_[s.place] = s.value;
    }
    for (const Store& s : nest_.stores) ++uses_[s.value];
  }

  void line(int depth, const std::string& text) { out_ += std::string(indent_ + 2 * depth, ' ') + text + "\n"; }

  /// What the address of a place is computed from besides counters.
  std::vector<ExprId> computed_indices(const Place& place) const {
    std::vector<ExprId> out;
    for (size_t d = 0; d < place.indices.size(); ++d) {
      if (place.indices[d].computed != kNone && names_.counts(p_.buffers[place.buffer], d)) out.push_back(place.indices[d].computed);
    }
    return out;
  }

  int64_t stride(const Place& place) const { return lane_ ? stride_along(p_, place, *lane_) : 0; }

  int depth_of_index(const Index& i) {
    int d = i.computed != kNone ? level(i.computed) : 0;
    for (auto [axis, c] : i.terms) {
      if (auto it = depth_of_.find(axis); it != depth_of_.end()) d = std::max(d, it->second);
    }
    return d;
  }

  /// Depth of the innermost loop that the value depends on.
  int level(ExprId e) {
    if (auto it = level_.find(e); it != level_.end()) return it->second;
    const Expr& x = p_.exprs[e];
    int d = 0;
    for (ExprId a : x.args) d = std::max(d, level(a));
    if (x.kind == Expr::Kind::Counter || x.kind == Expr::Kind::Random) d = std::max(d, depth_of_index(x.index));
    if (x.kind == Expr::Kind::Load) {
      if (auto it = forwarded_.find(x.place); it != forwarded_.end()) return level_[e] = level(it->second);
      for (const Index& i : x.place.indices) d = std::max(d, depth_of_index(i));
    }
    return level_[e] = d;
  }

  bool index_in_lane(const Index& i) { return i.along(*lane_) != 0 || (i.computed != kNone && in_lane(i.computed)); }

  /// Whether the value differs from lane to lane.
  bool in_lane(ExprId e) {
    if (!lane_) return false;
    if (auto it = in_lane_.find(e); it != in_lane_.end()) return it->second;
    const Expr& x = p_.exprs[e];
    bool yes = false;
    for (ExprId a : x.args) yes = yes || in_lane(a);
    if (x.kind == Expr::Kind::Counter || x.kind == Expr::Kind::Random) yes = yes || index_in_lane(x.index);
    if (x.kind == Expr::Kind::Load) {
      if (auto it = forwarded_.find(x.place); it != forwarded_.end()) return in_lane_[e] = in_lane(it->second);
      for (const Index& i : x.place.indices) yes = yes || index_in_lane(i);
    }
    return in_lane_[e] = yes;
  }

  /// Counts uses, in the order in which values are needed.
  void visit(ExprId e) {
    ++uses_[e];
    if (uses_[e] > 1) return;
    const Expr& x = p_.exprs[e];
    if (x.kind == Expr::Kind::Load) {
      if (auto it = forwarded_.find(x.place); it != forwarded_.end()) {
        visit(it->second);
        return;
      }
      for (ExprId i : computed_indices(x.place)) visit(i);
    }
    if (x.index.computed != kNone) {
      visit(x.index.computed);
      scalar_ = scalar_ || (x.kind == Expr::Kind::Random && in_lane(x.index.computed));  // draws of lanes are evenly apart
    }
    for (ExprId a : x.args) visit(a);
    order_.push_back(e);
  }

  bool atomic(ExprId e) const {
    const Expr& x = p_.exprs[e];
    return x.kind == Expr::Kind::Constant || (x.kind == Expr::Kind::Counter && x.index.terms.size() <= 1 && x.index.computed == kNone && !(lane_ && x.index.along(*lane_)));
  }

  std::map<ExprId, std::string> computed_part(const Index& index) {
    if (index.computed == kNone) return {};
    return {{index.computed, text(index.computed)}};
  }

  std::map<ExprId, std::string> indices(const Place& place) {
    std::map<ExprId, std::string> out;
    for (ExprId i : computed_indices(place)) out[i] = text(i);
    return out;
  }

  std::string load(const Expr& x) {
    const Buffer& b = p_.buffers[x.place.buffer];
    bool lanes = false, computed = false;
    if (lane_) {
      for (const Index& i : x.place.indices) {
        lanes = lanes || index_in_lane(i);
        computed = computed || (i.computed != kNone && in_lane(i.computed));
      }
    }
    std::string base = names_.buffer(x.place.buffer);
    if (!lanes) {
      const std::string element = fmt::format("{}[{}]", base, names_.offset(x.place, nullptr, indices(x.place)));
      return b.bf16 ? fmt::format("float({})", element) : element;
    }
    const int64_t step = stride(x.place);
    const char* fn = b.dtype == DType::Int ? "kernel::loadi<V>" : "kernel::load<V>";
    if (!computed && step == 1) return fmt::format("{}({} + {})", fn, base, names_.offset(x.place, nullptr, indices(x.place)));
    // neighbours in the vector are not neighbours in memory: the address is what is the same for all, and an offset for each
    const std::map<ExprId, std::string> parts = indices(x.place);
    Place same = x.place;
    std::string offsets;
    auto add = [&](const std::string& term, int64_t times) { offsets += fmt::format("{}{}{}", offsets.empty() ? "" : " + ", times == 1 ? "" : fmt::format("{} * ", times), term); };
    for (size_t d = 0; d < x.place.indices.size(); ++d) {
      const ExprId c = x.place.indices[d].computed;
      if (c == kNone || !in_lane(c)) continue;
      add("(" + parts.at(c) + ")", b.strides[d]);
      same.indices[d].computed = kNone;
    }
    if (step != 0 || !computed) add(fmt::format("kernel::ramp<V>({})", names_.variable(*lane_)), step);
    const std::string address = names_.offset(same, lane_, parts);
    return fmt::format("kernel::{}<V>({}{}, {})", b.dtype == DType::Int ? "gatheri" : "gather", names_.own_buffer(x.place.buffer), address == "0" ? "" : " + " + address, offsets);
  }

  /// The argument as a vector where another argument is one.
  std::string widened(ExprId e, bool wanted) {
    std::string t = text(e);
    if (!wanted || in_lane(e)) return t;
    switch (p_.exprs[e].dtype) {
      case DType::Real:
        return fmt::format("kernel::splat<V>({})", t);
      case DType::Int:
        return fmt::format("kernel::splati<V>({})", t);
      case DType::Bool:
        return fmt::format("kernel::splati<V>(-int({}))", t);
    }
    return t;
  }

  std::string random(ExprId e, const Expr& x) {
    const uint32_t stream = stream_number(x.text);
    const std::map<ExprId, std::string> parts = computed_part(x.index);
    if (!in_lane(e)) return fmt::format("kernel::uniform(call, {}u, {})", stream, names_.index(x.index, parts));
    return fmt::format("kernel::uniforms<V>(call, {}u, {}, {})", stream, names_.index(x.index, parts), x.index.along(*lane_));
  }

  std::string definition(ExprId e) {
    const Expr& x = p_.exprs[e];
    switch (x.kind) {
      case Expr::Kind::Constant:
        if (x.dtype == DType::Real) return float_literal(x.value);
        if (x.dtype == DType::Bool) return x.value != 0 ? "true" : "false";
        return std::to_string(static_cast<int64_t>(x.value));
      case Expr::Kind::Counter: {
        const std::map<ExprId, std::string> parts = computed_part(x.index);
        if (!in_lane(e)) return names_.index(x.index, parts);
        const int64_t c = x.index.along(*lane_);
        Index rest = x.index;
        std::erase_if(rest.terms, [&](const auto& t) { return t.first == *lane_; });
        std::string ramp = fmt::format("kernel::ramp<V>({})", names_.variable(*lane_));
        std::string out = c == 1 ? ramp : c == 0 ? "" : fmt::format("{} * {}", c, ramp);
        if (rest == Index{}) return out;
        std::string others = names_.index(rest, parts);
        return out.empty() ? others : fmt::format("{} + ({})", out, others);
      }
      case Expr::Kind::Load:
        return load(x);
      case Expr::Kind::Random:
        return random(e, x);
      case Expr::Kind::Apply:
        break;
    }
    const bool lanes = in_lane(e);
    if (x.op == Op::Select && !in_lane(x.args[0])) {
      return fmt::format("({} ? {} : {})", text(x.args[0]), widened(x.args[1], lanes), widened(x.args[2], lanes));
    }
    if (x.op == Op::ToReal && p_.exprs[x.args[0]].dtype == DType::Bool) {
      return lanes ? fmt::format("kernel::select({}, kernel::splat<V>(1.0f), kernel::splat<V>(0.0f))", text(x.args[0]))
                   : fmt::format("({} ? 1.0f : 0.0f)", text(x.args[0]));
    }
    const std::string pattern = x.rough && x.op == Op::Exp ? "exp_for_bf16({0})" : op_def(x.op).cpp;
    const bool call = std::isalpha(static_cast<unsigned char>(pattern[0])) != 0;
    std::vector<std::string> args;
    for (ExprId a : x.args) {
      std::string t = widened(a, lanes);
      if (!call) t = bracketed(t);
      args.push_back(t);
    }
    std::string out = (call ? "kernel::" : "") + pattern;
    for (size_t i = 0; i < args.size(); ++i) {
      std::string key = fmt::format("{{{}}}", i);
      for (size_t at = out.find(key); at != std::string::npos; at = out.find(key, at + args[i].size())) out.replace(at, key.size(), args[i]);
    }
    return out;
  }

  std::string text(ExprId e) {
    if (p_.exprs[e].kind == Expr::Kind::Load) {
      if (auto it = forwarded_.find(p_.exprs[e].place); it != forwarded_.end() && it->second != e) return text(it->second);
    }
    if (auto it = named_.find(e); it != named_.end()) return it->second;
    return definition(e);
  }

  /// Names what is computed outside of inner loops, what is used again, and parts of what nests deeper than compilers read (as a sum that hundreds of statements add to).
  void temporaries(int depth) {
    constexpr int kMostNested = 64;
    std::map<ExprId, int> nested;  // of those without a name
    for (ExprId e : order_) {
      if (named_.count(e) || atomic(e) || level(e) != depth) continue;
      const Expr& x = p_.exprs[e];
      const bool hoist = depth < static_cast<int>(nest_.loops.size());
      int deepest = 0;
      for (ExprId a : x.args) {
        if (const auto inner = nested.find(a); inner != nested.end()) deepest = std::max(deepest, inner->second);
      }
      if (!hoist && uses_[e] < 2 && deepest < kMostNested) {
        nested[e] = deepest + 1;
        continue;
      }
      std::string name = x.kind == Expr::Kind::Load ? fmt::format("{}_{}", identifier(p_.buffers[x.place.buffer].name), e) : fmt::format("v{}", e);
      if (x.kind == Expr::Kind::Load) name = "x_" + name;
      line(depth, fmt::format("const auto {} = {};", name, definition(e)));
      named_[e] = name;
    }
  }

  /// The number of outer loops that do not reduce: inside of all others, each step combines with the same element.
  int reduce_depth(const Store& s) const {
    int d = static_cast<int>(nest_.loops.size());
    if (s.how == Store::How::Set && !s.accumulate) return d;
    while (d > 0 && !mentions(p_, s.place, nest_.loops[static_cast<size_t>(d - 1)])) --d;
    return d;
  }

  /// The outermost loop that the place does not mention though it mentions one inside of it: its steps combine with what lies in memory, which begins as nothing.
  std::optional<int> combines_in_memory(const Store& s) const {
    if (s.how == Store::How::Set || s.accumulate) return std::nullopt;
    for (int d = 0; d < reduce_depth(s); ++d) {
      if (!mentions(p_, s.place, nest_.loops[static_cast<size_t>(d)])) return d;
    }
    return std::nullopt;
  }

  void begin_in_memory(int depth, const Store& s, int loop) {
    const int all = static_cast<int>(nest_.loops.size());
    while (loop < all && !mentions(p_, s.place, nest_.loops[static_cast<size_t>(loop)])) ++loop;
    const std::string zero = float_literal(neutral_element(s.how));
    if (loop == all) {
      const std::string at = names_.offset(s.place, nullptr, {});
      const bool lanes = lane_ && !scalar_ && stride(s.place) == 1;
      line(depth, lanes ? fmt::format("kernel::store({} + {}, kernel::splat<V>({}));", names_.buffer(s.place.buffer), at, zero) : fmt::format("{}[{}] = {};", names_.buffer(s.place.buffer), at, zero));
      return;
    }
    const Axis& axis = nest_.loops[static_cast<size_t>(loop)];
    const std::string v = names_.variable(axis);
    const bool lanes = loop == nest_.lane && !scalar_;
    line(depth, lanes ? fmt::format("kernel::for_lanes<{}>([&]<class V>(int {}) __attribute__((always_inline)) {{", axis.size, v) : fmt::format("for (int {0} = 0; {0} < {1}; ++{0}) {{", v, axis.size));
    begin_in_memory(depth + 1, s, loop + 1);
    line(depth, lanes ? "});" : "}");
  }

  static const char* accumulator(Store::How how) {
    return how == Store::How::Max ? "kernel::MaxOf" : how == Store::How::Min ? "kernel::MinOf" : how == Store::How::Prod ? "kernel::ProdOf" : "kernel::SumOf";
  }

  static std::string combine(Store::How how, const std::string& a, const std::string& b) {
    switch (how) {
      case Store::How::Max:
        return fmt::format("kernel::max({}, {})", a, b);
      case Store::How::Min:
        return fmt::format("kernel::min({}, {})", a, b);
      case Store::How::Prod:
        return fmt::format("{} * {}", a, b);
      default:
        return fmt::format("{} + {}", a, b);
    }
  }

  /// Where what is added is 0 for all of the nest unless a condition holds: "if (condition) ".
  std::string when_added(const Store& s) {
    const Expr& x = p_.exprs[s.value];
    const bool chosen = s.accumulate && s.how == Store::How::Sum && x.kind == Expr::Kind::Apply && x.op == Op::Select && level(x.args[0]) == 0 && !in_lane(x.args[0]);
    if (!chosen || p_.exprs[x.args[2]].kind != Expr::Kind::Constant || p_.exprs[x.args[2]].value != 0) return "";
    return fmt::format("if ({}) ", text(x.args[0]));
  }

  void write(int depth, const Store& s, const std::string& value, bool lanes, const std::string& when = "") {
    const Buffer& b = p_.buffers[s.place.buffer];
    if (b.rows == Rows::Register) return;
    const bool combines = s.accumulate || combines_in_memory(s);
    std::string at = fmt::format("{} + {}", names_.buffer(s.place.buffer), names_.offset(s.place, nullptr, indices(s.place)));
    std::string element = fmt::format("{}[{}]", names_.buffer(s.place.buffer), names_.offset(s.place, nullptr, indices(s.place)));
    if (!lanes && b.bf16) {
      line(depth, fmt::format("{}kernel::store({}, float({}));", when, at, value));
    } else if (!lanes) {
      line(depth, fmt::format("{}{} = {};", when, element, combines ? combine(s.how, element, value) : value));
    } else {
      std::string v = combines ? combine(s.how, fmt::format("kernel::load<V>({})", at), value) : value;
      line(depth, fmt::format("{}kernel::store({}, {});", when, at, v));
    }
  }

  /// Of the loop around which the steps of another are known.
  int depth_of_nonzeros() {
    int depth = 0;
    for (Index i : nest_.nonzeros->of.indices) {
      std::erase_if(i.terms, [&](const auto& term) { return term.first == nest_.nonzeros->loop; });
      depth = std::max(depth, depth_of_index(i));
    }
    return depth;
  }

  void find_nonzeros(int depth) {
    const Nonzeros& some = *nest_.nonzeros;
    const Names::Trip steps = names_.trip(some.loop, reaches_);
    line(depth, fmt::format("int nonzero[{}];", some.loop.size));
    line(depth, fmt::format("const int nonzeros = kernel::find_nonzeros({} + {}, {}, {}, {}, nonzero);", names_.own_buffer(some.of.buffer), names_.offset(some.of, &some.loop, {}),
                            stride_along(p_, some.of, some.loop), steps.first, steps.last));
  }

  void loops(int depth) {
    const int all = static_cast<int>(nest_.loops.size());
    const bool inside_lane = lane_ && depth > nest_.lane;
    temporaries(depth);
    for (const Store& s : nest_.stores) {
      if (combines_in_memory(s) == depth) begin_in_memory(depth, s, depth);
    }
    if (nest_.nonzeros && depth == depth_of_nonzeros()) find_nonzeros(depth);
    for (size_t i = 0; i < nest_.stores.size(); ++i) {
      const Store& s = nest_.stores[i];
      if (reduce_depth(s) != depth || depth == all) continue;
      if (lane_ && !inside_lane && !scalar_) line(depth, fmt::format("{} sum{};", accumulator(s.how), i));
      else if (inside_lane && !scalar_) line(depth, fmt::format("V sum{} = kernel::splat<V>({});", i, float_literal(neutral_element(s.how))));
      else line(depth, fmt::format("float sum{} = {};", i, float_literal(neutral_element(s.how))));
    }
    if (depth == all) {
      if (lane_ && !scalar_) ask_ahead(depth, [&](const Place& p) { return next_place(p); });
      for (size_t i = 0; i < nest_.stores.size(); ++i) {
        const Store& s = nest_.stores[i];
        const int d = reduce_depth(s);
        std::string value = widened_store(s.value);
        if (d == all) write(depth, s, value, lane_ && !scalar_, when_added(s));
        else if (lane_ && d <= nest_.lane && !scalar_) line(depth, fmt::format("sum{}.add({});", i, value));
        else line(depth, fmt::format("sum{} = {};", i, combine(s.how, fmt::format("sum{}", i), value)));
      }
      return;
    }
    const Axis& axis = nest_.loops[depth];
    const std::string v = names_.variable(axis);
    const Names::Trip count = names_.trip(axis, reaches_);
    if (depth == nest_.lane && !scalar_) {
      const std::string lanes = count.whole ? fmt::format("<{}>(", axis.size) : fmt::format("({}, {}, ", count.first, count.last);
      line(depth, fmt::format("kernel::for_lanes{}[&]<class V>(int {}) __attribute__((always_inline)) {{", lanes, v));
      loops(depth + 1);
      line(depth, "});");
    } else if (nest_.nonzeros && axis == nest_.nonzeros->loop) {
      line(depth, "for (int nth = 0; nth < nonzeros; ++nth) {");
      line(depth + 1, fmt::format("const int {} = nonzero[nth];", v));
      loops(depth + 1);
      line(depth, "}");
    } else {
      line(depth, fmt::format("for (int {} = {}; {} < {}; ++{}) {{", v, count.first, v, count.last, v));
      if (depth == nest_.lane) line(depth + 1, "using V = float;");
      loops(depth + 1);
      line(depth, "}");
    }
    for (size_t i = 0; i < nest_.stores.size(); ++i) {
      const Store& s = nest_.stores[i];
      if (reduce_depth(s) != depth) continue;
      const bool wrapped = lane_ && !inside_lane && !scalar_;
      write(depth, s, wrapped ? fmt::format("sum{}.total()", i) : fmt::format("sum{}", i), inside_lane && !scalar_);
    }
  }

  /// Elements from a place to where the next row has it, or, of rows that are too large for that, the next round of one of the nest's loops.
  int64_t next_place(const Place& p) const {
    constexpr int64_t kNear = 16384;  // bytes: what is asked for is still in the first cache when a loop comes to it
    int64_t next = names_.next_row(p);
    for (int i = 0; i < nest_.lane && std::abs(next) * p_.buffers[p.buffer].element_bytes() > kNear; ++i) next = stride_along(p_, p, nest_.loops[static_cast<size_t>(i)]);
    return next;
  }

  static constexpr int64_t kLine = 16;  // numbers: nearer ones come with those at hand

  /// Asks for what lies far away before a loop comes to it, `distance(place)` elements on: processors foresee what is read along a row, but neither where
  /// the next one begins nor what is written.
  template <class Distance>
  void ask_ahead(int depth, const Distance& distance) {
    std::set<std::pair<Place, bool>> asked;
    Step step;
    step.nest = nest_;
    for_each_place(p_, step, [&](const Place& p, Access access) {
      const bool write = writes(access);
      const int64_t next = p_.buffers[p.buffer].far ? distance(p) : 0;
      const bool computed = std::any_of(p.indices.begin(), p.indices.end(), [](const Index& i) { return i.computed != kNone; });
      if (access == Access::Own || std::abs(next) < kLine || stride(p) != 1 || computed || !asked.insert({p, write}).second) return;
      line(depth, fmt::format("kernel::will_{}({} + {} {} {});", write ? "write" : "read", names_.buffer(p.buffer), names_.offset(p, nullptr, indices(p)), next < 0 ? '-' : '+', std::abs(next)));
    });
  }

  std::string widened_store(ExprId e) {
    std::string t = text(e);
    return lane_ && !scalar_ && !in_lane(e) ? fmt::format("kernel::splat<V>({})", t) : t;
  }

  const LoopProgram& p_;
  const Names& names_;
  const Nest& nest_;
  const std::vector<Reach> reaches_;
  int indent_;
  const Axis* lane_ = nullptr;
  bool scalar_ = false;  // lanes cannot be used: one element at a time
  std::map<Axis, int> depth_of_;
  std::map<ExprId, int> level_;
  std::map<ExprId, bool> in_lane_;
  std::map<ExprId, int> uses_;
  std::map<ExprId, std::string> named_;
  std::map<Place, ExprId> forwarded_;
  std::vector<ExprId> order_;
  std::string out_;
};

}  // namespace

std::string emit_nest(const LoopProgram& program, const Names& names, const Nest& nest, const std::vector<Reach>& reaches, int indent) {
  return NestEmitter(program, names, nest, reaches, indent).emit();
}

namespace {

/// Where the value of a nest's sum over `axis` is not 0: at the column `index`, where it is `value`.
struct OneColumn {
  ExprId index, value;
};

std::optional<OneColumn> one_column(const LoopProgram& p, const Store& s, const Axis& axis) {
  const Expr& x = p.exprs[s.value];
  if (s.how != Store::How::Sum || x.kind != Expr::Kind::Apply || x.op != Op::Select) return std::nullopt;
  const Expr &equal = p.exprs[x.args[0]], &otherwise = p.exprs[x.args[2]];
  if (equal.kind != Expr::Kind::Apply || equal.op != Op::Eq || otherwise.kind != Expr::Kind::Constant || otherwise.value != 0) return std::nullopt;
  for (size_t side = 0; side < 2; ++side) {
    const Expr &counter = p.exprs[equal.args[side]], &index = p.exprs[equal.args[1 - side]];
    if (counter.kind != Expr::Kind::Counter || counter.index != Index{{{axis, 1}}, 0, kNone} || index.kind != Expr::Kind::Load) continue;
    const bool same_for_all = std::all_of(index.place.indices.begin(), index.place.indices.end(), [&](const Index& i) { return i.along(axis) == 0 && i.computed == kNone; });
    if (same_for_all) return OneColumn{equal.args[1 - side], x.args[1]};
  }
  return std::nullopt;
}

}  // namespace

std::string emit_block_nest(const LoopProgram& program, const Names& names, const Nest& nest, int number, int indent) {
  Nest all = nest;
  all.stores.clear();
  std::vector<std::string> reductions;
  std::string out, chosen;
  for (size_t i = 0; i < nest.stores.size(); ++i) {
    const std::string reduction = fmt::format("sums{}_{}[row]", number, i);
    if (const std::optional<OneColumn> c = one_column(program, nest.stores[i], nest.loops[0])) {
      Nest one = nest;
      one.lane = -1;
      one.stores = {nest.stores[i]};
      one.stores[0].value = c->value;
      chosen += NestEmitter(program, names, one, {}, indent).emit_column(c->index, reduction);
    } else {
      all.stores.push_back(nest.stores[i]);
      reductions.push_back(reduction);
    }
  }
  if (!all.stores.empty()) out = NestEmitter(program, names, all, {}, indent).emit_block(reductions);
  return out + chosen;
}

std::string block_reduction(Store::How how) {
  return how == Store::How::Max ? "kernel::RowMax" : how == Store::How::Min ? "kernel::RowMin" : how == Store::How::Prod ? "kernel::RowProd" : "kernel::RowSum";
}

}  // namespace cpuflow::codegen
