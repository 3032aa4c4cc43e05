#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kSqrt{
    .name = "sqrt",
    .doc = "square root",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return std::sqrt(in[0]); },
    .cpp = "sqrt({0})",
    .flops = 6,
    .vjp = [](Graph& g, NodeId node, NodeId grad,
              const AddGradient& add) { add(0, g.binary(Op::Div, grad, g.binary(Op::Mul, g.real(2), node))); },
    .samples = [] { return unary_samples(Op::Sqrt, 0.5, 3); },
};

}  // namespace cpuflow::ir
