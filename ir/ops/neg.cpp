#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kNeg{
    .doc = "-x",
    .infer = infer_number_unary,
    .scalar = [](const double* in) -> double { return -in[0]; },
    .cpp = "-{0}",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return between(-in[0].high, -in[0].low); },
    .vjp = [](Graph& g, NodeId, NodeId grad, const AddGradient& add) { add(0, g.unary(Op::Neg, grad)); },
    .samples = [] { return unary_samples(Op::Neg, -2, 2); },
};

}  // namespace cpuflow::ir
