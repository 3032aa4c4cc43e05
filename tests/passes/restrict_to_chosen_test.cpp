// Which sums are made only where a top-k has chosen.
#include "passes/restrict_to_chosen.h"

#include "ir/verify.h"
#include "tests/catch.h"
#include "tests/passes/same_values.h"

#include <array>

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

constexpr Axis kRow{AxisKind::Feature, 0, 6}, kSlot{AxisKind::Feature, 1, 32}, kInner{AxisKind::Feature, 2, 5}, kOther{AxisKind::Feature, 3, 32};
constexpr Axis kChunk{AxisKind::Feature, 4, 2}, kWithin{AxisKind::Feature, 5, 3};

/// A product for every slot of every row, of which a top-k keeps some.
struct Memory {
  Graph g;
  NodeId scores = g.param("scores", {kRow, kSlot}), y = g.param("y", {kRow, kSlot});
  std::array<NodeId, 4> chosen = {topk(scores, 2), topk(scores, 4), topk(scores, 5), topk(y, 2)};  // forward: before what is a gradient
  NodeId product = g.reduce(Op::Sum, g.binary(Op::Mul, g.param("a", {kRow, kInner}), g.param("b", {kSlot, kInner})), {kInner});

  NodeId topk(NodeId of, int64_t k) { return g.unary(Op::ToReal, g.topk_mask(of, kSlot, k)); }
  NodeId kept(int64_t k = 2) { return topk(scores, k); }
  /// Whether products are restricted where `read` is given back, which stays the same.
  bool restricts(NodeId read) {
    Graph all = g;
    all.outputs = {{"read", read}};
    const Graph fewer = passes::restrict_to_chosen(all);
    REQUIRE_NOTHROW(verify(fewer));
    check_same_values(all, fewer, 1);
    for (NodeId id = 0; id < fewer.size(); ++id) {
      if (fewer[id].op == Op::Sum && fewer[fewer[id].inputs[0]].op == Op::Select) return true;
    }
    return false;
  }
};

}  // namespace

TEST_CASE("a product that is read where a top-k has chosen is made there alone") {
  Memory m;
  Graph& g = m.g;
  CHECK(m.restricts(g.binary(Op::Mul, m.product, m.kept())));
  CHECK(m.restricts(g.binary(Op::Mul, m.kept(4), g.binary(Op::Sub, m.y, g.binary(Op::Mul, m.product, m.y)))));
  // by two readers
  const NodeId weights = g.binary(Op::Mul, m.kept(), m.scores), sum = g.reduce(Op::Sum, g.binary(Op::Mul, m.product, weights), {kSlot});
  CHECK(m.restricts(g.binary(Op::Mul, g.binary(Op::Sub, m.product, sum), m.kept())));
  // under other names, and in pieces
  CHECK(m.restricts(g.binary(Op::Mul, g.rename(m.product, {kSlot}, {kOther}), g.rename(weights, {kSlot}, {kOther}))));
  CHECK(m.restricts(g.binary(Op::Mul, g.reshape(m.product, {kRow}, {kChunk, kWithin}), g.reshape(weights, {kRow}, {kChunk, kWithin}))));
}

TEST_CASE("a product that is read elsewhere as well is made in full") {
  Memory m;
  Graph& g = m.g;
  CHECK_FALSE(m.restricts(m.product));
  CHECK_FALSE(m.restricts(g.binary(Op::Mul, m.product, m.kept(5))));  // too many to be looked up
  CHECK_FALSE(m.restricts(g.binary(Op::Add, m.product, m.kept())));
  CHECK_FALSE(m.restricts(g.binary(Op::Mul, g.binary(Op::Div, g.real(1), m.product), m.kept())));  // infinite where there is none
  CHECK_FALSE(m.restricts(g.binary(Op::Mul, g.binary(Op::Mul, m.product, m.kept()), g.reduce(Op::Sum, m.product, {kSlot}))));
  const NodeId others = m.topk(m.y, 2);
  CHECK_FALSE(m.restricts(g.binary(Op::Add, g.binary(Op::Mul, m.product, m.kept()), g.binary(Op::Mul, m.product, others))));
}
