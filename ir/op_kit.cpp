#include "ir/op_kit.h"

#include "ir/diagnostics.h"
#include "ir/print.h"

#include <fmt/format.h>

#include <algorithm>

namespace cpuflow::ir {

void need(bool holds, const Node& node, const std::string& what) {
  if (holds) return;
  const std::string place = node.loc.known() ? node.loc.str() + ": " : "";
  throw InternalError(fmt::format("{}{}: {}", place, op_name(node.op), what));
}

void need_inputs(const Node& node, size_t count) {
  need(node.inputs.size() == count, node, fmt::format("expected {} inputs, found {}", count, node.inputs.size()));
}

Axes aligned(const Graph& g, const Node& node) {
  Axes axes;
  for (NodeId i : node.inputs) axes = union_of(axes, g[i].axes);
  return axes;
}

Axes sorted(Axes axes) {
  std::sort(axes.begin(), axes.end());
  return axes;
}

namespace {

void need_dtype(const Graph& g, const Node& node, size_t input, DType type) {
  const DType found = g[node.inputs[input]].dtype;
  need(found == type, node, fmt::format("input {} must be {}, is {}", input, dtype_name(type), dtype_name(found)));
}

void need_number(const Graph& g, const Node& node, size_t input) {
  need(g[node.inputs[input]].dtype != DType::Bool, node, fmt::format("input {} must be a number, is bool", input));
}

void elementwise(const Graph& g, Node& node, size_t inputs) {
  need_inputs(node, inputs);
  node.axes = aligned(g, node);
}

}  // namespace

void infer_real_unary(const Graph& g, Node& node) {
  elementwise(g, node, 1);
  need_dtype(g, node, 0, DType::Real);
  node.dtype = DType::Real;
}

void infer_number_unary(const Graph& g, Node& node) {
  elementwise(g, node, 1);
  need_number(g, node, 0);
  node.dtype = g[node.inputs[0]].dtype;
}

void infer_to_int(const Graph& g, Node& node) {
  elementwise(g, node, 1);
  need_dtype(g, node, 0, DType::Real);
  node.dtype = DType::Int;
}

void infer_arithmetic(const Graph& g, Node& node) {
  elementwise(g, node, 2);
  need_number(g, node, 0);
  need_dtype(g, node, 1, g[node.inputs[0]].dtype);
  node.dtype = g[node.inputs[0]].dtype;
}

void infer_real_binary(const Graph& g, Node& node) {
  elementwise(g, node, 2);
  need_dtype(g, node, 0, DType::Real);
  need_dtype(g, node, 1, DType::Real);
  node.dtype = DType::Real;
}

void infer_comparison(const Graph& g, Node& node) {
  elementwise(g, node, 2);
  need_dtype(g, node, 1, g[node.inputs[0]].dtype);
  node.dtype = DType::Bool;
}

void infer_logic(const Graph& g, Node& node) {
  node.axes = aligned(g, node);
  for (size_t i = 0; i < node.inputs.size(); ++i) need_dtype(g, node, i, DType::Bool);
  node.dtype = DType::Bool;
}

void infer_logic_binary(const Graph& g, Node& node) {
  need_inputs(node, 2);
  infer_logic(g, node);
}

void infer_reduction(const Graph& g, Node& node) {
  need_inputs(node, 1);
  need_number(g, node, 0);
  const Node& x = g[node.inputs[0]];
  for (const Axis& a : node.from) need(contains(x.axes, a), node, fmt::format("the input has no axis {}", a.str()));
  node.axes = sorted(without(x.axes, node.from));
  node.dtype = x.dtype;
}

Interval bounds_of_bool(const Node&, const Interval*) { return between(0, 1); }

Interval bounds_of_first(const Node&, const Interval* in) { return in[0]; }

NodeId spread(Graph& g, NodeId x, const Axes& axes) {
  for (const Axis& a : axes) {
    if (contains(g[x].axes, a)) continue;
    x = g.binary(Op::Add, x, g.literal(std::vector<double>(a.size, 0.0), a, g[x].dtype));
  }
  return x;
}

NodeId pick_gradient(Graph& g, Op op, NodeId x, const Axes& over, NodeId grad) {
  // The value at each index of the first axis, and the index that wins; then the same inside.
  const Axis first = over[0];
  const Axes inner(over.begin() + 1, over.end());
  NodeId best = inner.empty() ? x : g.reduce(op, x, inner);
  NodeId winner = g.argmax(op == Op::Max ? best : g.unary(Op::Neg, best), first);
  NodeId here = g.select(g.binary(Op::Eq, g.iota(first), winner), grad, g.real(0));
  return inner.empty() ? here : pick_gradient(g, op, x, inner, here);
}

Sample sample(std::vector<Axes> params, std::function<NodeId(Graph&, const std::vector<NodeId>&)> build) {
  Sample s;
  s.params = std::move(params);
  s.build = std::move(build);
  return s;
}

std::vector<Sample> unary_samples(Op op, double low, double high) {
  std::vector<Sample> all;
  for (const Axes& axes : {Axes{}, Axes{kOne, kH}, Axes{kB, kT, kF}}) {
    Sample s = sample({axes}, [op](Graph& g, const std::vector<NodeId>& p) { return g.unary(op, p[0]); });
    s.low = low;
    s.high = high;
    all.push_back(s);
  }
  return all;
}

std::vector<Sample> binary_samples(Op op, double low, double high) {
  std::vector<Sample> all;
  const std::vector<std::vector<Axes>> shapes = {
      {{}, {}}, {{kOne, kH}, {kOne}}, {{kB, kT, kF}, {kF}}, {{kT, kF}, {kB, kG}}, {{kF, kT}, {kT, kF}}};
  for (const std::vector<Axes>& axes : shapes) {
    Sample s = sample(axes, [op](Graph& g, const std::vector<NodeId>& p) { return g.binary(op, p[0], p[1]); });
    s.low = low;
    s.high = high;
    all.push_back(s);
  }
  return all;
}

std::vector<Sample> integer_samples(Op op) {
  return {sample({}, [op](Graph& g, const std::vector<NodeId>&) { return g.binary(op, g.iota(kT, -2), g.iota(kG, 1)); }),
          sample({}, [op](Graph& g, const std::vector<NodeId>&) { return g.binary(op, g.iota(kOne, 7), g.iota(kOne, 3)); })};
}

std::vector<Sample> reduction_samples(Op op) {
  auto over = [op](Axes axes, Axes reduced) {
    return sample({std::move(axes)}, [op, reduced](Graph& g, const std::vector<NodeId>& p) { return g.reduce(op, p[0], reduced); });
  };
  return {over({kOne, kH}, {kOne}), over({kB, kT, kF}, {kF}), over({kB, kT, kF}, {kB, kF}), over({kF, kT}, {kT, kF})};
}

}  // namespace cpuflow::ir
