#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kExp{
    .doc = "e to the power x",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return std::exp(in[0]); },
    .cpp = "exp({0})",
    .flops = 12,
    .bounds = [](const Node&, const Interval* in) { return rising(in[0], std::exp, true); },
    .vjp = [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) { add(0, g.binary(Op::Mul, grad, node)); },
    .samples = [] { return unary_samples(Op::Exp, -2, 2); },
};

}  // namespace cpuflow::ir
