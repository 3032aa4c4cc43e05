#include "modeldefs/frontend/nodes.h"

#include "ir/op_kit.h"
#include "ir/schedule.h"

#include <cmath>

namespace cpuflow::frontend {
using namespace ir;

NodeId Nodes::number(double value, DType type) {
  if (type == DType::Real) return graph.real(value);
  if (type == DType::Bool) return graph.boolean(value != 0);
  return graph.integer(static_cast<int64_t>(value));
}

NodeId Nodes::to_real(NodeId x) { return graph.unary(Op::ToReal, x); }

NodeId Nodes::to_bool(NodeId x) { return is(x, DType::Bool) ? x : graph.binary(Op::Ne, x, number(0, graph[x].dtype)); }

NodeId Nodes::unary(Op op, NodeId x) {
  if (is(x, DType::Bool)) x = to_real(x);
  // Nothing flows back to integers and constants.
  bool no_gradient = is(x, DType::Int) || graph[x].op == Op::Constant;
  return op == Op::Stop && no_gradient ? x : graph.unary(op, x);
}

NodeId Nodes::arithmetic(Op op, NodeId a, NodeId b) {
  if (is(a, DType::Bool)) a = to_real(a);
  if (is(b, DType::Bool)) b = to_real(b);
  return graph.binary(op, a, b);
}

NodeId Nodes::power(NodeId a, NodeId b) {
  bool integers = is(a, DType::Int) && is(b, DType::Int);
  if (graph[b].op == Op::Constant) {
    double n = graph[b].value;
    if (graph[a].op == Op::Constant) return number(std::pow(graph[a].value, n), integers && n >= 0 ? DType::Int : DType::Real);
    // Small whole powers are products; their gradient needs no logarithm.
    if (n == 1) return integers ? a : to_real(a);
    if (n == 2) return mul(a, a);
    if (n == 3) return mul(mul(a, a), a);
    if (n == 4) return mul(mul(a, a), mul(a, a));
    if (n == 0.5) return unary(Op::Sqrt, a);
    if (n == -1) return arithmetic(Op::Div, real(1), a);
  }
  return graph.binary(Op::Pow, a, b);
}

NodeId Nodes::compare(Op op, NodeId a, NodeId b) { return arithmetic(op, a, b); }

NodeId Nodes::both(NodeId a, NodeId b) { return a == b ? a : graph.binary(Op::And, a, b); }

NodeId Nodes::negation(NodeId condition) { return graph.unary(Op::Not, condition); }

NodeId Nodes::select(NodeId condition, NodeId a, NodeId b) { return a == b ? a : graph.select(condition, a, b); }

NodeId Nodes::rename(NodeId x, const Axes& from, const Axes& to) {
  return graph.rename_present(x, from, to);
}

NodeId Nodes::spread(NodeId x, const Axes& axes) {
  if (!is(x, DType::Bool)) return ir::spread(graph, x, axes);
  for (const Axis& axis : axes) {
    if (!has(x, axis)) x = graph.binary(Op::Or, x, graph.literal(std::vector<double>(axis.size, 0.0), axis, DType::Bool));
  }
  return x;
}

NodeId Nodes::reduce(Op op, NodeId x, const Axes& over) {
  Axes present;
  double repeats = 1;
  for (const Axis& axis : over) {
    if (has(x, axis)) {
      present.push_back(axis);
    } else {
      repeats *= axis.size;
    }
  }
  x = graph.reduce(op, x, present);
  if (repeats == 1 || op == Op::Max || op == Op::Min) return x;
  return op == Op::Sum ? mul(x, real(repeats)) : power(x, real(repeats));
}

NodeId Nodes::gather(NodeId x, const Axis& axis, NodeId index) {
  if (has(x, axis)) return graph.gather(x, axis, index);
  NodeId inside = both(compare(Op::Le, integer(0), index), compare(Op::Lt, index, integer(axis.size)));
  const Interval range = statics.interval(index);
  return range.low >= 0 && range.high < axis.size ? x : select(inside, x, number(0, graph[x].dtype));
}

NodeId Nodes::with_unit(NodeId x, const Axis& axis) { return has(x, axis) ? x : graph.reshape(x, {}, {axis}); }

Graph Nodes::reachable() const {
  std::vector<NodeId> outputs;
  for (const Output& o : graph.outputs) outputs.push_back(o.node);
  std::vector<bool> needed(graph.size(), false);
  for (const NodeId id : needed_by(graph, outputs)) needed[id] = true;
  Graph out;
  std::vector<NodeId> to(graph.size(), kNoNode);
  std::vector<std::pair<NodeId, NodeId>> open;  // carries to close, and their inputs
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (!needed[id]) continue;
    Node node = graph[id];
    out.at = node.loc;
    if (node.op == Op::Carry && to[node.inputs[0]] == kNoNode) {
      NodeId init = node.inputs.size() > 1 ? to[node.inputs[1]] : kNoNode;
      to[id] = out.carry_open(node.axes, node.dtype, node.from[0], node.ints[0], init);
      open.emplace_back(to[id], node.inputs[0]);
      out.set_name(to[id], node.name, node.loc);
      continue;
    }
    for (NodeId& in : node.inputs) in = to[in];
    to[id] = out.add(std::move(node));
  }
  for (const auto& [carry, x] : open) out.close(carry, to[x]);
  for (const Output& o : graph.outputs) out.outputs.push_back({o.name, to[o.node]});
  return out;
}

}  // namespace cpuflow::frontend
