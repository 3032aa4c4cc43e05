#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kErf{
    .doc = "error function",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return std::erf(in[0]); },
    .cpp = "erf({0})",
    .flops = 24,
    .bounds = [](const Node&, const Interval* in) { return rising(in[0], std::erf); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId x = g[node].inputs[0];
          constexpr double kTwoOverRootPi = 1.1283791670955125739;
          NodeId bell = g.unary(Op::Exp, g.unary(Op::Neg, g.binary(Op::Mul, x, x)));
          add(0, g.binary(Op::Mul, grad, g.binary(Op::Mul, g.real(kTwoOverRootPi), bell)));
        },
    .samples = [] { return unary_samples(Op::Erf, -2, 2); },
};

}  // namespace cpuflow::ir
