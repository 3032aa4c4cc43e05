#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

/// An axis of this size that no axis in use is equal to.
Axis fresh_axis(const Axes& used, const Axis& like) {
  Axis axis = like;
  while (contains(used, axis)) ++axis.ordinal;
  return axis;
}

/// The product of the others, multiplied out: exact where elements are zero.
void prod_vjp(Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
  const NodeId x = g[node].inputs[0];
  const Axes over = g[node].from;
  Axes used = g[x].axes, copies;
  NodeId same = g.boolean(true);
  for (const Axis& a : over) {
    const Axis copy = fresh_axis(used, a);
    used.push_back(copy);
    copies.push_back(copy);
    same = g.binary(Op::And, same, g.binary(Op::Eq, g.iota(a), g.iota(copy)));
  }
  NodeId others = g.reduce(Op::Prod, g.select(same, g.real(1), g.rename(x, over, copies)), copies);
  add(0, g.binary(Op::Mul, grad, others));
}

}  // namespace

extern const OpDef kProd{
    .doc = "product over axes",
    .infer = infer_reduction,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 1,
    .bounds = [](const Node&, const Interval*) { return any_number(); },
    .vjp = prod_vjp,
    .samples = [] { return reduction_samples(Op::Prod); },
};

}  // namespace cpuflow::ir
