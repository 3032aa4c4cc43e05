#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kFloor{
    .doc = "largest whole number not above x; Int",
    .infer = infer_to_int,
    .scalar = [](const double* in) -> double { return std::floor(in[0]); },
    .cpp = "floor({0})",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return rising(in[0], std::floor); },
    .vjp = not_differentiable("piecewise constant"),
    .samples = [] { return unary_samples(Op::Floor, -2, 2); },
};

}  // namespace cpuflow::ir
