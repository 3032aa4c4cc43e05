// Values that differ in the names of their axes alone.
#include "passes/rename_late.h"

#include "ir/verify.h"
#include "tests/passes/same_values.h"

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

constexpr Axis kT{AxisKind::Position, 0, 3}, kU{AxisKind::Position, 1, 3}, kF{AxisKind::Feature, 0, 4}, kG{AxisKind::Feature, 1, 4}, kH{AxisKind::Feature, 2, 4};

struct Names {
  Graph g;
  NodeId x = g.param("x", {kT, kF});

  /// Whether both are one value after the pass, which changes none.
  bool become_one(NodeId a, NodeId b) {
    const Graph after = passed({{"a", a}, {"b", b}});
    return after.outputs[0].node == after.outputs[1].node;
  }
  Graph passed(const std::vector<Output>& outputs) {
    g.outputs = outputs;
    Graph after = passes::rename_late(g);
    REQUIRE_NOTHROW(verify(after));
    check_same_values(g, after, 4);
    return after;
  }
  NodeId softmax(NodeId z, const Axis& over) {
    const NodeId terms = g.unary(Op::Exp, g.binary(Op::Sub, z, g.reduce(Op::Max, z, {over})));
    return g.reduce(Op::Sum, g.binary(Op::Mul, terms, g.unary(Op::ToReal, g.iota(over, 1))), {over});
  }
};

}  // namespace

TEST_CASE("operations under two names of the features are one") {
  Names n;
  const NodeId other = n.g.rename(n.x, {kF}, {kG});
  CHECK(n.become_one(n.softmax(n.x, kF), n.softmax(other, kG)));
  const NodeId kept = n.g.unary(Op::Tanh, other);  // its result has the other name
  CHECK(n.become_one(n.g.rename(n.g.unary(Op::Tanh, n.x), {kF}, {kG}), kept));
}

TEST_CASE("names that tell axes apart stay") {
  Names n;
  const NodeId w = n.g.param("w", {kF, kG}), product = n.g.binary(Op::Mul, n.g.rename(n.x, {kF}, {kH}), n.g.rename(w, {kG}, {kH}));
  const Graph after = n.passed({{"product", n.g.reduce(Op::Sum, product, {kH})}, {"pairs", n.g.binary(Op::Add, n.x, n.g.rename(n.x, {kF}, {kG}))}});
  CHECK(after[after.outputs[0].node].axes == Axes{kT, kF});
  CHECK(after[after.outputs[1].node].axes == Axes{kT, kF, kG});
  CHECK_FALSE(n.become_one(n.g.unary(Op::Tanh, n.x), n.g.unary(Op::Tanh, n.g.rename(n.x, {kT}, {kU}))));
}

TEST_CASE("a sum over positions under another name is one over the positions, where that is free") {
  Names n;
  const NodeId other = n.g.rename(n.x, {kT}, {kU}), late = n.g.unary(Op::ToReal, n.g.iota(kU));
  const auto sum = [&](NodeId x, const Axis& over) { return n.g.reduce(Op::Sum, x, {over}); };
  CHECK(n.become_one(sum(n.g.binary(Op::Mul, n.g.unary(Op::Tanh, other), late), kU), sum(n.g.binary(Op::Mul, n.g.unary(Op::Tanh, n.x), n.g.unary(Op::ToReal, n.g.iota(kT))), kT)));
  const Graph pairs = n.passed({{"pairs", sum(n.g.binary(Op::Mul, n.x, other), kU)}});
  CHECK(pairs[pairs.outputs[0].node].from == Axes{kU});
}

TEST_CASE("a value that is computed before it is renamed keeps its name") {
  Names n;
  const NodeId named = n.g.unary(Op::Tanh, n.g.rename(n.x, {kF}, {kG}));
  n.g.set_name(named, "gate", {});
  const Graph after = n.passed({{"y", named}});
  const Node& last = after[after.outputs[0].node];
  REQUIRE(last.op == Op::Rename);
  CHECK(after[last.inputs[0]].name == "gate");
}
