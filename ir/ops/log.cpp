#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kLog{
    .doc = "natural logarithm",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return std::log(in[0]); },
    .cpp = "log({0})",
    .flops = 12,
    .bounds = [](const Node&, const Interval* in) { return between(in[0].low <= 0 ? -INFINITY : std::log(in[0].low), in[0].high <= 0 ? INFINITY : std::log(in[0].high)); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId x = g[node].inputs[0];
          add(0, g.binary(Op::Div, grad, x));
        },
    .samples = [] { return unary_samples(Op::Log, 0.5, 3); },
};

}  // namespace cpuflow::ir
