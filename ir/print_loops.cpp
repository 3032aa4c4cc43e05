// The text form of a LoopProgram; parse_loops.cpp reads it.
#include "ir/line_scanner.h"
#include "ir/loops.h"
#include "ir/loops_text.h"
#include "ir/print.h"

#include <fmt/format.h>

#include <map>

namespace cpuflow::ir {
namespace {

class Printer {
 public:
  explicit Printer(const LoopProgram& p) : p_(p), operations_(p.exprs.size()) {
    for (ExprId e = 0; e < p.exprs.size(); ++e) {  // parts come first
      for (const ExprId part : parts_of(p.exprs[e])) operations_[e] += is_named(part) ? 0 : operations_[part];
      operations_[e] += p.exprs[e].kind == Expr::Kind::Apply;
    }
  }

  std::string print() {
    const std::string program = fmt::format("program {} panel {} shared {} grads {} losses {}\n", quoted(p_.model), p_.panel, p_.shared_floats, p_.grad_floats, p_.loss_floats);
    for (BufferId id = 0; id < p_.buffers.size(); ++id) buffer(id);
    const std::string buffers = std::move(out_);
    out_.clear();
    for (const Function& f : p_.functions) function(f);
    return program + buffers + named_ + out_;
  }

 private:
  void buffer(BufferId id) {
    const Buffer& b = p_.buffers[id];
    out_ += fmt::format("buffer @{} {}{} {} [", id, b.bf16 ? "bf16 " : "", dtype_name(b.dtype), space_name(b.space));
    for (size_t i = 0; i < b.axes.size(); ++i) out_ += fmt::format("{}{}*{}", i ? ", " : "", b.axes[i].str(), b.strides[i]);
    out_ += fmt::format("] {} at {} holds {}", b.floats, b.offset, rows_name(b.rows));
    if (b.row != Axis{}) out_ += " of " + b.row.str();
    if (b.history) out_ += fmt::format(" and {} before", b.history);
    if (b.far) out_ += ", far";
    if (b.persistent) out_ += ", kept";
    if (b.space == Space::Literal) {
      out_ += " values [";
      for (size_t i = 0; i < b.values.size(); ++i) out_ += fmt::format("{}{}", i ? ", " : "", b.values[i]);
      out_ += "]";
    }
    if (b.node != kNoNode) out_ += fmt::format(" %{}", b.node);
    out_ += fmt::format("  # {}\n", b.name);
  }

  std::string index(const Index& i) {
    std::string s;
    for (const auto& [a, c] : i.terms) s += fmt::format("{}{}{}", s.empty() ? "" : " + ", c == 1 ? "" : fmt::format("{}*", c), a.str());
    if (i.computed != kNone) s += fmt::format("{}({})", s.empty() ? "" : " + ", expr(i.computed));
    if (i.offset != 0 || s.empty()) s += fmt::format("{}{}", s.empty() ? "" : " + ", i.offset);
    return s;
  }

  std::string place(const Place& p) {
    std::string s = fmt::format("@{}[", p.buffer);
    for (size_t i = 0; i < p.indices.size(); ++i) s += (i ? ", " : "") + index(p.indices[i]);
    return s + "]";
  }

  std::string constant(const Expr& x) const {
    if (x.dtype == DType::Bool) return x.value != 0 ? "true" : "false";
    std::string s = fmt::format("{}", x.value);
    const bool whole = s.find_first_not_of("-0123456789") == std::string::npos;
    return x.dtype == DType::Real && whole ? s + ".0" : s;  // 1.0 is a real number, 1 a whole one
  }

  /// Whether an expression stands in a line of its own, so that text does not double with each operation that reads the one before it twice.
  bool is_named(ExprId e) const { return operations_[e] > kMostOperations; }

  std::string expr(ExprId e) {
    if (!is_named(e)) return written_out(e);
    auto known = names_.find(e);
    if (known == names_.end()) {
      const std::string text = written_out(e);
      known = names_.emplace(e, fmt::format("${}", names_.size())).first;
      named_ += fmt::format("let {} = {}\n", known->second, text);
    }
    return known->second;
  }

  std::string written_out(ExprId e) {
    const Expr& x = p_.exprs[e];
    switch (x.kind) {
      case Expr::Kind::Constant:
        return constant(x);
      case Expr::Kind::Counter:
        return index(x.index);
      case Expr::Kind::Load:
        return place(x.place);
      case Expr::Kind::Random:
        return fmt::format("random({}, {})", quoted(x.text), index(x.index));
      case Expr::Kind::Apply:
        break;
    }
    std::vector<DType> types;
    for (ExprId a : x.args) types.push_back(p_.exprs[a].dtype);
    std::string s = (x.rough ? "rough " : "") + std::string(op_name(x.op));
    if (usual_dtype(x.op, types) != x.dtype) s += std::string(":") + dtype_name(x.dtype);
    s += "(";
    for (size_t i = 0; i < x.args.size(); ++i) s += (i ? ", " : "") + expr(x.args[i]);
    return s + ")";
  }

  static std::string axes(const Axes& a) {
    std::string s;
    for (const Axis& x : a) s += (s.empty() ? "" : ", ") + x.str();
    return s;
  }

  static std::string label(NodeId node) { return node == kNoNode ? "" : fmt::format(" %{}", node); }

  static std::string reaches(const Step& s) {
    std::string out;
    for (const Reach& r : s.reaches) out += fmt::format(" near {} before {} after {}", r.axis.str(), r.before, r.after);
    return out;
  }

  void nest(const Nest& n, const std::string& reaches, const std::string& in, const char* where = "") {
    const std::string nonzeros = n.nonzeros ? fmt::format(" where {} is one of {} nonzeros of {}", n.nonzeros->loop.str(), n.nonzeros->most, place(n.nonzeros->of)) : "";
    out_ += fmt::format("{}{}nest [{}] reduces from {} lanes {}{}{}\n", in, where, axes(n.loops), n.reduced, n.lane, nonzeros, reaches);
    for (const Store& st : n.stores) {
      out_ += fmt::format("{}  {} {}{} {}{}\n", in, place(st.place), how_name(st.how), st.accumulate ? " into" : "", expr(st.value), label(st.node));
    }
  }

  void step(const Step& s, const std::string& in) {
    switch (s.kind) {
      case Step::Kind::Nest:
        nest(s.nest, reaches(s), in);
        break;
      case Step::Kind::Product: {
        const Product& p = s.product;
        out_ += fmt::format("{}product{}{} [{}] m {} k {} n {}{}: {} = {} {}{}\n", in, p.bf16 ? " bf16" : "", p.accumulate ? " into" : "", axes(p.loops), p.m.str(), p.k.str(), p.n.str(),
                            reaches(s), place(p.c), place(p.a), place(p.b), label(p.node));
        for (const ProductTerm& t : p.more) out_ += fmt::format("{}  and k {}: {} {}{}\n", in, t.k.str(), place(t.a), place(t.b), label(t.node));
        if (p.total.buffer != kNone) out_ += fmt::format("{}  refers to the first block while good {}\n", in, place(p.total));
        for (const Nest& n : p.blocks) {
          nest(n, "", in + "  ", "of each block ");
        }
        break;
      }
      case Step::Kind::Pack: {
        static const char* parts[] = {"", " new rows", " new columns"};
        out_ += fmt::format("{}pack{}{} [{}] k {} n {}{}: {} = {}{}\n", in, s.pack.bf16 ? " bf16" : "", parts[static_cast<int>(s.pack.part)], axes(s.pack.loops), s.pack.k.str(), s.pack.n.str(),
                            reaches(s), place(s.pack.dst), place(s.pack.src), label(s.pack.node));
        break;
      }
      case Step::Kind::Fill:
        out_ += fmt::format("{}fill{} {} {} with {}\n", in, s.fill.at_start ? " at start" : "", place(s.fill.place), s.fill.floats, s.fill.value);
        break;
      case Step::Kind::Shift:
        out_ += fmt::format("{}shift {} rows {}\n", in, place(s.shift.place), s.shift.rows);
        break;
      case Step::Kind::Choose:
        out_ += fmt::format("{}choose {} [{}] {} k {}: {} = {}{}\n", in, op_name(s.choose.op), axes(s.choose.loops), s.choose.axis.str(), s.choose.k,
                            place(s.choose.dst), place(s.choose.src), label(s.choose.node));
        break;
    }
  }

  void region(const Region& r) {
    out_ += "    region";
    if (r.has_rows) {
      out_ += fmt::format(" rows {} tiles {}", r.row.str(), r.tile);
      if (r.chunk) out_ += fmt::format(" chunks {}{}", r.chunk, r.complete ? " complete" : "");
      if (r.direction != 0) out_ += r.direction > 0 ? " forward" : " backward";
    }
    out_ += fmt::format("  # {}\n", r.name);
    if (!r.nodes.empty()) {
      out_ += "      values";
      for (NodeId n : r.nodes) out_ += label(n);
      out_ += "\n";
    }
    if (!r.before.empty()) out_ += "      before\n";
    for (const Step& s : r.before) step(s, "        ");
    for (const Group& g : r.groups) {
      out_ += g.by_row ? "      each row\n" : "      whole\n";
      for (const Step& s : g.steps) step(s, "        ");
    }
  }

  void function(const Function& f) {
    out_ += fmt::format("function {} scratch {} kept {} carried {}{}\n", f.name, f.lane_floats, f.state_floats, f.carried_floats, f.row_range ? " rows" : "");
    for (const Part& part : f.parts) {
      out_ += part.loops ? fmt::format("  layers {} {}\n", part.layer.str(), part.direction > 0 ? "up" : "down") : "  once\n";
      for (const Region& r : part.regions) region(r);
    }
  }

  static constexpr uint64_t kMostOperations = 200;  // more than equations have, fewer than lines of text can bear

  const LoopProgram& p_;
  std::vector<uint64_t> operations_;  // of each expression, as they are written out in one line
  std::map<ExprId, std::string> names_;
  std::string out_, named_;
};

}  // namespace

std::string print(const LoopProgram& program) { return Printer(program).print(); }

}  // namespace cpuflow::ir
