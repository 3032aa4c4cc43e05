#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_reshape(const Graph& g, Node& node) {
  need_inputs(node, 1);
  const Node& x = g[node.inputs[0]];
  for (const Axis& a : node.from) need(contains(x.axes, a), node, "the input has no axis " + a.str());
  need(element_count(node.from) == element_count(node.to), node, "the number of elements changes");
  const Axes rest = without(x.axes, node.from);
  node.axes = union_of(rest, node.to);
  need(node.axes.size() == rest.size() + node.to.size(), node, "an axis stands twice in the result");
  node.dtype = x.dtype;
}

void reshape_vjp(Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
  const Node n = g[node];
  // The same along all new axes is the same along all old ones.
  if (without(n.to, g[grad].axes).size() == n.to.size()) return add(0, grad);
  add(0, g.reshape(spread(g, grad, n.to), n.to, n.from));
}

}  // namespace

extern const OpDef kReshape{
    .doc = "the axes `from` regrouped row-major into the axes `to`",
    .infer = infer_reshape,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = bounds_of_first,
    .vjp = reshape_vjp,
    .samples = []() -> std::vector<Sample> {
      const Axis six{AxisKind::Feature, 3, 12}, two{AxisKind::Feature, 4, 2}, three{AxisKind::Feature, 5, 6};
      return {sample({{kT, six}},
                     [=](Graph& g, const std::vector<NodeId>& p) {
                       return g.reshape(p[0], {six}, {two, three});
                     }),
              sample({{kF, kG}},
                     [=](Graph& g, const std::vector<NodeId>& p) {
                       return g.reshape(p[0], {kF, kG}, {three, two});
                     }),
              sample({{kOne}}, [=](Graph& g, const std::vector<NodeId>& p) { return g.reshape(p[0], {}, {kH}); })};
    },
};

}  // namespace cpuflow::ir
