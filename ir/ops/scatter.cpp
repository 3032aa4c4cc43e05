#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_scatter(const Graph& g, Node& node) {
  need_inputs(node, 2);
  const Node &x = g[node.inputs[0]], &index = g[node.inputs[1]];
  need(index.dtype == DType::Int, node, "the index must be int");
  need(x.dtype != DType::Bool, node, "the input must be a number");
  need(node.to.size() == 1, node, "one result axis is needed");
  const Axes all = union_of(x.axes, index.axes);
  for (const Axis& a : node.from) need(contains(all, a), node, "no input has the axis " + a.str());
  const Axes rest = without(all, node.from);
  need(!contains(rest, node.to[0]), node, "the result has the axis " + node.to[0].str() + " twice");
  node.axes = union_of(rest, node.to);
  node.dtype = x.dtype;
}

void scatter_vjp(Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
  const Node n = g[node];
  add(0, g.gather(spread(g, grad, n.to), n.to[0], n.inputs[1]));
}

}  // namespace

extern const OpDef kScatter{
    .doc = "out[j] = sum over the axes `from` of x where index == j, along to[0]",
    .infer = infer_scatter,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 1,
    .bounds = [](const Node& n, const Interval* in) { return join(sum_of(in[0], static_cast<double>(element_count(n.from))), between(0, 0)); },
    .vjp = scatter_vjp,
    .samples = []() -> std::vector<Sample> {
      return {
          sample({{kT, kF}},
                 [](Graph& g, const std::vector<NodeId>& p) {
                   return g.scatter(p[0], g.binary(Op::FloorDiv, g.iota(kT, -2), g.integer(2)), {kT}, kG);
                 }),
          sample({{kT}}, [](Graph& g,
                            const std::vector<NodeId>& p) { return g.scatter(p[0], g.binary(Op::Mod, g.iota(kT), g.integer(3)), {}, kF); }),
          sample({{kF}}, [](Graph& g, const std::vector<NodeId>& p) {
            return g.scatter(p[0], g.iota(kOne), {kOne, kF}, kH);
          })};
    },
};

}  // namespace cpuflow::ir
