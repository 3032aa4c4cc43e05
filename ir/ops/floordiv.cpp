#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kFloorDiv{
    .name = "floordiv",
    .doc = "a / b rounded down",
    .infer = infer_arithmetic,
    .scalar = [](const double* in) -> double { return std::floor(in[0] / in[1]); },
    .cpp = "floordiv({0}, {1})",
    .flops = 6,
    .vjp = not_differentiable("piecewise constant"),
    .samples = [] { return integer_samples(Op::FloorDiv); },
};

}  // namespace cpuflow::ir
