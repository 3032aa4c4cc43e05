#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_given(const Graph&, Node& node) {
  need_inputs(node, 0);
  need(!node.text.empty(), node, "a parameter needs a name");
  need(union_of(node.axes, {}).size() == node.axes.size(), node, "an axis stands twice");
  node.dtype = DType::Real;
}

}  // namespace

extern const OpDef kParam{
    .doc = "a trained value; text is its name in the checkpoint",
    .infer = infer_given,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = [](const Node&, const Interval*) { return any_number(); },
    .vjp = not_differentiable("nothing before it"),
    .samples = []() -> std::vector<Sample> {
      return {sample({{kF, kT}}, [](Graph&, const std::vector<NodeId>& p) { return p[0]; })};
    },
};

}  // namespace cpuflow::ir
