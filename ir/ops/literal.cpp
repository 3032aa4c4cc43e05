#include "ir/op_kit.h"

#include <algorithm>

namespace cpuflow::ir {

namespace {

void infer_literal(const Graph&, Node& node) {
  need_inputs(node, 0);
  need(node.axes.size() == 1 && node.values.size() == node.axes[0].size, node, "the values must fill the one axis");
}

}  // namespace

extern const OpDef kLiteral{
    .doc = "numbers along one axis",
    .infer = infer_literal,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = [](const Node& n, const Interval*) {
      const auto [low, high] = std::minmax_element(n.values.begin(), n.values.end());
      return between(*low, *high);
    },
    .vjp = not_differentiable("constant"),
    .samples = []() -> std::vector<Sample> {
      return {sample({}, [](Graph& g, const std::vector<NodeId>&) { return g.literal({1, -2, 0.5}, kF, DType::Real); })};
    },
};

}  // namespace cpuflow::ir
