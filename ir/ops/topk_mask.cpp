#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_topk_mask(const Graph& g, Node& node) {
  need_inputs(node, 1);
  const Node& x = g[node.inputs[0]];
  need(x.dtype != DType::Bool, node, "the input must be a number");
  need(node.from.size() == 1 && contains(x.axes, node.from[0]), node, "the input must have the axis");
  need(node.ints.size() == 1 && node.ints[0] >= 1 && node.ints[0] <= node.from[0].size, node, "k must be from 1 to the size of the axis");
  node.axes = sorted(x.axes);
  node.dtype = DType::Bool;
}

}  // namespace

extern const OpDef kTopkMask{
    .doc = "whether an element is among the k largest along an axis; ties go to the lowest index; Bool",
    .infer = infer_topk_mask,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 4,
    .bounds = bounds_of_bool,
    .vjp = not_differentiable("a choice"),
    .samples = []() -> std::vector<Sample> {
      return {sample({{kT, kF}}, [](Graph& g, const std::vector<NodeId>& p) { return g.topk_mask(p[0], kF, 2); }),
              sample({{kOne}}, [](Graph& g, const std::vector<NodeId>& p) { return g.topk_mask(p[0], kOne, 1); })};
    },
};

}  // namespace cpuflow::ir
