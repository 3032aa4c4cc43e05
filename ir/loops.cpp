#include "ir/loops.h"

#include <algorithm>

namespace cpuflow::ir {
namespace {

class PlaceWalker {
 public:
  PlaceWalker(const LoopProgram& program, const std::function<void(const Place&, Access)>& visit) : p_(program), visit_(visit) {}

  void step(const Step& s) {
    for (const Nest* n : nests_of(s)) nest(*n);
    const Product& p = s.product;
    const Access operand = p.bf16 ? Access::Operand : Access::Read;
    switch (s.kind) {
      case Step::Kind::Nest:
        break;
      case Step::Kind::Product:
        place(p.a, operand), place(p.b, Access::Read), place(p.total, Access::Read), place(p.c, Access::Write);
        for (const ProductTerm& t : p.more) place(t.a, operand), place(t.b, Access::Read);
        break;
      case Step::Kind::Pack:
        place(s.pack.src, s.pack.bf16 ? Access::Operand : Access::Read), place(s.pack.dst, Access::Write);
        break;
      case Step::Kind::Fill:
        place(s.fill.place, Access::Write);
        break;
      case Step::Kind::Shift:
        place(s.shift.place, Access::Write);
        break;
      case Step::Kind::Choose:
        place(s.choose.src, Access::Read), place(s.choose.dst, Access::Write);
        break;
    }
  }

 private:
  void nest(const Nest& n) {
    seen_.clear(), set_.clear();
    if (n.nonzeros) place(n.nonzeros->of, Access::Read);
    for (const Store& s : n.stores) {
      const bool sets = s.how == Store::How::Set && !s.accumulate;
      expression(s.value);
      place(s.place, sets ? Access::Set : Access::Write);
      if (sets) set_.insert(s.place);
    }
    seen_.clear(), set_.clear();
  }

  void place(const Place& p, Access access) {
    if (p.buffer == kNone) return;
    for (const Index& i : p.indices) expression(i.computed);
    visit_(p, access);
  }

  void expression(ExprId e) {
    for_each_expr(p_, e, seen_, [&](const Expr& x) {
      if (x.kind == Expr::Kind::Load && x.place.buffer != kNone) visit_(x.place, set_.count(x.place) ? Access::Own : Access::Read);
    });
  }

  const LoopProgram& p_;
  const std::function<void(const Place&, Access)>& visit_;
  std::set<ExprId> seen_;  // in the nest at hand, and what it has set
  std::set<Place> set_;
};

}  // namespace

std::pair<int64_t, int64_t> Index::affine_range() const {
  int64_t low = offset, high = offset;
  for (const auto& [a, c] : terms) (c < 0 ? low : high) += c * (static_cast<int64_t>(a.size) - 1);
  return {low, high};
}

int64_t Index::along(const Axis& axis) const {
  for (const auto& [a, c] : terms) {
    if (a == axis) return c;
  }
  return 0;
}

Axes loops_of(const Step& step) {
  Axes out;
  if (step.kind == Step::Kind::Nest) return step.nest.loops;
  if (step.kind == Step::Kind::Product) {
    out = step.product.loops;
    out.insert(out.end(), {step.product.m, step.product.k, step.product.n});
    for (const ProductTerm& t : step.product.more) out.push_back(t.k);
  }
  if (step.kind == Step::Kind::Pack) {
    out = step.pack.loops;
    out.insert(out.end(), {step.pack.k, step.pack.n});
  }
  return out;
}

std::vector<const Nest*> nests_of(const Step& step) {
  if (step.kind == Step::Kind::Nest) return {&step.nest};
  std::vector<const Nest*> out;
  for (const Nest& n : step.product.blocks) out.push_back(&n);
  return out;
}

std::vector<const Step*> steps_of(const Region& region) {
  std::vector<const Step*> out;
  for (const Step& s : region.before) out.push_back(&s);
  for (const Group& g : region.groups) {
    for (const Step& s : g.steps) out.push_back(&s);
  }
  return out;
}

std::vector<ExprId> parts_of(const Expr& expr) {
  std::vector<ExprId> out = expr.args;
  auto add = [&](const Index& i) {
    if (i.computed != kNone) out.push_back(i.computed);
  };
  add(expr.index);
  for (const Index& i : expr.place.indices) add(i);
  return out;
}

void for_each_expr(const LoopProgram& program, ExprId e, std::set<ExprId>& seen, const std::function<void(const Expr&)>& visit) {
  if (e >= program.exprs.size() || !seen.insert(e).second) return;  // none, or one that the verifier has yet to refuse
  for (ExprId part : parts_of(program.exprs[e])) for_each_expr(program, part, seen, visit);
  visit(program.exprs[e]);
}

bool mentions(const LoopProgram& program, const Index& index, const Axis& axis) {
  auto along = [&](const Index& i) { return i.along(axis) != 0; };
  bool found = along(index);
  std::set<ExprId> seen;
  for_each_expr(program, index.computed, seen, [&](const Expr& x) { found = found || along(x.index) || std::any_of(x.place.indices.begin(), x.place.indices.end(), along); });
  return found;
}

bool mentions(const LoopProgram& program, const Place& place, const Axis& axis) {
  return std::any_of(place.indices.begin(), place.indices.end(), [&](const Index& i) { return mentions(program, i, axis); });
}

void for_each_place(const LoopProgram& program, const Step& step, const std::function<void(const Place&, Access)>& visit) { PlaceWalker(program, visit).step(step); }

int64_t stride_along(const LoopProgram& program, const Place& place, const Axis& axis) {
  const Buffer& b = program.buffers[place.buffer];
  int64_t stride = 0;
  for (size_t d = 0; d < b.axes.size(); ++d) stride += place.indices[d].along(axis) * b.strides[d];
  return stride;
}

int64_t panel_floats(const LoopProgram& program, int64_t k, int64_t n, bool bf16) {
  constexpr int64_t kUnitTile = 16;  // as in codegen/prelude/bf16.h
  const int64_t columns = (n + program.panel - 1) / program.panel * program.panel;
  return columns * (bf16 ? ((k + 1) / 2 + kUnitTile - 1) / kUnitTile * kUnitTile : k);
}

}  // namespace cpuflow::ir
