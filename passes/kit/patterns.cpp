#include "passes/kit/patterns.h"

namespace cpuflow::passes {
using namespace ir;

bool is_zero(const Graph& g, NodeId id) { return g[id].op == Op::Constant && g[id].value == 0; }

bool is_zero_else(const Graph& g, NodeId id) { return g[id].op == Op::Select && is_zero(g, g[id].inputs[2]); }

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
