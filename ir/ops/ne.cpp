#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kNe{
    .doc = "a differs from b; Bool",
    .infer = infer_comparison,
    .scalar = [](const double* in) -> double { return in[0] != in[1]; },
    .cpp = "{0} != {1}",
    .flops = 1,
    .bounds = bounds_of_bool,
    .vjp = not_differentiable("piecewise constant"),
    .samples =
        [] {
          std::vector<Sample> all = binary_samples(Op::Ne, -2, 2);
          for (const Sample& s : integer_samples(Op::Ne)) all.push_back(s);
          return all;
        },
};

}  // namespace cpuflow::ir
