#include "ir/op_kit.h"

#include <algorithm>

namespace cpuflow::ir {

extern const OpDef kSoftplus{
    .doc = "log(1 + exp(x)), without overflow",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return (in[0] > 0 ? in[0] : 0) + std::log1p(std::exp(-std::fabs(in[0]))); },
    .cpp = "softplus({0})",
    .flops = 24,
    .bounds = [](const Node&, const Interval* in) { return rising(in[0], [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }, true); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId x = g[node].inputs[0];
          add(0, g.binary(Op::Mul, grad, g.unary(Op::Sigmoid, x)));
        },
    .samples = [] { return unary_samples(Op::Softplus, -2, 2); },
};

}  // namespace cpuflow::ir
