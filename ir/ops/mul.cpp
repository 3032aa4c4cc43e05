#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kMul{
    .doc = "a * b",
    .infer = infer_arithmetic,
    .scalar = [](const double* in) -> double { return in[0] * in[1]; },
    .cpp = "{0} * {1}",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return times(in[0], in[1]); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId a = g[node].inputs[0], b = g[node].inputs[1];
          add(0, g.binary(Op::Mul, grad, b));
          add(1, g.binary(Op::Mul, grad, a));
        },
    .samples = [] { return binary_samples(Op::Mul, -2, 2); },
};

}  // namespace cpuflow::ir
