#include "passes/match.h"

namespace cpuflow::passes {
using namespace ir;

std::optional<Match> match_of(const Graph& graph, const Node& equal, size_t side) {
  if (equal.op != Op::Eq) return std::nullopt;
  const Node& all = graph[equal.inputs[side]];
  const NodeId index = equal.inputs[1 - side];
  if (all.op != Op::Iota || all.value != 0 || all.axes[0].size < kManyMatches || contains(graph[index].axes, all.axes[0])) return std::nullopt;
  return Match{index, all.axes[0]};
}

}  // namespace cpuflow::passes
