#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_iota(const Graph&, Node& node) {
  need_inputs(node, 0);
  need(node.axes.size() == 1, node, "one axis is needed");
  node.dtype = DType::Int;
}

}  // namespace

extern const OpDef kIota{
    .doc = "the index along an axis, plus value; Int",
    .infer = infer_iota,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = [](const Node& n, const Interval*) { return between(n.value, n.value + n.axes[0].size - 1); },
    .vjp = not_differentiable("constant"),
    .samples = []() -> std::vector<Sample> { return {sample({}, [](Graph& g, const std::vector<NodeId>&) { return g.iota(kT, -1); })}; },
};

}  // namespace cpuflow::ir
