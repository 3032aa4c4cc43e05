// Sums of which few terms are not 0: of what a top-k leaves, 8 of 512 numbers, a product of matrices would read all of the other factor and multiply it with
// zeros.  Loops that visit the nonzeros alone read 8 of its rows; the sums are the same.
#include "passes/kit/nonzeros.h"
#include "passes/kit/patterns.h"
#include "passes/lower/function_lowering.h"

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

std::optional<FewTerms> few_terms(const Graph& g, NodeId summed, int64_t at_once) {
  const Node& n = g[summed];
  std::optional<FewTerms> best;
  if (n.op != Op::Mul && !is_zero_else(g, summed)) return best;
  const std::vector<NodeId> factors = n.op == Op::Mul ? n.inputs : std::vector<NodeId>{n.inputs[0]};
  for (NodeId factor : factors) {
    for (const Axis& a : g[factor].axes) {
      if (a.kind != AxisKind::Feature && a.kind != AxisKind::Position) continue;
      const int64_t most = most_nonzeros(g, factor, a);
      if (most < a.size && most * at_once <= a.size && (!best || most * best->axis.size < best->most * a.size)) best = {factor, a, most};
    }
  }
  return best;
}

namespace {

/// The element whose being nonzero the expression is, or itself.
ExprId compared_with_zero(const LoopProgram& p, ExprId e) {
  const Expr& x = p.exprs[e];
  const bool is_nonzero = x.kind == Expr::Kind::Apply && x.op == Op::Ne && p.exprs[x.args[1]].kind == Expr::Kind::Constant && p.exprs[x.args[1]].value == 0;
  return is_nonzero ? x.args[0] : e;
}

}  // namespace

/// What is looked up of the factor, or condition, of what is summed, where it is held.
std::optional<Nonzeros> FunctionLowering::nonzeros_of(NodeId summed) {
  const std::optional<FewTerms> few = few_terms(g_, summed, b_.options.terms_at_once);
  if (!few) return std::nullopt;
  const Expr factor = b_[compared_with_zero(b_.program, pull_operand(few->factor))];
  if (factor.kind != Expr::Kind::Load || b_.program.buffers[factor.place.buffer].dtype != DType::Real || !is_affine(factor.place)) return std::nullopt;
  return Nonzeros{few->axis, factor.place, few->most};
}

/// Lets a nest that sums the multiplication visit the nonzeros alone; whether it can.
bool FunctionLowering::visit_nonzeros(Nest& nest, const Nonzeros& some) {
  const auto at = std::find(nest.loops.begin(), nest.loops.end(), some.loop);
  const Store& store = nest.stores[0];
  if (at == nest.loops.end() || at - nest.loops.begin() == nest.lane || store.how != Store::How::Sum) return false;
  const bool reduced = at - nest.loops.begin() >= static_cast<long>(nest.reduced);
  if (!reduced && !store.accumulate) return false;
  if (nest.lane >= 0 && stride_along(b_.program, some.of, nest.loops[static_cast<size_t>(nest.lane)]) != 0) return false;
  // what the numbers depend on besides is known outside of this loop; lanes stay the innermost loop of those that reduce, or of the others
  long end = static_cast<long>(reduced ? nest.loops.size() : nest.reduced);
  if (nest.lane == end - 1) --end;
  std::rotate(at, at + 1, nest.loops.begin() + end);
  nest.nonzeros = some;
  return true;
}

/// The sum of what is not 0.  Where the nonzeros stand along an axis of the result, each term is added to it as it comes.
bool FunctionLowering::build_sum_of_few(Statement& s) {
  const Node& n = g_[s.node];
  const std::optional<Nonzeros> some = n.op == Op::Sum ? nonzeros_of(n.inputs[0]) : std::nullopt;
  if (!some) return false;
  Axes out = without_batch(n.axes), over = without_batch(n.from);
  const bool scatters = contains(out, some->loop);
  if (scatters && s.cycle >= 0) return false;
  Statement fewer = s;
  if (is_product(s.node) && fewer.row && contains(over, *fewer.row)) fewer.row.reset(), fewer.reduces_rows = false;  // over all rows at once
  const Place place = own_place(s.node);
  ExprId value = condition_outside(pull(n.inputs[0], identity(g_[n.inputs[0]].axes)));
  if (chosen_terms(s.node) != kNoNode && b_[value].op == Op::Select) value = b_[value].args[1];  // where the condition holds
  if (scatters) out.insert(out.end(), over.begin(), over.end()), over.clear();
  build_nest(fewer, out, over, value, Store::How::Sum, place);
  Store& sum = fewer.steps.back().nest.stores[0];
  if (scatters && !sum.accumulate) {
    sum.accumulate = true;
    fewer.steps.insert(fewer.steps.begin(), fill_step(place));
  }
  if (!visit_nonzeros(fewer.steps.back().nest, *some)) return false;
  s = std::move(fewer);
  return true;
}

}  // namespace cpuflow::passes::lower
