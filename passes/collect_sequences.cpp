#include "passes/collect_sequences.h"

#include "passes/kit/rewrite.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

namespace {

Axis all_of(const Axis& batch) { return {AxisKind::Feature, ordinals::kAll, batch.size}; }

/// x with an element of each sequence along another axis: sum(b | b == all: x).
NodeId collected(Graph& g, NodeId x, const Axis& batch) {
  const Axis all = all_of(batch);
  const Node n = g[x];
  const int at = n.op == Op::Rename ? index_of(n.to, batch) : -1;
  if (at >= 0 && n.from[static_cast<size_t>(at)] == all) {  // collected under the name of the batch
    Axes from = n.from, to = n.to;
    from.erase(from.begin() + at);
    to.erase(to.begin() + at);
    return from.empty() ? n.inputs[0] : g.rename(n.inputs[0], from, to);
  }
  const NodeId own = g.binary(Op::Eq, g.iota(batch), g.iota(all));
  return g.reduce(Op::Sum, g.select(own, x, g.real(0)), {batch});
}

}  // namespace

bool is_collected(const Graph& g, const Node& sum) {
  return std::any_of(sum.from.begin(), sum.from.end(), [&](const Axis& a) { return is_batch(a) && contains(g[sum.inputs[0]].axes, all_of(a)); });
}

Graph collect_sequences(const Graph& in) {
  return rewrite(in, [](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if ((n.op != Op::Gather && n.op != Op::Rename && n.op != Op::Slice) || n.dtype != DType::Real) return kNoNode;
    const auto batch = std::find_if(n.from.begin(), n.from.end(), is_batch);
    if (batch == n.from.end()) return kNoNode;
    const NodeId x = collected(out, n.inputs[0], *batch);
    if (n.op == Op::Gather) return out.gather(x, all_of(*batch), n.inputs[1]);
    if (n.op == Op::Slice) return out.slice(x, all_of(*batch), n.to[0], n.ints[0], n.ints[1]);
    Axes from = n.from;
    from[static_cast<size_t>(batch - n.from.begin())] = all_of(*batch);
    return out.rename(x, from, n.to);
  });
}

}  // namespace cpuflow::passes
