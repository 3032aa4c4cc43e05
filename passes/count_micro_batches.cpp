#include "passes/count_micro_batches.h"

#include "passes/rewrite.h"

#include <algorithm>
#include <optional>
#include <set>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Whether it reads the sequences of a micro-batch, or sums over them what is the same for all.
bool takes_sequences(const Graph& g, NodeId root) {
  const std::vector<bool> below = reachable(g, {root});
  auto over_batch = [](const Axis& a) { return a.kind == AxisKind::Batch; };
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& n = g[id];
    if (below[id] && (n.op == Op::Input || n.op == Op::Random || std::ranges::any_of(n.from, over_batch))) return true;
  }
  return false;
}

std::optional<Axis> batch_axis(const Graph& g) {
  for (NodeId id = 0; id < g.size(); ++id) {
    for (const Axis& a : g[id].axes) {
      if (a.kind == AxisKind::Batch) return a;
    }
  }
  return std::nullopt;
}

/// `grad` with the summands that no sequence takes part in multiplied with `one`.
NodeId counted(Graph& g, NodeId grad, NodeId one) {
  const Node n = g[grad];
  if (n.op == Op::Constant && n.value == 0) return grad;
  if (!takes_sequences(g, grad)) return g.binary(Op::Mul, grad, one);
  if (n.op != Op::Add) return grad;
  return g.binary(Op::Add, counted(g, n.inputs[0], one), counted(g, n.inputs[1], one));
}

}  // namespace

Graph count_micro_batches(const Graph& in) {
  const std::optional<Axis> batch = batch_axis(in);
  if (!batch) return in;
  Graph out = in;
  NodeId one = kNoNode;
  for (Output& o : out.outputs) {
    if (o.name.rfind("grad.", 0) != 0) continue;
    if (one == kNoNode) {
      const NodeId first = out.binary(Op::Eq, out.iota(*batch, 0), out.integer(0));
      one = out.reduce(Op::Sum, out.select(first, out.real(1), out.real(0)), {*batch});
    }
    o.node = counted(out, o.node, one);
  }
  return out;
}

}  // namespace cpuflow::passes
