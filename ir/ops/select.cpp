#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_select(const Graph& g, Node& node) {
  need_inputs(node, 3);
  need(g[node.inputs[0]].dtype == DType::Bool, node, "the condition must be bool");
  need(g[node.inputs[1]].dtype == g[node.inputs[2]].dtype, node, "both sides must have one dtype");
  node.axes = aligned(g, node);
  node.dtype = g[node.inputs[1]].dtype;
}

}  // namespace

extern const OpDef kSelect{
    .doc = "a where the condition holds, else b; the other side is not read",
    .infer = infer_select,
    .scalar = [](const double* in) -> double { return in[0] != 0 ? in[1] : in[2]; },
    .cpp = "select({0}, {1}, {2})",
    .flops = 1,
    .bounds = [](const Node&, const Interval* in) { return join(in[1], in[2]); },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId condition = g[node].inputs[0], zero = g.real(0);
          add(1, g.select(condition, grad, zero));
          add(2, g.select(condition, zero, grad));
        },
    .samples = []() -> std::vector<Sample> {
      const Axis g9{AxisKind::Feature, 9, kF.size};
      auto positive = [](Graph& g, NodeId x) { return g.binary(Op::Lt, g.real(0), x); };
      return {
          sample({{kT, kF}, {kF}, {kB, kT}},
                 [](Graph& g, const std::vector<NodeId>& p) { return g.select(g.binary(Op::Lt, p[0], g.real(0)), p[1], p[2]); }),
          // The side that is not chosen may be undefined, however deep inside.
          sample({{kB, kF}},
                 [=](Graph& g, const std::vector<NodeId>& p) { return g.select(positive(g, p[0]), g.unary(Op::Sqrt, p[0]), g.real(0)); }),
          sample({{kB, kF}},
                 [=](Graph& g, const std::vector<NodeId>& p) {
                   NodeId root = g.unary(Op::Sqrt, p[0]);
                   NodeId inside = g.binary(Op::Sub, g.binary(Op::Mul, g.unary(Op::Tanh, root), root), g.unary(Op::Log, p[0]));
                   return g.select(positive(g, p[0]), g.unary(Op::Neg, inside), p[0]);
                 }),
          sample({{kB, kF}},
                 [=](Graph& g, const std::vector<NodeId>& p) {
                   NodeId other = g.rename(p[0], {kF}, {g9});
                   return g.select(g.unary(Op::Not, positive(g, other)), g.real(0), g.rename(g.unary(Op::Log, p[0]), {kF}, {g9}));
                 }),
      };
    },
};

}  // namespace cpuflow::ir
