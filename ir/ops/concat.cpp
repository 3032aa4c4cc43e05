#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_concat(const Graph& g, Node& node) {
  need(!node.inputs.empty() && node.inputs.size() == node.from.size() && node.to.size() == 1, node,
       "an axis for each input and one for the result are needed");
  uint64_t size = 0;
  node.axes = node.to;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Node& x = g[node.inputs[i]];
    need(contains(x.axes, node.from[i]), node, "an input has no axis " + node.from[i].str());
    const Axes rest = without(x.axes, {node.from[i]});
    need(!contains(rest, node.to[0]), node, "the result has the axis " + node.to[0].str() + " twice");
    need(x.dtype == g[node.inputs[0]].dtype, node, "the inputs differ in dtype");
    node.axes = union_of(node.axes, rest);
    size += node.from[i].size;
  }
  need(size == node.to[0].size, node, "the inputs do not fill the axis " + node.to[0].str());
  node.dtype = g[node.inputs[0]].dtype;
}

void concat_vjp(Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
  const Node n = g[node];
  const bool varies = contains(g[grad].axes, n.to[0]);
  int64_t offset = 0;
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    add(i, varies ? g.slice(grad, n.to[0], n.from[i], offset) : grad);
    offset += n.from[i].size;
  }
}

}  // namespace

extern const OpDef kConcat{
    .doc = "the inputs, each with its axis from[i], one after the other along to[0]",
    .infer = infer_concat,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = [](const Node& n, const Interval* in) {
      Interval all;
      for (size_t i = 0; i < n.inputs.size(); ++i) all = join(all, in[i]);
      return all;
    },
    .vjp = concat_vjp,
    .samples = []() -> std::vector<Sample> {
      return {sample({{kT, kF}, {kT, kG}},
                     [](Graph& g, const std::vector<NodeId>& p) {
                       return g.concat({p[0], p[1]}, {kF, kG}, {AxisKind::Feature, 7, 7});
                     }),
              sample({{kH}, {kT, kG}}, [](Graph& g, const std::vector<NodeId>& p) {
                return g.concat({p[0], p[1]}, {kH, kG}, {AxisKind::Feature, 7, 5});
              })};
    },
};

}  // namespace cpuflow::ir
