#include "ir/op_kit.h"

#include <algorithm>

namespace cpuflow::ir {

extern const OpDef kSqrt{
    .doc = "square root",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return std::sqrt(in[0]); },
    .cpp = "sqrt({0})",
    .flops = 6,
    .bounds = [](const Node&, const Interval* in) { return between(std::sqrt(std::max(0.0, in[0].low)), std::sqrt(std::max(0.0, in[0].high)), in[0].above_zero()); },
    .vjp = [](Graph& g, NodeId node, NodeId grad,
              const AddGradient& add) { add(0, g.binary(Op::Div, grad, g.binary(Op::Mul, g.real(2), node))); },
    .samples = [] { return unary_samples(Op::Sqrt, 0.5, 3); },
};

}  // namespace cpuflow::ir
