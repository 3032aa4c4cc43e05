#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kTanh{
    .doc = "hyperbolic tangent",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return std::tanh(in[0]); },
    .cpp = "tanh({0})",
    .flops = 16,
    .bounds = [](const Node&, const Interval* in) { return rising(in[0], std::tanh); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId slope = g.binary(Op::Sub, g.real(1), g.binary(Op::Mul, node, node));
          add(0, g.binary(Op::Mul, grad, slope));
        },
    .samples = [] { return unary_samples(Op::Tanh, -2, 2); },
};

}  // namespace cpuflow::ir
