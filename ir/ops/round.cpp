#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kRound{
    .doc = "nearest whole number, halves to the even one; Real",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return std::nearbyint(in[0]); },
    .cpp = "round({0})",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return rising(in[0], std::nearbyint); },
    .vjp = not_differentiable("piecewise constant"),
    .samples = [] { return unary_samples(Op::Round, -2, 2); },
};

}  // namespace cpuflow::ir
