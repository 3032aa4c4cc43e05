#include "passes/kit/conditions.h"

#include "ir/affine.h"
#include "ir/op.h"
#include "ir/schedule.h"
#include "passes/kit/patterns.h"
#include "passes/kit/windows.h"

#include <algorithm>
#include <array>
#include <map>

namespace cpuflow::passes {
using namespace ir;

namespace {

bool is_known(const Node& n) { return n.op == Op::Iota || n.op == Op::Constant || is_elementwise(n.op) || (n.op == Op::Reshape && n.from.size() == 1); }

/// Conditions on positions alone, element by element.
class OnPositions {
 public:
  OnPositions(const Graph& g, const std::vector<NodeId>& conditions) : g_(g), conditions_(conditions), order_(needed_by(g, conditions)), values_(g.size()) {}

  /// Whether no row, which is an element of the other axes, is without a position of s for which all hold.
  bool hold_in_each_row(const Axis& s) {
    const Axes rows = without(all_axes(g_, conditions_), {s});
    uint32_t found = 0;  // the next row's is near
    for (size_t row = 0; row < element_count(rows); ++row) {
      size_t rest = row;
      for (const Axis& a : rows) at_[a] = static_cast<double>(rest % a.size), rest /= a.size;
      uint32_t tries = 0;
      for (; tries < s.size; ++tries, ++found) {
        at_[s] = found % s.size;
        if (all_hold()) break;
      }
      if (tries == s.size) return false;
    }
    return true;
  }

  std::vector<bool> hold_along(const Axis& axis) {
    std::vector<bool> out;
    for (uint32_t i = 0; i < axis.size; ++i) {
      at_[axis] = i;
      out.push_back(all_hold());
    }
    return out;
  }

 private:
  bool all_hold() {
    for (auto id = order_.rbegin(); id != order_.rend(); ++id) {  // of an axis that was split, the position follows from those it was split into
      const Node& n = g_[*id];
      if (n.op != Op::Reshape) continue;
      double position = 0;
      for (const Axis& a : n.to) position = position * a.size + at_.at(a);
      at_[n.from[0]] = position;
    }
    for (const NodeId id : order_) values_[id] = value(g_[id]);
    return std::all_of(conditions_.begin(), conditions_.end(), [&](NodeId c) { return values_[c] != 0; });
  }

  double value(const Node& n) const {
    if (n.op == Op::Iota) return n.value + at_.at(n.axes[0]);
    if (n.op == Op::Constant) return n.value;
    if (n.op == Op::Reshape) return values_[n.inputs[0]];
    std::array<double, 3> inputs{};
    for (size_t i = 0; i < n.inputs.size(); ++i) inputs.at(i) = values_[n.inputs[i]];
    return op_def(n.op).scalar(inputs.data());
  }

  const Graph& g_;
  const std::vector<NodeId>& conditions_;
  std::vector<NodeId> order_;
  std::vector<double> values_;  // by node
  std::map<Axis, double> at_;
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

}  // namespace

bool is_about_positions(const Graph& g, NodeId condition) {
  const std::vector<NodeId> nodes = needed_by(g, {condition});
  return std::all_of(nodes.begin(), nodes.end(), [&](NodeId n) { return is_known(g[n]); });
}

bool holds_everywhere(const Graph& g, NodeId condition) {
  const Node& n = g[condition];
  if (n.op != Op::Le && n.op != Op::Lt) return false;
  const std::optional<Affine> difference = affine_difference(g, n);
  if (!difference) return false;
  return n.op == Op::Le ? difference->largest() <= 0 : difference->largest() < 0;
}

bool hold_in_each_row(const Graph& g, const std::vector<NodeId>& conditions, const Axis& s) {
  if (conditions.size() == 1 && holds_at_own_position(g, conditions[0], s)) return true;
  return std::all_of(conditions.begin(), conditions.end(), [&](NodeId c) { return is_about_positions(g, c); }) && OnPositions(g, conditions).hold_in_each_row(s);
}

std::optional<std::vector<bool>> hold_along(const Graph& g, const std::vector<NodeId>& conditions, const Axis& axis) {
  const bool about_it = std::all_of(conditions.begin(), conditions.end(), [&](NodeId c) { return subset(g[c].axes, {axis}) && is_about_positions(g, c); });
  return about_it ? std::optional(OnPositions(g, conditions).hold_along(axis)) : std::nullopt;
}

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

}  // namespace cpuflow::passes
