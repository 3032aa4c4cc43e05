#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kSub{
    .doc = "a - b",
    .infer = infer_arithmetic,
    .scalar = [](const double* in) -> double { return in[0] - in[1]; },
    .cpp = "{0} - {1}",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return between(in[0].low - in[1].high, in[0].high - in[1].low); },
    .vjp =
        [](Graph& g, NodeId, NodeId grad, const AddGradient& add) {
          add(0, grad);
          add(1, g.unary(Op::Neg, grad));
        },
    .samples = [] { return binary_samples(Op::Sub, -2, 2); },
};

}  // namespace cpuflow::ir
