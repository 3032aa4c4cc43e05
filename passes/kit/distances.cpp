#include "passes/kit/distances.h"

#include "ir/affine.h"
#include "ir/schedule.h"
#include "passes/kit/conditions.h"
#include "passes/kit/patterns.h"
#include "passes/lower_to_loops.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Positions `earlier` <= `later`.
struct Pair {
  Axis earlier, later;
};

std::optional<Pair> pair_of(const Graph& g, NodeId condition) {
  const Node& n = g[condition];
  if ((n.op != Op::Le && n.op != Op::Lt) || !is_counter(g[n.inputs[0]]) || !is_counter(g[n.inputs[1]])) return std::nullopt;
  const Axis &earlier = g[n.inputs[0]].axes[0], &later = g[n.inputs[1]].axes[0];
  if (earlier.kind != AxisKind::Position || later.kind != AxisKind::Position || earlier.size != later.size) return std::nullopt;
  return Pair{earlier, later};
}

/// A value with the distance of a pair as one axis in the place of both.
class ByDistance {
 public:
  ByDistance(Graph& g, const Pair& pair) : g_(g), pair_(pair), distance_{AxisKind::Position, ordinals::kDistance, pair.later.size} {}

  /// kNoNode where it depends on more than that.
  NodeId of(NodeId id) {
    if (const auto known = done_.find(id); known != done_.end()) return known->second;
    return done_[id] = find(id);
  }
  const Axis& axis() const { return distance_; }
  /// What a condition asks of the distance; kNoNode where it asks for something else.
  NodeId condition(NodeId id) {
    NodeId asked = comparison(id);
    if (asked == kNoNode) asked = of(id);
    return asked != kNoNode && contains(g_[asked].axes, distance_) ? asked : kNoNode;
  }

 private:
  /// A comparison of sums of positions, of which only the distance is left; kNoNode where it is another one.
  NodeId comparison(NodeId id) {
    const Node n = g_[id];
    if (n.op != Op::Le && n.op != Op::Lt) return kNoNode;
    const std::optional<Affine> difference = affine_difference(g_, n);
    if (!difference) return kNoNode;
    const double later = difference->along(pair_.later);
    if (difference->terms.size() != 2 || std::abs(later) != 1 || difference->along(pair_.earlier) != -later) return kNoNode;
    const NodeId counted = g_.unary(Op::ToReal, g_.iota(distance_)), limit = g_.real(-later * difference->offset);  // which need not be whole
    return later > 0 ? g_.binary(n.op, counted, limit) : g_.binary(n.op, limit, counted);
  }

  NodeId find(NodeId id) {
    Node n = g_[id];
    const bool early = contains(n.axes, pair_.earlier), late = contains(n.axes, pair_.later);
    if (!early && !late) return std::none_of(n.axes.begin(), n.axes.end(), [](const Axis& a) { return a.kind == AxisKind::Batch || a.kind == AxisKind::Position; }) ? id : kNoNode;
    if (const NodeId counted = early && late ? count(id) : kNoNode; counted != kNoNode) return counted;
    if (!is_elementwise(n.op)) return kNoNode;
    for (NodeId& i : n.inputs) {
      i = of(i);
      if (i == kNoNode) return kNoNode;
    }
    return g_.add(std::move(n));
  }

  /// later - earlier + a number: the distance + that number.
  NodeId count(NodeId id) {
    if (g_[id].dtype != DType::Int) return kNoNode;
    const std::optional<Affine> a = affine(g_, id);
    if (!a || a->terms.size() != 2 || a->along(pair_.later) != 1 || a->along(pair_.earlier) != -1) return kNoNode;
    return g_.binary(Op::Add, g_.iota(distance_), g_.integer(static_cast<int64_t>(a->offset)));
  }

  Graph& g_;
  Pair pair_;
  Axis distance_;
  std::unordered_map<NodeId, NodeId> done_;
};

bool needs_parameters(const Graph& g, NodeId id) {
  const std::vector<NodeId> needed = needed_by(g, {id});
  return std::any_of(needed.begin(), needed.end(), [&](NodeId i) { return g[i].op == Op::Param; });
}

}  // namespace

NodeId as_filter(Graph& g, NodeId value, const std::vector<NodeId>& conditions) {
  if (!is_elementwise(g[value].op) || g[value].dtype != DType::Real || !LowerOptions().is_large(g[value].axes)) return kNoNode;
  for (NodeId condition : conditions) {
    const std::optional<Pair> pair = pair_of(g, condition);
    if (!pair || !contains(g[value].axes, pair->earlier) || !contains(g[value].axes, pair->later)) continue;
    ByDistance by_distance(g, *pair);
    NodeId filter = by_distance.of(value);
    if (filter == kNoNode || !needs_parameters(g, filter)) continue;
    for (NodeId c : conditions) {  // what no pair reads has no gradient, though it is no number
      const NodeId read = by_distance.condition(c);
      if (read != kNoNode && !holds_everywhere(g, read)) filter = g.select(read, filter, g.real(0));
    }
    return g.gather(filter, by_distance.axis(), g.binary(Op::Sub, g.iota(pair->later), g.iota(pair->earlier)));
  }
  return kNoNode;
}

}  // namespace cpuflow::passes
