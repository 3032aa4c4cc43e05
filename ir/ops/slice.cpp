#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_slice(const Graph& g, Node& node) {
  need_inputs(node, 1);
  need(node.from.size() == 1 && node.to.size() == 1 && node.ints.size() == 2, node, "one axis, offset and stride are needed");
  const Node& x = g[node.inputs[0]];
  need(contains(x.axes, node.from[0]), node, "the input has no axis " + node.from[0].str());
  const int64_t last = node.ints[0] + node.ints[1] * (static_cast<int64_t>(node.to[0].size) - 1), size = node.from[0].size;
  need(node.ints[0] >= 0 && node.ints[0] < size && last >= 0 && last < size, node, "the range leaves the axis " + node.from[0].str());
  const Axes rest = without(x.axes, node.from);
  need(!contains(rest, node.to[0]), node, "the result has the axis " + node.to[0].str() + " twice");
  node.axes = union_of(rest, node.to);
  node.dtype = x.dtype;
}

void slice_vjp(Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
  const Node n = g[node];
  NodeId index = g.binary(Op::Add, g.binary(Op::Mul, g.iota(n.to[0]), g.integer(n.ints[1])), g.integer(n.ints[0]));
  add(0, g.scatter(grad, index, n.to, n.from[0]));
}

}  // namespace

extern const OpDef kSlice{
    .doc = "elements offset, offset + stride .. of one axis",
    .infer = infer_slice,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = bounds_of_first,
    .vjp = slice_vjp,
    .samples = []() -> std::vector<Sample> {
      return {sample({{kT, kF}},
                     [](Graph& g, const std::vector<NodeId>& p) {
                       return g.slice(p[0], kT, {AxisKind::Feature, 5, 2}, 1, 2);
                     }),
              sample({{kOne}}, [](Graph& g, const std::vector<NodeId>& p) { return g.slice(p[0], kOne, kH, 0); })};
    },
};

}  // namespace cpuflow::ir
