#include "passes/kit/sum_terms.h"

#include "ir/schedule.h"
#include "passes/kit/conditions.h"
#include "passes/kit/patterns.h"
#include "passes/kit/windows.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Whether a value is a product, of which no factor has all axes: as large as it is, it need not be made.  Behind some factors that have them it is made anyway.
bool outer_product(const Graph& g, NodeId id, int depth = 4) {
  const Node& n = g[id];
  if (depth == 0) return false;
  if (n.op == Op::Neg) return outer_product(g, n.inputs[0], depth - 1);
  if (n.op != Op::Mul) return false;
  for (NodeId i : n.inputs) {
    if (g[i].axes == n.axes) return outer_product(g, i, depth - 1);
  }
  return true;
}

/// A product whose factors share all summed axes, one with all axes of the other, is one factor.
bool elementwise_product(const Graph& g, const Node& m, const Axes& over) {
  const Axes &a = g[m.inputs[0]].axes, &b = g[m.inputs[1]].axes;
  if (!subset(a, b) && !subset(b, a)) return false;
  const bool first_is_small = subset(a, b);
  if (outer_product(g, m.inputs[first_is_small ? 1 : 0])) return false;
  const Axes& small = first_is_small ? a : b;
  return std::all_of(m.axes.begin(), m.axes.end(), [&](const Axis& x) { return !contains(over, x) || contains(small, x); });
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

namespace {

/// The quotient that a factor is; or kNoNode.  A softmax over positions is one under another name as well, and where it is 0 outside of a condition, as long
/// as each row has a position: what there is nothing of is 0, not 0 / 0.  (One over a few features is computed for others anyway.)
NodeId quotient_of(const Graph& g, NodeId factor) {
  NodeId id = g[factor].op == Op::Rename ? g[factor].inputs[0] : factor;
  const NodeId condition = is_zero_else(g, id) ? g[id].inputs[0] : kNoNode;
  if (condition != kNoNode) id = g[id].inputs[1];
  if (g[id].op != Op::Div || g[g[id].inputs[0]].op == Op::Constant) return kNoNode;  // a reciprocal is a factor: it is computed once a row
  if (id == factor) return id;
  const NodeId numerator = g[id].inputs[0], divisor = g[id].inputs[1];
  if (g[divisor].op != Op::Sum || g[divisor].inputs[0] != numerator) return kNoNode;
  const auto s = std::find_if(g[numerator].axes.begin(), g[numerator].axes.end(), [&](const Axis& a) { return a.kind == AxisKind::Position && !contains(g[divisor].axes, a); });
  if (s == g[numerator].axes.end()) return kNoNode;
  if (condition == kNoNode) return id;
  const bool never_empty = holds_at_own_position(g, condition, *s);
  return never_empty && is_zero_else(g, numerator) && g[numerator].inputs[0] == condition ? id : kNoNode;
}

}  // namespace

SumTerms terms_of(Graph& g, const Node& sum) {
  SumTerms terms;
  std::vector<NodeId> open{sum.inputs[0]};
  while (!open.empty()) {
    NodeId f = open.back();
    open.pop_back();
    if (const NodeId quotient = quotient_of(g, f); quotient != kNoNode) {
      const Node view = g[f].op == Op::Rename ? g[f] : Node{};
      const NodeId divisor = g.rename_present(g[quotient].inputs[1], view.from, view.to);
      if (may_leave(g, divisor, sum.from)) {
        terms.divisors.push_back(divisor);
        open.push_back(g.rename_present(g[quotient].inputs[0], view.from, view.to));
        continue;
      }
    }
    const Node m = g[f];
    if (m.op == Op::Mul && !elementwise_product(g, m, sum.from)) {
      open.push_back(m.inputs[1]);
      open.push_back(m.inputs[0]);
    } else if (is_zero_else(g, f)) {
      for (NodeId c : conjuncts(g, m.inputs[0])) {
        const bool known = std::find(terms.conditions.begin(), terms.conditions.end(), c) != terms.conditions.end() || holds_everywhere(g, c);
        if (!known) terms.conditions.push_back(c);
      }
      open.push_back(m.inputs[1]);
    } else if (m.op == Op::Neg) {
      terms.negative = !terms.negative;
      open.push_back(m.inputs[0]);
    } else {
      terms.factors.push_back(f);
    }
  }
  return terms;
}

}  // namespace cpuflow::passes
