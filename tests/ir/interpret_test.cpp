#include "graph_tools.h"
#include "ir/diagnostics.h"
#include "ir/op_kit.h"
#include "tests/catch.h"

#include <cmath>

using namespace cpuflow::ir;

namespace {

const Axis k3{AxisKind::Feature, 0, 3}, k2{AxisKind::Feature, 1, 2}, k5{AxisKind::Feature, 2, 5};

NodeId row(Graph& g, std::vector<double> values, DType type = DType::Real) {
  return g.literal(values, {AxisKind::Feature, 0, static_cast<uint32_t>(values.size())}, type);
}

}  // namespace

TEST_CASE("reads, choices and running sums mean what graph.h says") {
  Graph g;
  const NodeId x = row(g, {3, 1, 3});
  using Values = std::vector<double>;
  CHECK(value_of(g, g.gather(x, k3, g.iota(k5, -1))).data == Values{0, 3, 1, 3, 0});
  CHECK(value_of(g, g.scatter(x, g.literal({4, 1, 4}, k3, DType::Int), {k3}, k5)).data == Values{0, 1, 0, 0, 6});
  CHECK(value_of(g, g.scatter(x, g.literal({9, -1, 0}, k3, DType::Int), {k3}, k5)).data == Values{3, 0, 0, 0, 0});
  CHECK(value_of(g, g.argmax(x, k3)).data == Values{0});
  CHECK(value_of(g, g.topk_mask(x, k3, 1)).data == Values{1, 0, 0});
  CHECK(value_of(g, g.topk_mask(x, k3, 2)).data == Values{1, 0, 1});
  CHECK(value_of(g, g.cumsum(x, k3)).data == Values{3, 4, 7});
  CHECK(value_of(g, g.cumsum(x, k3, true)).data == Values{7, 4, 3});
  CHECK(value_of(g, g.cumsum(x, k3, false, true)).data == Values{0, 3, 4});
  CHECK(value_of(g, g.cumsum(x, k3, true, true)).data == Values{4, 3, 0});
  CHECK(value_of(g, g.carry(x, k3, 1)).data == Values{0, 3, 1});
  CHECK(value_of(g, g.carry(x, k3, -1, g.real(9))).data == Values{1, 3, 9});
  CHECK(value_of(g, g.slice(x, k3, k2, 0, 2)).data == Values{3, 3});
  CHECK(value_of(g, g.concat({x, g.literal({7, 8}, k2, DType::Real)}, {k3, k2}, k5)).data == Values{3, 1, 3, 7, 8});
  CHECK(value_of(g, g.reduce(Op::Prod, x, {k3})).data == Values{9});
  CHECK(value_of(g, g.binary(Op::Mod, g.integer(-7), g.integer(3))).data == Values{2});
  CHECK(value_of(g, g.binary(Op::FloorDiv, g.integer(-7), g.integer(3))).data == Values{-3});
}

TEST_CASE("reshape regroups row-major, whatever the storage order is") {
  Graph g;
  const Axis six{AxisKind::Feature, 7, 6};
  const NodeId x = g.binary(Op::Add, g.binary(Op::Mul, g.iota(k2), g.integer(10)), g.iota(k3));
  CHECK(value_of(g, g.reshape(x, {k2, k3}, {six})).data == std::vector<double>{0, 1, 2, 10, 11, 12});
  CHECK(value_of(g, g.reshape(x, {k3, k2}, {six})).data == std::vector<double>{0, 10, 1, 11, 2, 12});
}

TEST_CASE("a parameter may be stored in any order of its axes") {
  Graph g;
  const NodeId x = g.param("x", {k2, k3});
  const Tensor t{{k2, k3}, {1, 2, 3, 4, 5, 6}};
  CHECK(value_of(g, g.binary(Op::Mul, x, g.real(2)), {{"x", t}}).data == std::vector<double>{2, 8, 4, 10, 6, 12});
  const Tensor turned{{k3, k2}, {1, 4, 2, 5, 3, 6}};
  CHECK(value_of(g, x, {{"x", turned}}).data == t.data);
  CHECK_THROWS_AS(value_of(g, x, {}), InternalError);
  CHECK_THROWS_AS(value_of(g, x, {{"x", Tensor{{k3}, {1, 2, 3}}}}), InternalError);
}

TEST_CASE("sums along axes longer than a strip, and values computed where they are read") {
  Graph g;
  const Axis n{AxisKind::Feature, 0, 1000}, m{AxisKind::Feature, 1, 700};
  const NodeId a = g.unary(Op::ToReal, g.iota(n)), b = g.unary(Op::ToReal, g.iota(m, 1));
  const NodeId product = g.binary(Op::Mul, a, b);
  CHECK(value_of(g, g.reduce(Op::Sum, product, {n, m})).data[0] == 499500.0 * 245350.0);
  const Tensor rows = value_of(g, g.reduce(Op::Max, product, {m}));
  REQUIRE(rows.data.size() == 1000);
  CHECK(rows.data[999] == 999.0 * 700);
  const NodeId moved = g.gather(a, n, g.binary(Op::Sub, g.iota(n), g.iota(m)));
  CHECK(value_of(g, g.reduce(Op::Sum, moved, {n, m})).data[0] == [] {
    double sum = 0;
    for (int i = 0; i < 1000; ++i) {
      for (int j = 0; j < 700; ++j) sum += i >= j ? i - j : 0;
    }
    return sum;
  }());
}

TEST_CASE("what a select does not choose is not read") {
  Graph g;
  const NodeId x = row(g, {-1, 4});
  const NodeId root = g.select(g.binary(Op::Lt, g.real(0), x), g.unary(Op::Sqrt, x), g.real(0));
  CHECK(value_of(g, root).data == std::vector<double>{0, 2});
}

TEST_CASE("a recorded draw replaces the random stream") {
  Graph g;
  const NodeId r = g.random("noise", {k3});
  for (double v : value_of(g, r).data) CHECK((v >= 0 && v < 1));
  CHECK(value_of(g, r, {}, {{"noise", Tensor{{k3}, {0.5, 0.25, 0.75}}}}).data == std::vector<double>{0.5, 0.25, 0.75});
}
