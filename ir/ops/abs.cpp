#include "ir/op_kit.h"

#include <algorithm>

namespace cpuflow::ir {

extern const OpDef kAbs{
    .doc = "absolute value; the gradient at 0 is 0",
    .infer = infer_number_unary,
    .scalar = [](const double* in) -> double { return std::fabs(in[0]); },
    .cpp = "abs({0})",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) {
      if (in[0].has_zero()) return between(0, std::max(-in[0].low, in[0].high));
      return in[0].low >= 0 ? in[0] : between(-in[0].high, -in[0].low);
    },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId x = g[node].inputs[0];
          NodeId zero = g.real(0);
          NodeId negative = g.select(g.binary(Op::Lt, x, zero), g.unary(Op::Neg, grad), zero);
          add(0, g.select(g.binary(Op::Lt, zero, x), grad, negative));
        },
    .samples = [] { return unary_samples(Op::Abs, -2, 2); },
};

}  // namespace cpuflow::ir
