#include "passes/bounds.h"

#include "ir/op.h"
#include "passes/conditions.h"
#include "passes/patterns.h"

#include <algorithm>
#include <vector>

namespace cpuflow::passes {
using namespace ir;

Interval Bounds::of(NodeId id) {
  if (const auto known = known_.find(id); known != known_.end()) return known->second;
  const Node& n = g_[id];
  if (n.op == Op::Carry) return known_[id] = any_number();
  std::vector<Interval> inputs;
  for (const NodeId i : n.inputs) inputs.push_back(of(i));
  Interval out = op_def(n.op).bounds(n, inputs.data());
  if (n.op == Op::Mul && n.inputs[0] == n.inputs[1]) out = between(std::max(out.low, 0.0), out.high, !inputs[0].has_zero());
  if (n.op == Op::Sum && sums_positive(n)) out = between(0, out.high, true);
  return known_[id] = out;
}

bool Bounds::is_partial(NodeId id) {
  const Node& n = g_[id];
  switch (n.op) {
    case Op::Div: return of(n.inputs[1]).has_zero();
    case Op::Log: return !of(n.inputs[0]).above_zero();
    case Op::Sqrt: return of(n.inputs[0]).low < 0;
    case Op::Pow: return !of(n.inputs[0]).above_zero() && of(n.inputs[1]).low < 0;
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
  if (const auto known = undefined_.find(id); known != undefined_.end()) return known->second;
  const Node& n = g_[id];
  if (!is_elementwise(n.op) && n.op != Op::Rename) return false;
  bool undefined = is_partial(id);
  for (const NodeId i : n.inputs) undefined = undefined || may_be_undefined(i);
  return undefined_[id] = undefined;
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
