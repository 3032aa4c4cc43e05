#include "ir/op_kit.h"

#include <algorithm>

namespace cpuflow::ir {

extern const OpDef kRelu{
    .doc = "x where it is positive, else 0; NaN stays NaN; the gradient at 0 is 0",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return 0 > in[0] ? 0 : in[0]; },
    .cpp = "relu({0})",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return rising(in[0], [](double x) { return std::max(x, 0.0); }, in[0].above_zero()); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          // of the result, which the next product keeps anyway; it is positive where x is
          add(0, g.select(g.binary(Op::Lt, g.real(0), node), grad, g.real(0)));
        },
    .samples = [] { return unary_samples(Op::Relu, -2, 2); },
};

}  // namespace cpuflow::ir
