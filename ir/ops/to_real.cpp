#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_to_real(const Graph& g, Node& node) {
  need_inputs(node, 1);
  need(g[node.inputs[0]].dtype != DType::Real, node, "the input is real already");
  node.axes = aligned(g, node);
  node.dtype = DType::Real;
}

}  // namespace

extern const OpDef kToReal{
    .doc = "an Int or Bool as a Real",
    .infer = infer_to_real,
    .scalar = [](const double* in) -> double { return in[0]; },
    .cpp = "real({0})",
    .flops = 1,
    .bounds = bounds_of_first,
    .vjp = not_differentiable("its input is not real"),
    .samples = []() -> std::vector<Sample> {
      return {sample({}, [](Graph& g, const std::vector<NodeId>&) { return g.unary(Op::ToReal, g.iota(kT)); })};
    },
};

}  // namespace cpuflow::ir
