#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_cumsum(const Graph& g, Node& node) {
  need_inputs(node, 1);
  const Node& x = g[node.inputs[0]];
  need(x.dtype != DType::Bool, node, "the input must be a number");
  need(node.from.size() == 1 && contains(x.axes, node.from[0]), node, "the input must have the axis");
  need(node.ints.size() == 2, node, "reverse and exclusive are needed");
  node.axes = sorted(x.axes);
  node.dtype = x.dtype;
}

void cumsum_vjp(Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
  const Node n = g[node];
  add(0, g.cumsum(spread(g, grad, n.from), n.from[0], n.ints[0] == 0, n.ints[1] != 0));
}

}  // namespace

extern const OpDef kCumsum{
    .doc = "running sum along an axis; ints = {reverse, exclusive}",
    .infer = infer_cumsum,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 1,
    .bounds = [](const Node& n, const Interval* in) {
      const Interval all = join(in[0], sum_of(in[0], n.from[0].size));
      return n.ints[1] ? join(all, between(0, 0)) : all;
    },
    .vjp = cumsum_vjp,
    .samples =
        [] {
          std::vector<Sample> all;
          for (int mode = 0; mode < 4; ++mode) {
            for (const Axes& axes : {Axes{kOne}, Axes{kB, kT, kF}}) {
              const Axis along = axes.size() == 1 ? kOne : kT;
              all.push_back(
                  sample({axes}, [=](Graph& g, const std::vector<NodeId>& p) { return g.cumsum(p[0], along, mode & 1, mode & 2); }));
            }
          }
          return all;
        },
};

}  // namespace cpuflow::ir
