#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kSum{
    .doc = "sum over axes",
    .infer = infer_reduction,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 1,
    .bounds = [](const Node& n, const Interval* in) { return sum_of(in[0], static_cast<double>(element_count(n.from))); },
    .vjp = [](Graph&, NodeId, NodeId grad, const AddGradient& add) { add(0, grad); },
    .samples = [] { return reduction_samples(Op::Sum); },
};

}  // namespace cpuflow::ir
