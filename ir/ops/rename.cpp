#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_rename(const Graph& g, Node& node) {
  need_inputs(node, 1);
  need(node.from.size() == node.to.size(), node, "as many new names as old ones are needed");
  const Node& x = g[node.inputs[0]];
  node.axes = x.axes;
  for (size_t i = 0; i < node.from.size(); ++i) {
    int k = index_of(x.axes, node.from[i]);
    need(k >= 0, node, "the input has no axis " + node.from[i].str());
    need(node.from[i].size == node.to[i].size, node, node.from[i].str() + " and " + node.to[i].str() + " differ in size");
    node.axes[static_cast<size_t>(k)] = node.to[i];
  }
  const size_t count = node.axes.size();
  node.axes = union_of(node.axes, {});
  need(node.axes.size() == count, node, "an axis stands twice in the result");
  node.dtype = x.dtype;
}

void rename_vjp(Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
  const Node n = g[node];
  add(0, g.rename_present(grad, n.to, n.from));
}

}  // namespace

extern const OpDef kRename{
    .doc = "x with axis from[i] called to[i]",
    .infer = infer_rename,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = bounds_of_first,
    .vjp = rename_vjp,
    .samples = []() -> std::vector<Sample> {
      return {sample({{kT, kF}}, [](Graph& g, const std::vector<NodeId>& p) { return g.rename(p[0], {kT}, {kS}); }),
              sample({{kT, kS}}, [](Graph& g, const std::vector<NodeId>& p) {
                return g.rename(p[0], {kT, kS}, {kS, kT});
              })};
    },
};

}  // namespace cpuflow::ir
