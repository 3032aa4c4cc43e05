#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kDiv{
    .doc = "a / b; Real",
    .infer = infer_real_binary,
    .scalar = [](const double* in) -> double { return in[0] / in[1]; },
    .cpp = "{0} / {1}",
    .flops = 4,
    .bounds = [](const Node&, const Interval* in) {
      const Interval& d = in[1];
      if (d.has_zero()) return in[0].low >= 0 && d.low >= 0 ? between(0, INFINITY) : any_number();
      return times(in[0], between(d.high == 0 ? -INFINITY : 1 / d.high, d.low == 0 ? INFINITY : 1 / d.low, true));
    },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId b = g[node].inputs[1];
          NodeId scaled = g.binary(Op::Div, grad, b);
          add(0, scaled);
          add(1, g.unary(Op::Neg, g.binary(Op::Mul, scaled, node)));
        },
    .samples = [] { return binary_samples(Op::Div, 0.5, 3); },
};

}  // namespace cpuflow::ir
