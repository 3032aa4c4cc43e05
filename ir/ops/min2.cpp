#include "ir/op_kit.h"

#include <algorithm>

namespace cpuflow::ir {

extern const OpDef kMin2{
    .doc = "the smaller of two, the first where they are equal or one is NaN; the gradient of a tie goes to the first",
    .infer = infer_arithmetic,
    .scalar = [](const double* in) -> double { return in[1] < in[0] ? in[1] : in[0]; },
    .cpp = "min({0}, {1})",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return between(std::min(in[0].low, in[1].low), std::min(in[0].high, in[1].high), in[0].above_zero() && in[1].above_zero()); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId a = g[node].inputs[0], b = g[node].inputs[1];
          NodeId zero = g.real(0), first = g.binary(Op::Le, a, b);
          add(0, g.select(first, grad, zero));
          add(1, g.select(first, zero, grad));
        },
    .samples = [] { return binary_samples(Op::Min2, -2, 2); },
};

}  // namespace cpuflow::ir
