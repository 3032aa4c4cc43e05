#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_random(const Graph&, Node& node) {
  need_inputs(node, 0);
  node.axes = union_of(node.axes, {});
  node.dtype = DType::Real;
}

}  // namespace

extern const OpDef kRandom{
    .doc = "uniform in [0, 1), a function of the stream's name, the draw and the element",
    .infer = infer_random,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = [](const Node&, const Interval*) { return between(0, 1); },
    .vjp = not_differentiable("drawn"),
    .samples = []() -> std::vector<Sample> {
      return {sample({}, [](Graph& g, const std::vector<NodeId>&) { return g.random("r", {kB, kT}); })};
    },
};

}  // namespace cpuflow::ir
