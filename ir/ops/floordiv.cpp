#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kFloorDiv{
    .doc = "a / b rounded down",
    .infer = infer_arithmetic,
    .scalar = [](const double* in) -> double { return std::floor(in[0] / in[1]); },
    .cpp = "floordiv({0}, {1})",
    .flops = 6,
    .bounds = [](const Node&, const Interval* in) {
      const Interval &a = in[0], &d = in[1];
      if (d.low <= 0) return any_number();
      return between(std::floor(a.low / (a.low < 0 ? d.low : d.high)), std::floor(a.high / (a.high < 0 ? d.high : d.low)));
    },
    .vjp = not_differentiable("piecewise constant"),
    .samples = [] { return integer_samples(Op::FloorDiv); },
};

}  // namespace cpuflow::ir
