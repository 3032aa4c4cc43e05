// What may take the place of the number that a softmax subtracts.
#include "passes/lower/reference_proof.h"
#include "tests/catch.h"

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

/// logits [t, v], their largest of a row, exp(logits - largest) and its sum.
struct Softmax {
  Graph g;
  Axis t{AxisKind::Position, 0, 3}, v{AxisKind::Feature, 0, 5};
  NodeId logits = g.param("logits", {t, v}), most = g.reduce(Op::Max, logits, {v}), terms = g.unary(Op::Exp, g.binary(Op::Sub, logits, most)), sum = g.reduce(Op::Sum, terms, {v});

  NodeId total(NodeId x) { return g.reduce(Op::Sum, x, g[x].axes); }
  bool any_does(NodeId output) {
    g.outputs = {{"loss.total", output}};
    return passes::lower::any_reference_does(g, most);
  }
};

}  // namespace

TEST_CASE("what a softmax subtracts may be any number") {
  Softmax s;
  const NodeId level = s.g.binary(Op::Add, s.most, s.g.unary(Op::Log, s.sum)), share = s.g.binary(Op::Div, s.terms, s.sum);
  CHECK(s.any_does(s.total(level)));
  CHECK(s.any_does(s.total(share)));
  CHECK(s.any_does(s.total(s.g.binary(Op::Mul, level, level))));
  CHECK(s.any_does(s.total(s.g.unary(Op::Tanh, share))));
  CHECK(s.any_does(s.total(s.g.binary(Op::Mul, s.g.binary(Op::Div, s.g.real(2), s.sum), s.g.reduce(Op::Sum, s.g.binary(Op::Mul, s.terms, s.logits), {s.v})))));
  const NodeId early = s.g.select(s.g.binary(Op::Lt, s.g.iota(s.t), s.g.integer(2)), s.terms, s.g.real(0));
  CHECK(s.any_does(s.total(s.g.binary(Op::Div, early, s.sum))));
  CHECK(s.any_does(s.g.unary(Op::Neg, s.total(s.g.binary(Op::Sub, level, s.g.reduce(Op::Sum, s.logits, {s.v}))))));
}

TEST_CASE("it may not where something sees it") {
  Softmax s;
  const NodeId level = s.g.binary(Op::Add, s.most, s.g.unary(Op::Log, s.sum));
  CHECK(!s.any_does(s.total(s.most)));
  CHECK(!s.any_does(s.total(s.terms)));
  CHECK(!s.any_does(s.total(s.g.unary(Op::Log, s.sum))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Sub, s.g.unary(Op::Log, s.sum), s.most))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Div, s.terms, s.g.binary(Op::Mul, s.sum, s.sum)))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Add, s.terms, s.g.real(1)))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Mul, s.most, s.logits))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Mul, s.most, s.terms))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Div, s.g.unary(Op::Tanh, s.terms), s.sum))));
  CHECK(!s.any_does(s.total(s.g.select(s.g.binary(Op::Lt, s.logits, s.most), s.logits, s.g.real(0)))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Sub, level, s.g.reduce(Op::Max, s.terms, {s.v})))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Sub, level, s.g.carry(s.most, s.t, 1)))));
  const Axis layer{AxisKind::Layer, 0, 2};
  CHECK(!s.any_does(s.total(s.g.carry(s.g.param("w", {layer, s.t, s.v}), layer, 1, s.terms))));
  const NodeId square = s.g.binary(Op::Mul, s.terms, s.terms);  // may be infinite where the sum is not
  CHECK(!s.any_does(s.total(s.g.binary(Op::Div, square, s.g.binary(Op::Mul, s.sum, s.sum)))));
  // each row has a reference of its own
  const NodeId all_rows = s.g.reduce(Op::Sum, s.sum, {s.t});
  CHECK(!s.any_does(s.total(s.g.binary(Op::Div, s.sum, all_rows))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Div, s.g.cumsum(s.sum, s.t), s.sum))));
  const Axis u{AxisKind::Position, 1, 3};
  CHECK(!s.any_does(s.total(s.g.binary(Op::Div, s.sum, s.g.rename(s.sum, {s.t}, {u})))));
  CHECK(!s.any_does(s.total(s.g.binary(Op::Div, s.sum, s.g.gather(s.sum, s.t, s.g.integer(1))))));
}
