#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_carry(const Graph& g, Node& node) {
  need(node.inputs.size() == 1 || node.inputs.size() == 2, node, "x and perhaps init are needed");
  need(node.from.size() == 1 && node.ints.size() == 1 && (node.ints[0] == 1 || node.ints[0] == -1), node,
       "one axis and a step of 1 or -1 are needed");
  if (node.inputs[0] != kNoNode) {
    node.axes = sorted(g[node.inputs[0]].axes);
    node.dtype = g[node.inputs[0]].dtype;
  }
  need(contains(node.axes, node.from[0]), node, "the input must have the axis " + node.from[0].str());
  if (node.inputs.size() < 2) return;
  const Node& init = g[node.inputs[1]];
  need(init.dtype == node.dtype, node, "init and the input differ in dtype");
  for (const Axis& a : init.axes) need(contains(node.axes, a) && a != node.from[0], node, "init cannot have the axis " + a.str());
}

/// Outside a cycle; build_backward closes the reversed carry of a cycle itself.
void carry_vjp(Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
  const Node n = g[node];
  NodeId full = spread(g, grad, n.from);
  add(0, g.carry(full, n.from[0], -n.ints[0]));
  if (n.inputs.size() > 1) add(1, g.gather(full, n.from[0], g.integer(n.ints[0] > 0 ? 0 : n.from[0].size - 1)));
}

}  // namespace

extern const OpDef kCarry{
    .doc = "x one step earlier along an axis (ints = {step}); at the end init, or 0",
    .infer = infer_carry,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = [](const Node& n, const Interval* in) { return join(in[0], n.inputs.size() > 1 ? in[1] : between(0, 0)); },
    .vjp = carry_vjp,
    .samples = []() -> std::vector<Sample> {
      return {sample({{kT, kF}}, [](Graph& g, const std::vector<NodeId>& p) { return g.carry(p[0], kT, 1); }),
              sample({{kT, kF}, {kF}}, [](Graph& g, const std::vector<NodeId>& p) { return g.carry(p[0], kT, -1, p[1]); }),
              sample({{kOne}, {}}, [](Graph& g, const std::vector<NodeId>& p) { return g.carry(p[0], kOne, 1, p[1]); })};
    },
};

}  // namespace cpuflow::ir
