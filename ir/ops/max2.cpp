#include "ir/op_kit.h"

#include <algorithm>

namespace cpuflow::ir {

extern const OpDef kMax2{
    .doc = "the larger of two, the first where they are equal or one is NaN; the gradient of a tie goes to the first",
    .infer = infer_arithmetic,
    .scalar = [](const double* in) -> double { return in[1] > in[0] ? in[1] : in[0]; },
    .cpp = "max({0}, {1})",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return between(std::max(in[0].low, in[1].low), std::max(in[0].high, in[1].high), in[0].above_zero() || in[1].above_zero()); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId a = g[node].inputs[0], b = g[node].inputs[1];
          NodeId zero = g.real(0), first = g.binary(Op::Le, b, a);
          add(0, g.select(first, grad, zero));
          add(1, g.select(first, zero, grad));
        },
    .samples = [] { return binary_samples(Op::Max2, -2, 2); },
};

}  // namespace cpuflow::ir
