#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kMin{
    .doc = "smallest element over axes; its gradient goes to the lowest index among equals",
    .infer = infer_reduction,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 1,
    .bounds = bounds_of_first,
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          const Axes over = g[node].from;
          add(0, pick_gradient(g, Op::Min, g[node].inputs[0], over, grad));
        },
    .samples = [] { return reduction_samples(Op::Min); },
};

}  // namespace cpuflow::ir
