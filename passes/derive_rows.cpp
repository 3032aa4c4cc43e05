#include "passes/derive_rows.h"

#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"
#include "passes/normalise_sums.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// sum(t | f(t) == n: x) where f(t) = t // C: every position adds to the one element that it belongs to.
NodeId collected(Graph& g, const Node& sum) {
  if (sum.from.size() != 1 || sum.from[0].kind != AxisKind::Position) return kNoNode;
  const Axis t = sum.from[0];
  const Node x = g[sum.inputs[0]];
  if (!is_zero_else(g, sum.inputs[0])) return kNoNode;
  const Node& condition = g[x.inputs[0]];
  if (condition.op != Op::Eq) return kNoNode;
  for (size_t side = 0; side < 2; ++side) {
    const NodeId index = condition.inputs[side], n = condition.inputs[1 - side];
    if (!is_counter(g[n]) || g[n].axes[0] == t || g[index].axes != Axes{t} || g[index].op != Op::FloorDiv || !is_counter(g[g[index].inputs[0]])) continue;
    if (contains(g[x.inputs[1]].axes, g[n].axes[0])) continue;
    return g.scatter(x.inputs[1], index, {t}, g[n].axes[0]);
  }
  return kNoNode;
}

}  // namespace

Graph derive_rows(const Graph& in) {
  Graph logits = in;
  std::erase_if(logits.outputs, [](const Output& o) { return o.name != "logits"; });
  if (logits.outputs.empty()) return in;
  bool changed = false;
  Graph out = in;
  const std::vector<NodeId> map = rewrite_into(out, logits, [&](Graph& g, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Sum || n.dtype != DType::Real) return kNoNode;
    NodeId form = collected(g, n);
    if (form == kNoNode) {
      form = normal_sum(g, n, true);
      if (form == normal_sum(g, n, false)) return kNoNode;
    }
    changed = true;
    return form;
  });
  if (!changed) return in;
  out.outputs.push_back({"rows.logits", map[logits.outputs[0].node]});
  return out;
}

}  // namespace cpuflow::passes
