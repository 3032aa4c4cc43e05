#include "passes/kit/bounds.h"

#include "ir/op.h"
#include "passes/kit/conditions.h"
#include "passes/kit/patterns.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Calls compute(n) for what `id` is made of, inputs first, as far as `is_known` does not say that it was; without recursion, for equations may be long.
template <class IsKnown, class Compute>
void inputs_first(const Graph& g, NodeId id, const IsKnown& is_known, const Compute& compute) {
  std::vector<NodeId> open{id};
  while (!open.empty()) {
    const NodeId n = open.back();
    const size_t before = open.size();
    if (!is_known(n) && g[n].op != Op::Carry) {
      for (const NodeId i : g[n].inputs) {
        if (!is_known(i)) open.push_back(i);
      }
    }
    if (open.size() > before) continue;
    if (!is_known(n)) compute(n);
    open.pop_back();
  }
}

/// Whether conditions on positions hide nothing of exp of a value: it has no positions, or is a number below all scores where it does not count.
bool is_limited(const Graph& g, NodeId exponent) {
  const Axes& axes = g[exponent].axes;
  if (std::none_of(axes.begin(), axes.end(), [](const Axis& a) { return a.kind == AxisKind::Position; })) return true;
  const NodeId score = g[exponent].op == Op::Sub ? g[exponent].inputs[0] : exponent;
  if (g[score].op != Op::Select) return false;
  const Node& otherwise = g[g[score].inputs[2]];
  return otherwise.op == Op::Constant && otherwise.value <= -kNoScore;
}

}  // namespace

Interval Bounds::of(NodeId id) {
  inputs_first(g_, id, [&](NodeId n) { return known_.count(n) != 0; }, [&](NodeId n) { known_[n] = compute(g_[n]); });
  return known_.at(id);
}

Interval Bounds::compute(const Node& n) {
  if (n.op == Op::Carry) return any_number();
  std::vector<Interval> inputs;
  for (const NodeId i : n.inputs) inputs.push_back(known_.at(i));
  Interval out = op_def(n.op).bounds(n, inputs.data());
  if (n.op == Op::Mul && n.inputs[0] == n.inputs[1]) out = between(std::max(out.low, 0.0), out.high, !inputs[0].has_zero());
  if (n.op == Op::Sub && (is_maximum_of(g_, n.inputs[1], n.inputs[0]) || is_logsumexp_of(g_, n.inputs[1], n.inputs[0]))) out = between(-std::numeric_limits<double>::infinity(), 0);
  if (n.op == Op::Sum && sums_positive(n)) out = between(0, out.high, true);
  return out;
}

bool Bounds::is_partial(NodeId id) {
  const Node& n = g_[id];
  switch (n.op) {
    case Op::Div: return of(n.inputs[1]).has_zero();
    case Op::Log: return !of(n.inputs[0]).above_zero();
    case Op::Sqrt: return of(n.inputs[0]).low < 0;
    case Op::Pow: return !of(n.inputs[0]).above_zero() && of(n.inputs[1]).low < 0;
    case Op::Exp: return of(n.inputs[0]).high > kLargestExponent && !is_limited(g_, n.inputs[0]);
    default: return false;
  }
}

bool Bounds::has_partial_derivative(NodeId id) {
  const Node& n = g_[id];
  if (n.op == Op::Sqrt) return !of(n.inputs[0]).above_zero();
  if (n.op == Op::Pow) return !of(n.inputs[0]).above_zero() && of(n.inputs[1]).low < 1;
  return is_partial(id);
}

bool Bounds::may_be_undefined(NodeId id) {
  const auto ends = [&](NodeId n) { return undefined_.count(n) != 0 || (!is_elementwise(g_[n].op) && g_[n].op != Op::Rename); };
  const auto undefined = [&](NodeId n) { return undefined_.count(n) != 0 && undefined_.at(n); };
  inputs_first(g_, id, ends, [&](NodeId n) {
    const std::vector<NodeId>& inputs = g_[n].inputs;
    undefined_[n] = is_partial(n) || std::any_of(inputs.begin(), inputs.end(), undefined);
  });
  return undefined(id);
}

/// A softmax's sum: of positive numbers where a condition holds that leaves each row one at least.
bool Bounds::sums_positive(const Node& sum) {
  NodeId term = sum.inputs[0];
  std::vector<NodeId> conditions;
  for (; is_zero_else(g_, term); term = g_[term].inputs[1]) conditions.push_back(g_[term].inputs[0]);
  if (conditions.empty() || !of(term).above_zero()) return false;
  return std::any_of(sum.from.begin(), sum.from.end(), [&](const Axis& s) { return hold_in_each_row(g_, conditions, s); });
}

}  // namespace cpuflow::passes
