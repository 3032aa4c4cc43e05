#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_select(const Graph& g, Node& node) {
  need_inputs(node, 3);
  need(g[node.inputs[0]].dtype == DType::Bool, node, "the condition must be bool");
  need(g[node.inputs[1]].dtype == g[node.inputs[2]].dtype, node, "both sides must have one dtype");
  node.axes = aligned(g, node);
  node.dtype = g[node.inputs[1]].dtype;
}

}  // namespace

extern const OpDef kSelect{
    .name = "select",
    .doc = "a where the condition holds, else b; the other side is not read",
    .infer = infer_select,
    .scalar = [](const double* in) -> double { return in[0] != 0 ? in[1] : in[2]; },
    .cpp = "select({0}, {1}, {2})",
    .flops = 1,
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId condition = g[node].inputs[0], zero = g.real(0);
          add(1, g.select(condition, grad, zero));
          add(2, g.select(condition, zero, grad));
        },
    .samples = []() -> std::vector<Sample> {
      return {sample({{kT, kF}, {kF}, {kB, kT}},
                     [](Graph& g, const std::vector<NodeId>& p) { return g.select(g.binary(Op::Lt, p[0], g.real(0)), p[1], p[2]); }),
              // The side that is not chosen may be undefined.
              sample({{kOne}}, [](Graph& g, const std::vector<NodeId>& p) {
                return g.select(g.binary(Op::Lt, g.real(0), p[0]), g.unary(Op::Sqrt, p[0]), g.real(0));
              })};
    },
};

}  // namespace cpuflow::ir
