#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_constant(const Graph&, Node& node) {
  need_inputs(node, 0);
  need(node.dtype == DType::Real || node.value == std::trunc(node.value), node, "an integer constant must be whole");
  node.axes.clear();
}

}  // namespace

extern const OpDef kConstant{
    .doc = "one number",
    .infer = infer_constant,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = [](const Node& n, const Interval*) { return between(n.value, n.value); },
    .vjp = not_differentiable("constant"),
    .samples = []() -> std::vector<Sample> { return {sample({}, [](Graph& g, const std::vector<NodeId>&) { return g.real(2.5); })}; },
};

}  // namespace cpuflow::ir
