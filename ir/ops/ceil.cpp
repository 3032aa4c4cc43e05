#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kCeil{
    .doc = "smallest whole number not below x; Int",
    .infer = infer_to_int,
    .scalar = [](const double* in) -> double { return std::ceil(in[0]); },
    .cpp = "ceil({0})",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return rising(in[0], std::ceil); },
    .vjp = not_differentiable("piecewise constant"),
    .samples = [] { return unary_samples(Op::Ceil, -2, 2); },
};

}  // namespace cpuflow::ir
