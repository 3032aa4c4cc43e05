#include "passes/sum_terms.h"

#include "ir/schedule.h"
#include "passes/restrict_rows.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

bool subset(const Axes& a, const Axes& b) {
  return std::all_of(a.begin(), a.end(), [&](const Axis& x) { return contains(b, x); });
}

namespace {

bool meets(const Axes& a, const Axes& b) {
  return std::any_of(a.begin(), a.end(), [&](const Axis& x) { return contains(b, x); });
}

/// A product whose factors share all summed axes, one with all axes of the other, is one factor.
bool elementwise_product(const Graph& g, const Node& m, const Axes& over) {
  const Axes &a = g[m.inputs[0]].axes, &b = g[m.inputs[1]].axes;
  const Axes& small = subset(a, b) ? a : b;
  if (!subset(a, b) && !subset(b, a)) return false;
  return std::all_of(m.axes.begin(), m.axes.end(), [&](const Axis& x) { return !contains(over, x) || contains(small, x); });
}

bool has_batch(const Axes& axes) {
  return std::any_of(axes.begin(), axes.end(), [](const Axis& a) { return a.kind == AxisKind::Batch; });
}

/// Whether a value is made from a sum over all sequences of a micro-batch.
bool sums_sequences(const Graph& g, NodeId id) {
  const std::vector<NodeId> needed = needed_by(g, {id});
  return std::any_of(needed.begin(), needed.end(), [&](NodeId i) { return has_batch(g[i].from); });
}

}  // namespace

bool may_leave(const Graph& g, NodeId factor, const Axes& over) {
  return !meets(g[factor].axes, over) && !(has_batch(over) && sums_sequences(g, factor));
}

SumTerms terms_of(const Graph& g, const Node& sum) {
  SumTerms terms;
  std::vector<NodeId> open{sum.inputs[0]};
  while (!open.empty()) {
    NodeId f = open.back();
    open.pop_back();
    const Node& m = g[f];
    const bool zero_else = m.op == Op::Select && g[m.inputs[2]].op == Op::Constant && g[m.inputs[2]].value == 0;
    if (m.op == Op::Mul && !elementwise_product(g, m, sum.from)) {
      open.push_back(m.inputs[1]);
      open.push_back(m.inputs[0]);
    } else if (zero_else) {
      for (NodeId c : conjuncts(g, m.inputs[0])) terms.conditions.push_back(c);
      open.push_back(m.inputs[1]);
    } else if (m.op == Op::Neg) {
      terms.negative = !terms.negative;
      open.push_back(m.inputs[0]);
    } else if (m.op == Op::Div && may_leave(g, m.inputs[1], sum.from)) {
      terms.divisors.push_back(m.inputs[1]);
      open.push_back(m.inputs[0]);
    } else {
      terms.factors.push_back(f);
    }
  }
  return terms;
}

}  // namespace cpuflow::passes
