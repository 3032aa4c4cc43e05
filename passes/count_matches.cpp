#include "passes/count_matches.h"

#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"

namespace cpuflow::passes {
using namespace ir;

Graph count_matches(const Graph& in) {
  return rewrite(in, [](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Max || out[n.inputs[0]].op != Op::ToReal) return kNoNode;
    const Node& equal = out[out[n.inputs[0]].inputs[0]];
    for (const size_t side : {1, 0}) {
      const std::optional<Match> match = match_of(out, equal, side);
      if (!match || !subset(n.from, out[match->index].axes)) continue;
      const NodeId count = out.scatter(out.real(1), match->index, n.from, match->axis);
      return out.unary(Op::ToReal, out.binary(Op::Lt, out.real(0), count));
    }
    return kNoNode;
  });
}

}  // namespace cpuflow::passes
