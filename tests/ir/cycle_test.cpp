#include "graph_tools.h"
#include "ir/op_kit.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "passes/build_backward.h"
#include "tests/catch.h"

#include <cmath>

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

/// A stack of gated recurrences: x[l] -> z = sigmoid(W x + U h before), h = z h before + (1 - z) tanh x, x[l + 1] = x + h.
struct Stack {
  Graph g;
  NodeId x = kNoNode, h = kNoNode, y = kNoNode, out = kNoNode;
};

Stack gated_stack(int64_t layer_step, int64_t time_step) {
  Stack s;
  Graph& g = s.g;
  const Axes all{kL, kT, kF};
  const Axis out{AxisKind::Feature, 9, kF.size};
  const NodeId start = g.param("start", {kT, kF}), before = g.param("before.{layer}", {kL, kF});
  const NodeId w = g.param("w.{layer}", {kL, out, kF}), u = g.param("u.{layer}", {kL, out, kF});
  s.x = g.carry_open(all, DType::Real, kL, layer_step, start);
  const NodeId memory = g.carry_open(all, DType::Real, kT, time_step, before);
  auto product = [&](NodeId m, NodeId v) { return g.rename(g.reduce(Op::Sum, g.binary(Op::Mul, m, v), {kF}), {out}, {kF}); };
  const NodeId z = g.unary(Op::Sigmoid, g.binary(Op::Add, product(w, s.x), product(u, memory)));
  const NodeId kept = g.binary(Op::Mul, z, memory);
  s.h = g.binary(Op::Add, kept, g.binary(Op::Mul, g.binary(Op::Sub, g.real(1), z), g.unary(Op::Tanh, s.x)));
  g.close(memory, s.h);
  s.y = g.binary(Op::Add, s.x, s.h);
  g.close(s.x, s.y);
  s.out = g.gather(s.y, kL, g.integer(layer_step > 0 ? kL.size - 1 : 0));
  return s;
}

/// The same by plain loops.
std::vector<double> loops(const std::map<std::string, Tensor>& p, int layer_step, int time_step) {
  const int L = kL.size, T = kT.size, F = kF.size;
  std::vector<double> x = p.at("start").data;
  for (int i = 0; i < L; ++i) {
    const int l = layer_step > 0 ? i : L - 1 - i;
    std::vector<double> memory(p.at("before.{layer}").data.begin() + l * F, p.at("before.{layer}").data.begin() + (l + 1) * F), y = x;
    for (int k = 0; k < T; ++k) {
      const int t = time_step > 0 ? k : T - 1 - k;
      std::vector<double> next(F);
      for (int o = 0; o < F; ++o) {
        double a = 0;
        for (int f = 0; f < F; ++f) {
          a += p.at("w.{layer}").data[(l * F + o) * F + f] * x[t * F + f] + p.at("u.{layer}").data[(l * F + o) * F + f] * memory[f];
        }
        const double z = 1 / (1 + std::exp(-a));
        next[o] = z * memory[o] + (1 - z) * std::tanh(x[t * F + o]);
      }
      memory = next;
      for (int o = 0; o < F; ++o) y[t * F + o] += memory[o];
    }
    x = y;
  }
  return x;
}

size_t count(const Graph& g, Op op) {
  size_t n = 0;
  for (NodeId id = 0; id < g.size(); ++id) n += g[id].op == op;
  return n;
}

}  // namespace

TEST_CASE("a recurrence over positions inside one over layers, in all directions") {
  for (int layer_step : {1, -1}) {
    for (int time_step : {1, -1}) {
      Stack s = gated_stack(layer_step, time_step);
      verify(s.g);
      const std::map<std::string, Tensor> params = random_params(s.g, -1, 1, 7);
      const Tensor got = value_of(s.g, s.out, params);
      const std::vector<double> want = loops(params, layer_step, time_step);
      REQUIRE(got.data.size() == want.size());
      for (size_t i = 0; i < want.size(); ++i) CHECK(got.data[i] == Approx(want[i]).epsilon(1e-12));
      const NodeId loss = weighted_sum(s.g, s.out);
      CHECK(check_gradients(s.g, loss, params) == "");
    }
  }
}

TEST_CASE("values of every layer may be read beside the last one") {
  Stack s = gated_stack(1, 1);
  const NodeId both = s.g.binary(Op::Add, weighted_sum(s.g, s.out), weighted_sum(s.g, s.g.binary(Op::Mul, s.h, s.y)));
  CHECK(check_gradients(s.g, both, random_params(s.g, -1, 1, 8)) == "");
}

TEST_CASE("the gradient of the last layer's result starts the reversed carry") {
  Stack s = gated_stack(1, 1);
  const NodeId loss = weighted_sum(s.g, s.out);
  const size_t before = s.g.size();
  std::vector<NodeId> wrt;
  for (NodeId id = 0; id < before; ++id) {
    if (s.g[id].op == Op::Param) wrt.push_back(id);
  }
  passes::build_backward(s.g, loss, wrt, {"a", "b", "c", "d"});
  CHECK(count(s.g, Op::Scatter) == 0);
  size_t with_init = 0;
  for (NodeId id = static_cast<NodeId>(before); id < s.g.size(); ++id) {
    if (s.g[id].op != Op::Carry) continue;
    CHECK(s.g[id].ints[0] == -1);
    if (s.g[id].from[0] == kL) with_init += s.g[id].inputs.size() == 2;
  }
  CHECK(with_init == 1);
  const std::string text = print(s.g);
  CHECK(print(parse(text)) == text);
}

TEST_CASE("slices that tile an axis give one concat, others scatters") {
  const Axis six{AxisKind::Feature, 3, 6}, two{AxisKind::Feature, 4, 2}, four{AxisKind::Feature, 5, 4};
  for (bool tiles : {true, false}) {
    Graph g;
    const NodeId x = g.param("x", {kT, six});
    const NodeId a = g.slice(x, six, two, 0), b = g.slice(x, six, four, tiles ? 2 : 1);
    const NodeId loss = g.binary(Op::Add, weighted_sum(g, g.binary(Op::Mul, a, a)), weighted_sum(g, b));
    CHECK(check_gradients(g, loss, random_params(g, -1, 1, 9)) == "");
    passes::build_backward(g, loss, {x}, {"x"});
    CHECK(count(g, Op::Concat) == (tiles ? 1u : 0u));
    CHECK((count(g, Op::Scatter) == 0) == tiles);
  }
}

TEST_CASE("a parameter that the loss does not need gets zeros, and stop lets nothing through") {
  Graph g;
  const NodeId x = g.param("x", {kF}), y = g.param("y", {kG, kF});
  const NodeId loss = g.reduce(Op::Sum, g.binary(Op::Mul, x, g.unary(Op::Stop, x)), {kF});
  passes::build_backward(g, loss, {x, y}, {"x", "y"});
  const std::map<std::string, Tensor> params = random_params(g, -1, 1, 2);
  const std::map<std::string, Tensor> got = interpret(g, params, {});
  CHECK(got.at("x").data == params.at("x").data);
  CHECK(got.at("y").axes == Axes{kF, kG});
  CHECK(got.at("y").data == std::vector<double>(12, 0.0));
}

TEST_CASE("gradients at ties and kinks follow the documented choice") {
  Graph g;
  const NodeId x = g.param("x", {kF}), y = g.param("y", {kF});
  NodeId loss = g.reduce(Op::Max, x, {kF});
  loss = g.binary(Op::Add, loss, g.reduce(Op::Sum, g.binary(Op::Max2, x, y), {kF}));
  loss = g.binary(Op::Add, loss, g.reduce(Op::Sum, g.binary(Op::Add, g.unary(Op::Relu, y), g.unary(Op::Abs, y)), {kF}));
  passes::build_backward(g, loss, {x, y}, {"x", "y"});
  const Tensor zero{{kF}, {0, 0, 0}};
  const std::map<std::string, Tensor> got = interpret(g, {{"x", zero}, {"y", zero}}, {});
  CHECK(got.at("x").data == std::vector<double>{2, 1, 1});
  CHECK(got.at("y").data == std::vector<double>{0, 0, 0});
}
