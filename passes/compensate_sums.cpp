#include "passes/compensate_sums.h"

#include "passes/kit/rewrite.h"

#include <limits>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Values that depend on tokens or parameters, and not on sums over the batch: gradients of parameters must stay linear in those.
std::vector<bool> of_one_sequence(const Graph& g) {
  std::vector<bool> varies(g.size()), sums(g.size());
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& n = g[id];
    varies[id] = n.op == Op::Param || n.op == Op::Input || n.op == Op::Random;
    for (NodeId i : n.inputs) {
      varies[id] = varies[id] || i >= id || varies[i];
      sums[id] = sums[id] || (i < id && sums[i]);
    }
    for (const Axis& a : n.from) sums[id] = sums[id] || (a.kind == AxisKind::Batch && !contains(n.axes, a));
  }
  for (NodeId id = 0; id < g.size(); ++id) varies[id] = varies[id] && !sums[id];
  return varies;
}

}  // namespace

Graph compensate_sums(const Graph& in) {
  const std::vector<bool> wanted = of_one_sequence(in);
  return rewrite(in, [&](Graph& out, const Node& n, NodeId id, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Cumsum || n.dtype != DType::Real || n.from[0].kind != AxisKind::Position || !wanted[id]) return kNoNode;
    const bool reverse = n.ints[0] != 0, exclusive = n.ints[1] != 0;
    const NodeId before = out.carry_open(n.axes, n.dtype, n.from[0], reverse ? -1 : 1);
    const NodeId lost = out.carry_open(n.axes, n.dtype, n.from[0], reverse ? -1 : 1);
    const NodeId x = out.binary(Op::Sub, n.inputs[0], lost);
    const NodeId sum = out.binary(Op::Add, before, x);
    out.close(before, sum);
    // nothing is lost of an infinite sum, as of logarithms of gates that are closed
    const NodeId finite = out.binary(Op::Lt, out.unary(Op::Abs, sum), out.real(std::numeric_limits<double>::infinity()));
    out.close(lost, out.select(finite, out.binary(Op::Sub, out.binary(Op::Sub, sum, before), x), out.real(0)));
    return exclusive ? before : sum;
  });
}

}  // namespace cpuflow::passes
