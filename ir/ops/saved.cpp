#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kSaved{
    .doc = "x, kept from the forward pass for the backward pass; in two bytes where products take bf16",
    .infer = infer_real_unary,
    .scalar = [](const double* in) -> double { return in[0]; },
    .cpp = "{0}",
    .flops = 0,
    .bounds = bounds_of_first,
    .vjp = [](Graph&, NodeId, NodeId grad, const AddGradient& add) { add(0, grad); },
    .samples = [] { return unary_samples(Op::Saved, -2, 2); },
};

}  // namespace cpuflow::ir
