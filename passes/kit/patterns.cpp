#include "passes/kit/patterns.h"

namespace cpuflow::passes {
using namespace ir;

bool is_zero(const Graph& g, NodeId id) { return g[id].op == Op::Constant && g[id].value == 0; }

bool is_zero_else(const Graph& g, NodeId id) { return g[id].op == Op::Select && is_zero(g, g[id].inputs[2]); }

NodeId without_stops(const Graph& g, NodeId id) {
  while (g[id].op == Op::Stop) id = g[id].inputs[0];
  return id;
}

NodeId as_maximum(const Graph& g, NodeId id) {
  id = without_stops(g, id);
  if (g[id].op == Op::Select && g[g[id].inputs[1]].op == Op::Constant) id = without_stops(g, g[id].inputs[2]);
  return g[id].op == Op::Max ? id : kNoNode;
}

bool is_maximum_of(const Graph& g, NodeId top, NodeId x) {
  const NodeId max = as_maximum(g, top);
  if (max == kNoNode) return false;
  const NodeId over = without_stops(g, g[max].inputs[0]);
  const bool renamed = g[over].op == Op::Rename && g[over].to == g[max].from;
  return (renamed ? without_stops(g, g[over].inputs[0]) : over) == without_stops(g, x);
}

bool is_logsumexp_of(const Graph& g, NodeId total, NodeId x) {
  const Node& sum = g[without_stops(g, total)];
  for (size_t side = 0; sum.op == Op::Add && side < 2; ++side) {
    const NodeId top = sum.inputs[side];
    const Node& log = g[sum.inputs[1 - side]];
    if (!is_maximum_of(g, top, x) || log.op != Op::Log || g[log.inputs[0]].op != Op::Sum) continue;
    NodeId power = g[log.inputs[0]].inputs[0];
    if (is_zero_else(g, power)) power = g[power].inputs[1];
    const NodeId difference = g[power].op == Op::Exp ? g[power].inputs[0] : kNoNode;
    if (difference != kNoNode && g[difference].op == Op::Sub && without_stops(g, g[difference].inputs[1]) == without_stops(g, top)) return true;
  }
  return false;
}

std::vector<NodeId> conjuncts(const Graph& g, NodeId condition) {
  if (g[condition].op != Op::And) return {condition};
  std::vector<NodeId> out = conjuncts(g, g[condition].inputs[0]);
  for (NodeId c : conjuncts(g, g[condition].inputs[1])) out.push_back(c);
  return out;
}

bool is_counter(const Node& n) { return n.op == Op::Iota && n.value == 0; }

Axes all_axes(const Graph& g, const std::vector<NodeId>& values) {
  Axes all;
  for (const NodeId v : values) all = union_of(all, g[v].axes);
  return all;
}

std::optional<Match> match_of(const Graph& graph, const Node& equal, size_t side) {
  if (equal.op != Op::Eq) return std::nullopt;
  const Node& all = graph[equal.inputs[side]];
  const NodeId index = equal.inputs[1 - side];
  if (!is_counter(all) || all.axes[0].size < kManyMatches || contains(graph[index].axes, all.axes[0])) return std::nullopt;
  return Match{index, all.axes[0]};
}

}  // namespace cpuflow::passes
