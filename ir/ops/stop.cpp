#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_stop(const Graph& g, Node& node) {
  need_inputs(node, 1);
  node.axes = aligned(g, node);
  node.dtype = g[node.inputs[0]].dtype;
}

}  // namespace

extern const OpDef kStop{
    .doc = "x, without a gradient",
    .infer = infer_stop,
    .scalar = [](const double* in) -> double { return in[0]; },
    .cpp = "{0}",
    .flops = 0,
    .bounds = bounds_of_first,
    .vjp = not_differentiable("that is its meaning"),
    .samples = [] { return unary_samples(Op::Stop, -2, 2); },
};

}  // namespace cpuflow::ir
