#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_argmax(const Graph& g, Node& node) {
  infer_reduction(g, node);
  need(node.from.size() == 1, node, "one axis is needed");
  node.dtype = DType::Int;
}

}  // namespace

extern const OpDef kArgmax{
    .doc = "index of the largest element along an axis, the lowest among equals; Int",
    .infer = infer_argmax,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 1,
    .bounds = [](const Node& n, const Interval*) { return between(0, n.from[0].size - 1.0); },
    .vjp = not_differentiable("an index"),
    .samples = []() -> std::vector<Sample> {
      return {sample({{kT, kF}}, [](Graph& g, const std::vector<NodeId>& p) { return g.argmax(p[0], kF); }),
              sample({{kOne}}, [](Graph& g, const std::vector<NodeId>& p) { return g.argmax(p[0], kOne); })};
    },
};

}  // namespace cpuflow::ir
