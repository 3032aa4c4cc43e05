#include "graph_tools.h"

#include "ir/op.h"
#include "ir/verify.h"
#include "passes/build_backward.h"
#include "passes/kit/rewrite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace cpuflow::ir {

std::map<std::string, Tensor> random_params(const Graph& g, double low, double high, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> draw(low, high);
  std::map<std::string, Tensor> params;
  for (NodeId id = 0; id < g.size(); ++id) {
    if (g[id].op != Op::Param) continue;
    Tensor t{g[id].axes, std::vector<double>(element_count(g[id].axes))};
    for (double& v : t.data) v = draw(random);
    params[g[id].text] = t;
  }
  return params;
}

Tensor value_of(Graph g, NodeId node, const std::map<std::string, Tensor>& params, const std::map<std::string, Tensor>& inputs) {
  g.outputs = {{"value", node}};
  return interpret(g, params, inputs).at("value");
}

NodeId weighted_sum(Graph& g, NodeId value) {
  NodeId weighted = g.unary(Op::ToReal, value);
  for (const Axis& a : Axes(g[value].axes)) {
    std::vector<double> weights(a.size);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = std::sin(1.0 + 2.3 * static_cast<double>(i)) + 0.3;
    weighted = g.binary(Op::Mul, weighted, g.literal(weights, a, DType::Real));
  }
  return g.reduce(Op::Sum, weighted, g[weighted].axes);
}

namespace {

bool is_discrete(const Node& n) {
  switch (n.op) {
    case Op::Stop:
    case Op::Argmax:
    case Op::TopkMask:
    case Op::Round:
    case Op::Floor:
    case Op::Ceil:
    case Op::Eq:
    case Op::Ne:
    case Op::Lt:
    case Op::Le:
      return true;
    default:
      return false;
  }
}

/// The graph with the values of discrete nodes given from outside, and those values.
Graph replayed(const Graph& g, const std::map<std::string, Tensor>& params, std::map<std::string, Tensor>& values) {
  Graph watched = g;
  watched.outputs.clear();
  std::vector<NodeId> roots;
  for (const Output& o : g.outputs) roots.push_back(o.node);
  const std::vector<bool> needed = passes::reachable(g, roots);
  for (NodeId id = 0; id < g.size(); ++id) {
    if (needed[id] && is_discrete(g[id])) watched.outputs.push_back({fmt::format("kept{}", id), id});
  }
  values = interpret(watched, params, {});
  return passes::rewrite(g, [](Graph& out, const Node& n, NodeId id, const std::vector<NodeId>&) -> NodeId {
    if (!is_discrete(n)) return kNoNode;
    const std::string name = fmt::format("kept{}", id);
    if (n.dtype == DType::Real) return out.random(name, n.axes);
    const NodeId given = out.input(name, n.axes);
    return n.dtype == DType::Int ? given : out.binary(Op::Ne, given, out.integer(0));
  });
}

}  // namespace

std::string check_gradients(Graph g, NodeId loss, const std::map<std::string, Tensor>& params) {
  std::vector<NodeId> wrt;
  std::vector<std::string> names;
  for (NodeId id = 0; id < g.size(); ++id) {
    if (g[id].op != Op::Param) continue;
    wrt.push_back(id);
    names.push_back(g[id].text);
  }
  g.outputs = {{"loss", loss}};
  std::map<std::string, Tensor> kept;
  const Graph forward = replayed(g, params, kept);
  passes::build_backward(g, loss, wrt, names);
  verify(g);
  const std::map<std::string, Tensor> got = interpret(g, params, {});
  for (size_t p = 0; p < wrt.size(); ++p) {
    const Tensor& grad = got.at(names[p]);
    const Tensor& at = params.at(names[p]);
    if (!std::is_permutation(grad.axes.begin(), grad.axes.end(), at.axes.begin(), at.axes.end()))
      return names[p] + ": the gradient has other axes";
    // The gradient's axes are in order; the parameter's may be stored otherwise.
    Graph reorder;
    const Tensor stored = value_of(reorder, reorder.param("x", at.axes), {{"x", grad}});
    double largest = 0;
    for (double v : stored.data) largest = std::max(largest, std::fabs(v));
    for (size_t i = 0; i < at.data.size(); ++i) {
      constexpr double kStep = 1e-5;
      std::map<std::string, Tensor> moved = params;
      moved[names[p]].data[i] += kStep;
      const double above = interpret(forward, moved, kept).at("loss").data[0];
      moved[names[p]].data[i] -= 2 * kStep;
      const double below = interpret(forward, moved, kept).at("loss").data[0];
      const double difference = (above - below) / (2 * kStep);
      if (!(std::fabs(difference - stored.data[i]) <= 1e-6 * largest + 1e-8)) {
        return fmt::format("{}[{}]: gradient {}, difference quotient {}", names[p], i, stored.data[i], difference);
      }
    }
  }
  return "";
}

}  // namespace cpuflow::ir
