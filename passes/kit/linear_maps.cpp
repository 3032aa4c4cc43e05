#include "passes/kit/linear_maps.h"

#include "passes/kit/rewrite.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

LinearMaps::LinearMaps(const Graph& graph) : graph_(graph), users_(users_of(graph)), fixed_(graph.size()) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& n = graph[id];
    const bool given = n.op == Op::Input || n.op == Op::Random || n.op == Op::Carry;
    const bool of_one = std::none_of(n.axes.begin(), n.axes.end(), [](const Axis& a) { return a.kind == AxisKind::Batch || a.kind == AxisKind::Position; });
    fixed_[id] = !given && of_one && std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return fixed_[i]; });
  }
  for (const Output& o : graph.outputs) users_[o.node].push_back(kNoNode);
}

std::optional<LinearMap> LinearMaps::at(NodeId id) const {
  const Node& sum = graph_[id];
  if (sum.op != Op::Sum || sum.dtype != DType::Real || graph_[sum.inputs[0]].op != Op::Mul) return std::nullopt;
  const std::vector<NodeId>& factors = graph_[sum.inputs[0]].inputs;
  for (size_t side : {0, 1}) {
    const NodeId matrix = factors[side], x = factors[1 - side];
    if (fixed_[matrix] && !fixed_[x] && subset(sum.from, graph_[matrix].axes) && subset(sum.from, graph_[x].axes)) return LinearMap{matrix, x, sum.from};
  }
  return std::nullopt;
}

NodeId LinearMaps::behind_names(NodeId x, Axes& axes, bool alone) const {
  for (; graph_[x].op == Op::Rename && (!alone || users_[x].size() == 1); x = graph_[x].inputs[0]) {
    const Node& n = graph_[x];
    for (size_t i = 0; i < n.from.size(); ++i) {
      const auto at = std::find(axes.begin(), axes.end(), n.to[i]);
      if (at == axes.end()) return kNoNode;
      *at = n.from[i];
    }
  }
  return x;
}

}  // namespace cpuflow::passes
