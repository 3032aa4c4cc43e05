#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kSin{
    .doc = "sine",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return std::sin(in[0]); },
    .cpp = "sin({0})",
    .flops = 20,
    .bounds = [](const Node&, const Interval*) { return between(-1, 1); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId x = g[node].inputs[0];
          add(0, g.binary(Op::Mul, grad, g.unary(Op::Cos, x)));
        },
    .samples = [] { return unary_samples(Op::Sin, -2, 2); },
};

}  // namespace cpuflow::ir
