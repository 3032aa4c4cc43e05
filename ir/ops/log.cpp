#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kLog{
    .name = "log",
    .doc = "natural logarithm",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return std::log(in[0]); },
    .cpp = "log({0})",
    .flops = 12,
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId x = g[node].inputs[0];
          add(0, g.binary(Op::Div, grad, x));
        },
    .samples = [] { return unary_samples(Op::Log, 0.5, 3); },
};

}  // namespace cpuflow::ir
