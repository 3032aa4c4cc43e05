// The text form of a LoopProgram.  Values are called by the buffer's name and number.
#include "ir/loops.h"

#include <fmt/format.h>

#include <set>

namespace cpuflow::ir {
namespace {

const char* space_name(Space s) {
  static const char* names[] = {"params", "shared", "lane", "grads", "losses", "sums", "tokens", "targets", "out", "literal"};
  return names[static_cast<int>(s)];
}

const char* rows_name(Rows r) {
  static const char* names[] = {"all rows", "a tile", "one row", "register"};
  return names[static_cast<int>(r)];
}

class Printer {
 public:
  explicit Printer(const LoopProgram& p) : p_(p) {}

  std::string print() {
    out_.clear();
    for (const Function& f : p_.functions) function(f);
    std::string functions = std::move(out_);
    out_ = fmt::format("program \"{}\" shared {} grads {} losses {}\n", p_.model, p_.shared_floats, p_.grad_floats, p_.loss_floats);
    for (BufferId id = 0; id < p_.buffers.size(); ++id) buffer(id);
    return out_ + functions;
  }

 private:
  std::string name(BufferId b) const { return fmt::format("@{}", b); }

  void buffer(BufferId id) {
    const Buffer& b = p_.buffers[id];
    out_ += fmt::format("buffer {} {} [", name(id), space_name(b.space));
    for (size_t i = 0; i < b.axes.size(); ++i) out_ += fmt::format("{}{}*{}", i ? ", " : "", b.axes[i].str(), b.strides[i]);
    out_ += fmt::format("] {} at {} holds {}{}{}  # {}\n", b.floats, b.offset, rows_name(b.rows), b.history ? fmt::format(" and {} before", b.history) : "", b.persistent ? ", kept" : "", b.name);
  }

  std::string index(const Index& i) const {
    std::string s;
    for (const auto& [a, c] : i.terms) s += fmt::format("{}{}{}", s.empty() ? "" : " + ", c == 1 ? "" : fmt::format("{}*", c), a.str());
    if (i.computed != kNone) s += fmt::format("{}({})", s.empty() ? "" : " + ", expr(i.computed));
    if (i.offset != 0 || s.empty()) s += fmt::format("{}{}", s.empty() ? "" : " + ", i.offset);
    return s;
  }

  std::string place(const Place& p) const {
    std::string s = name(p.buffer) + "[";
    for (size_t i = 0; i < p.indices.size(); ++i) s += (i ? ", " : "") + index(p.indices[i]);
    return s + "]";
  }

  std::string expr(ExprId e) const {
    const Expr& x = p_.exprs[e];
    switch (x.kind) {
      case Expr::Kind::Constant:
        return fmt::format("{}", x.value);
      case Expr::Kind::Counter:
        return index(x.index);
      case Expr::Kind::Load:
        return place(x.place);
      case Expr::Kind::Random:
        return fmt::format("random(\"{}\", {})", x.text, index(x.index));
      case Expr::Kind::Apply:
        break;
    }
    std::string s = std::string(op_name(x.op)) + "(";
    for (size_t i = 0; i < x.args.size(); ++i) s += (i ? ", " : "") + expr(x.args[i]);
    return s + ")";
  }

  std::string axes(const Axes& a) const {
    std::string s;
    for (const Axis& x : a) s += (s.empty() ? "" : ", ") + x.str();
    return s;
  }

  void step(const Step& s, const std::string& in) {
    switch (s.kind) {
      case Step::Kind::Nest: {
        out_ += fmt::format("{}nest [{}] reduces from {} lanes {}\n", in, axes(s.nest.loops), s.nest.reduced, s.nest.lane);
        static const char* how[] = {"=", "sum", "max", "min", "prod"};
        for (const Store& st : s.nest.stores) {
          out_ += fmt::format("{}  {} {}{} {}\n", in, place(st.place), how[static_cast<int>(st.how)], st.accumulate ? " into" : "", expr(st.value));
        }
        break;
      }
      case Step::Kind::Product: {
        const Product& p = s.product;
        out_ += fmt::format("{}product{} [{}] m {} k {} n {}: {} {} {} {}\n", in, p.accumulate ? " into" : "", axes(p.loops), p.m.str(), p.k.str(), p.n.str(),
                            place(p.c), "=", place(p.a), place(p.b));
        break;
      }
      case Step::Kind::Pack:
        out_ += fmt::format("{}pack{} [{}] k {} n {}: {} = {}\n", in,
                            s.pack.part == Pack::Part::NewRows ? " new rows" : s.pack.part == Pack::Part::NewColumns ? " new columns" : "", axes(s.pack.loops), s.pack.k.str(), s.pack.n.str(), place(s.pack.dst), place(s.pack.src));
        break;
      case Step::Kind::Fill:
        out_ += fmt::format("{}fill{} {} {} {}\n", in, s.fill.at_start ? " at start" : "", place(s.fill.place), s.fill.floats, s.fill.value);
        break;
      case Step::Kind::Shift:
        out_ += fmt::format("{}shift {} rows {}\n", in, place(s.shift.place), s.shift.rows);
        break;
      case Step::Kind::Choose:
        out_ += fmt::format("{}{} [{}] {} k {}: {} = {}\n", in, op_name(s.choose.op), axes(s.choose.loops), s.choose.axis.str(), s.choose.k, place(s.choose.dst),
                            place(s.choose.src));
        break;
    }
  }

  void function(const Function& f) {
    out_ += fmt::format("function {} scratch {} kept {} carried {}{}\n", f.name, f.lane_floats, f.state_floats, f.carried_floats, f.row_range ? " rows" : "");
    for (const Part& part : f.parts) {
      out_ += part.loops ? fmt::format("  layers {} {}\n", part.layer.str(), part.direction > 0 ? "up" : "down") : "  once\n";
      for (const Region& r : part.regions) {
        out_ += r.has_rows ? fmt::format("    region rows {} tiles {}{} {}  # {}\n", r.row.str(), r.tile, r.chunk ? fmt::format(" chunks {}", r.chunk) : "", r.direction < 0 ? "backward" : "forward", r.name)
                           : fmt::format("    region  # {}\n", r.name);
        for (const Step& s : r.before) step(s, "      before ");
        for (const Group& g : r.groups) {
          out_ += g.by_row ? "      each row\n" : "      whole\n";
          for (const Step& s : g.steps) step(s, "        ");
        }
      }
    }
  }

  const LoopProgram& p_;
  std::string out_;
};

}  // namespace

std::string print(const LoopProgram& program) { return Printer(program).print(); }

}  // namespace cpuflow::ir
