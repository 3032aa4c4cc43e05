#include "passes/empty_sums.h"

#include "ir/interval.h"
#include "ir/op_kit.h"
#include "passes/restrict_rows.h"
#include "passes/windows.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Conditions on positions alone, element by element.
class OnPositions {
 public:
  explicit OnPositions(const Graph& g) : g_(g) {}

  static bool is_one(const Graph& g, NodeId id) {
    const Node& n = g[id];
    const bool known = is_elementwise(n.op) || (n.op == Op::Reshape && n.from.size() == 1);
    return n.op == Op::Iota || n.op == Op::Constant || (known && std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return is_one(g, i); }));
  }

  /// Whether no row, which is an element of the other axes, is without a position of s for which all hold.
  bool hold_in_each_row(const std::vector<NodeId>& conditions, const Axis& s) {
    const Axes rows = without(all_axes(g_, conditions), {s});
    uint32_t found = 0;  // the next row's is near
    for (size_t row = 0; row < element_count(rows); ++row) {
      size_t rest = row;
      for (const Axis& a : rows) at_[a] = static_cast<double>(rest % a.size), rest /= a.size;
      uint32_t tries = 0;
      for (; tries < s.size; ++tries, ++found) {
        at_[s] = found % s.size;
        if (std::all_of(conditions.begin(), conditions.end(), [&](NodeId c) { return value(c) != 0; })) break;
      }
      if (tries == s.size) return false;
    }
    return true;
  }

 private:
  double value(NodeId id) {
    const Node& n = g_[id];
    if (n.op == Op::Iota) return n.value + at_.at(n.axes[0]);
    if (n.op == Op::Constant) return n.value;
    if (n.op == Op::Reshape) {
      double position = 0;
      for (const Axis& a : n.to) position = position * a.size + at_.at(a);
      at_[n.from[0]] = position;
      return value(n.inputs[0]);
    }
    std::array<double, 3> inputs{};
    for (size_t i = 0; i < n.inputs.size(); ++i) inputs.at(i) = value(n.inputs[i]);
    return op_def(n.op).scalar(inputs.data());
  }

  const Graph& g_;
  std::map<Axis, double> at_;
};

/// Whether conditions are known to leave each row a position of s.
bool hold_in_each_row(const Graph& g, const std::vector<NodeId>& conditions, const Axis& s) {
  if (conditions.size() == 1 && holds_at_own_position(g, conditions[0], s)) return true;
  return std::all_of(conditions.begin(), conditions.end(), [&](NodeId c) { return OnPositions::is_one(g, c); }) && OnPositions(g).hold_in_each_row(conditions, s);
}

/// Bounds of what a value is made of, whatever parameters and carried states are.
class Bounds {
 public:
  explicit Bounds(const Graph& g) : g_(g) {}

  Interval of(NodeId id) {
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

  /// Whether an operation in it is undefined or infinite for some of its operands.
  bool may_be_undefined(NodeId id) {
    if (const auto known = undefined_.find(id); known != undefined_.end()) return known->second;
    const Node& n = g_[id];
    if (!is_elementwise(n.op) && n.op != Op::Rename) return false;  // what others are made of is asked for by more than this sum
    bool undefined = (n.op == Op::Div && of(n.inputs[1]).has_zero()) || (n.op == Op::Log && !of(n.inputs[0]).above_zero()) ||
                     (n.op == Op::Sqrt && of(n.inputs[0]).low < 0) || (n.op == Op::Pow && !of(n.inputs[0]).above_zero() && of(n.inputs[1]).low < 0);
    for (const NodeId i : n.inputs) undefined = undefined || may_be_undefined(i);
    return undefined_[id] = undefined;
  }

 private:
  /// A softmax's sum: of positive numbers where a condition holds that leaves each row one at least.
  bool sums_positive(const Node& sum) {
    NodeId term = sum.inputs[0];
    std::vector<NodeId> conditions;
    for (; is_zero_else(g_, term); term = g_[term].inputs[1]) conditions.push_back(g_[term].inputs[0]);
    if (conditions.empty() || !of(term).above_zero()) return false;
    return std::any_of(sum.from.begin(), sum.from.end(), [&](const Axis& s) { return hold_in_each_row(g_, conditions, s); });
  }

  const Graph& g_;
  std::map<NodeId, Interval> known_;
  std::map<NodeId, bool> undefined_;
};

/// A comparison of a position of `over` with what has none, where that position is the first or the last: it holds there if it holds anywhere.
NodeId at_best_position(Graph& g, NodeId condition, const Axes& over) {
  const Node c = g[condition];
  if (c.op != Op::Lt && c.op != Op::Le) return kNoNode;
  for (const size_t side : {size_t{0}, size_t{1}}) {
    const Node& s = g[c.inputs[side]];
    if (s.op != Op::Iota || !contains(over, s.axes[0]) || meets(g[c.inputs[1 - side]].axes, over)) continue;
    const NodeId best = g.integer(static_cast<int64_t>(s.value) + (side == 0 ? 0 : static_cast<int64_t>(s.axes[0].size) - 1));
    return side == 0 ? g.binary(c.op, best, c.inputs[1]) : g.binary(c.op, c.inputs[0], best);
  }
  return kNoNode;
}

/// Whether all conditions hold anywhere along `over`; kNoNode where they surely do.
NodeId anywhere(Graph& g, const std::vector<NodeId>& conditions, const Axes& over) {
  if (conditions.empty()) return kNoNode;
  const Axes axes = all_axes(g, conditions), along = without(axes, without(axes, over));
  if (along.size() == 1 && hold_in_each_row(g, conditions, along[0])) return kNoNode;
  if (conditions.size() == 1) {
    const NodeId best = at_best_position(g, conditions[0], along);
    if (best != kNoNode) return best;
  }
  NodeId all = conditions[0];
  for (size_t i = 1; i < conditions.size(); ++i) all = g.binary(Op::And, all, conditions[i]);
  if (along.empty()) return all;
  return g.binary(Op::Lt, g.real(0), g.reduce(Op::Max, g.select(all, g.real(1), g.real(0)), along));
}

}  // namespace

NodeId must_have_terms(Graph& g, SumTerms& terms, const Axes& over) {
  if (terms.conditions.empty()) return kNoNode;
  Bounds bounds(g);
  bool finite = std::none_of(terms.divisors.begin(), terms.divisors.end(), [&](NodeId d) { return bounds.of(d).has_zero() || bounds.may_be_undefined(d); });
  std::set<NodeId> kept;  // conditions that a factor has
  for (NodeId& f : terms.factors) {
    if (!bounds.may_be_undefined(f)) continue;
    std::vector<NodeId> about;
    for (const NodeId c : terms.conditions) {
      if (subset(g[c].axes, g[f].axes)) f = g.select(c, f, g.real(0)), kept.insert(c);
      else if (meets(g[c].axes, g[f].axes)) about.push_back(c);
    }
    finite = finite && !may_leave(g, f, over);
    const NodeId asked_for = anywhere(g, about, without(all_axes(g, about), g[f].axes));
    if (asked_for != kNoNode) f = g.select(asked_for, f, g.real(0));
  }
  std::vector<NodeId> inside;
  for (const NodeId c : terms.conditions) {
    if (meets(g[c].axes, over)) inside.push_back(c);
  }
  std::erase_if(terms.conditions, [&](NodeId c) { return kept.count(c); });
  return finite ? kNoNode : anywhere(g, inside, over);
}

}  // namespace cpuflow::passes
