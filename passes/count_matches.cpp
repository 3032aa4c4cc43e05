#include "passes/count_matches.h"

#include "passes/rewrite.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

Graph count_matches(const Graph& in) {
  return rewrite(in, [](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    constexpr uint32_t kMany = 64;  // fewer are compared at once in a few vectors
    if (n.op != Op::Max || out[n.inputs[0]].op != Op::ToReal) return kNoNode;
    const Node& equal = out[out[n.inputs[0]].inputs[0]];
    if (equal.op != Op::Eq) return kNoNode;
    for (size_t side = 0; side < 2; ++side) {
      const NodeId index = equal.inputs[side];
      const Node& all = out[equal.inputs[1 - side]];
      if (all.op != Op::Iota || all.value != 0 || all.axes[0].size < kMany || contains(out[index].axes, all.axes[0])) continue;
      const bool over_indices = std::all_of(n.from.begin(), n.from.end(), [&](const Axis& a) { return contains(out[index].axes, a); });
      if (!over_indices) continue;
      const NodeId count = out.scatter(out.real(1), index, n.from, all.axes[0]);
      return out.unary(Op::ToReal, out.binary(Op::Lt, out.real(0), count));
    }
    return kNoNode;
  });
}

}  // namespace cpuflow::passes
