#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_gather(const Graph& g, Node& node) {
  need_inputs(node, 2);
  const Node &x = g[node.inputs[0]], &index = g[node.inputs[1]];
  need(node.from.size() == 1 && contains(x.axes, node.from[0]), node, "the input must have the axis that is read");
  need(index.dtype == DType::Int, node, "the index must be int");
  node.axes = union_of(without(x.axes, node.from), index.axes);
  node.dtype = x.dtype;
}

/// dx[j, rest] = sum of grad where index == j, over the axes of the index that x does not share.
void gather_vjp(Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
  const Node n = g[node];
  const Axes rest = without(g[n.inputs[0]].axes, n.from);
  add(0, g.scatter(grad, n.inputs[1], without(g[n.inputs[1]].axes, rest), n.from[0]));
}

}  // namespace

extern const OpDef kGather{
    .doc = "x at from[0] = index; an index outside the axis reads 0",
    .infer = infer_gather,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 1,
    .bounds = [](const Node& n, const Interval* in) {
      const bool inside = in[1].low >= 0 && in[1].high <= n.from[0].size - 1.0;
      return inside ? in[0] : join(in[0], between(0, 0));
    },
    .vjp = gather_vjp,
    .samples = []() -> std::vector<Sample> {
      return {// a shift that leaves the axis at one end
              sample({{kT, kF}}, [](Graph& g, const std::vector<NodeId>& p) { return g.gather(p[0], kT, g.iota(kT, -2)); }),
              // rows of a table by a computed index, outside of it for one position
              sample({{kF, kG}}, [](Graph& g, const std::vector<NodeId>& p) { return g.gather(p[0], kF, g.iota(kT, -1)); }),
              // the diagonal
              sample({{kT, kS}}, [](Graph& g, const std::vector<NodeId>& p) { return g.gather(p[0], kS, g.iota(kT)); }),
              // repeated indices
              sample({{kB, kF}},
                     [](Graph& g, const std::vector<NodeId>& p) {
                       return g.gather(p[0], kF, g.binary(Op::FloorDiv, g.iota(kT), g.integer(2)));
                     }),
              sample({{kOne}}, [](Graph& g, const std::vector<NodeId>& p) { return g.gather(p[0], kOne, g.integer(0)); })};
    },
};

}  // namespace cpuflow::ir
