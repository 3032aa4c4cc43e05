#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kSigmoid{
    .doc = "1 / (1 + exp(-x)), from the exponential that does not overflow",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return in[0] >= 0 ? 1 / (1 + std::exp(-in[0])) : std::exp(in[0]) / (1 + std::exp(in[0])); },
    .cpp = "sigmoid({0})",
    .flops = 16,
    .bounds = [](const Node&, const Interval* in) { return rising(in[0], [](double x) { return 1 / (1 + std::exp(-x)); }, true); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId slope = g.binary(Op::Mul, node, g.binary(Op::Sub, g.real(1), node));
          add(0, g.binary(Op::Mul, grad, slope));
        },
    .samples = [] { return unary_samples(Op::Sigmoid, -2, 2); },
};

}  // namespace cpuflow::ir
