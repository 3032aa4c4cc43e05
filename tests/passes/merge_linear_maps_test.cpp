// Which linear maps become one, and that values and gradients stay.
#include "passes/merge_linear_maps.h"

#include "ir/interpret.h"
#include "ir/verify.h"
#include "passes/differentiate.h"
#include "tests/catch.h"

#include <cmath>
#include <random>

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

constexpr Axis kB{AxisKind::Batch, 0, 2}, kT{AxisKind::Position, 0, 12};

/// outer(inner(y)), from n to m and from m to `to` numbers, of tokens' embeddings y.
struct TwoMaps {
  Graph g;
  Axis n, m, out, j{AxisKind::Feature, 16, 0}, k{AxisKind::Feature, 16, 0};
  NodeId y, inner, result;

  TwoMaps(uint32_t n_size, uint32_t m_size, uint32_t to = 6) : n{AxisKind::Feature, 0, n_size}, m{AxisKind::Feature, 0, m_size}, out{AxisKind::Feature, 0, to} {
    j.size = m_size, k.size = n_size;
    const Axis vocabulary{AxisKind::Feature, 1, 5};
    y = g.gather(g.param("table", {n, vocabulary}), vocabulary, g.input("tokens", {kB, kT}));
    inner = map("inner", y, n, k, m);
    result = map("outer", inner, m, j, out);
  }

  /// W x, for x whose axis `from` is called `summed` in the sum.
  NodeId map(const std::string& name, NodeId x, const Axis& from, const Axis& summed, const Axis& to) {
    return g.reduce(Op::Sum, g.binary(Op::Mul, g.param(name, {to, summed}), g.rename(x, {from}, {summed})), {summed});
  }
  void loss(NodeId x) { g.outputs = {{"loss.total", g.reduce(Op::Sum, g.unary(Op::Tanh, x), g[x].axes)}}; }
};

/// The number of matrices that are products of two.
int merged(const Graph& g) {
  int count = 0;
  for (NodeId id = 0; id < g.size(); ++id) count += g[id].op == Op::Sum && g[g[id].inputs[0]].op == Op::Mul && !contains(g[id].axes, kT);
  return count;
}

std::map<std::string, Tensor> values(const Graph& g) {
  std::map<std::string, Tensor> params, inputs;
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& node = g[id];
    if (node.op != Op::Param && node.op != Op::Input) continue;
    std::mt19937 random(static_cast<unsigned>(node.text.size()));
    Tensor t{node.axes, std::vector<double>(element_count(node.axes))};
    for (double& v : t.data) v = node.op == Op::Param ? std::uniform_real_distribution<double>(-1, 1)(random) : static_cast<double>(random() % 5);
    (node.op == Op::Param ? params : inputs)[node.text] = std::move(t);
  }
  return interpret(g, params, inputs);
}

}  // namespace

TEST_CASE("two linear maps become one, with the same values and gradients") {
  TwoMaps maps(4, 5);
  maps.loss(maps.result);
  const Graph one = passes::merge_linear_maps(maps.g);
  REQUIRE_NOTHROW(verify(one));
  CHECK(merged(maps.g) == 0);
  CHECK(merged(one) == 1);
  const std::map<std::string, Tensor> want = values(passes::differentiate(maps.g)), got = values(passes::differentiate(one));
  REQUIRE(want.count("grad.inner") == 1);
  REQUIRE(want.size() == got.size());
  for (const auto& [name, tensor] : want) {
    INFO(name);
    for (size_t i = 0; i < tensor.data.size(); ++i) CHECK(std::abs(got.at(name).data[i] - tensor.data[i]) < 1e-12);
  }
}

TEST_CASE("maps stay two where one would be more work") {
  TwoMaps narrow(6, 2);  // a matrix of rank 2, on purpose
  narrow.loss(narrow.result);
  CHECK(merged(passes::merge_linear_maps(narrow.g)) == 0);
  TwoMaps large(40, 41, 42);  // the product of the matrices costs more than 24 tokens
  large.loss(large.result);
  CHECK(merged(passes::merge_linear_maps(large.g)) == 0);
}

TEST_CASE("maps stay two where what lies between them is seen") {
  TwoMaps read(4, 5);
  read.loss(read.g.binary(Op::Add, read.result, read.g.reduce(Op::Sum, read.inner, {read.m})));
  CHECK(merged(passes::merge_linear_maps(read.g)) == 0);
  TwoMaps given(4, 5);
  given.loss(given.result);
  given.g.outputs.push_back({"watch.middle", given.inner});
  CHECK(merged(passes::merge_linear_maps(given.g)) == 0);
  TwoMaps bent(4, 5);
  bent.loss(bent.map("outer", bent.g.unary(Op::Tanh, bent.inner), bent.m, bent.j, bent.out));
  CHECK(merged(passes::merge_linear_maps(bent.g)) == 0);
}
