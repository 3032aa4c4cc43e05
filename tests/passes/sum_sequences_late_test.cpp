// Which sums over sequences are summed up in each sequence first, and that values stay.
#include "passes/sum_sequences_late.h"

#include "ir/verify.h"
#include "passes/kit/rewrite.h"
#include "passes/normalise_sums.h"
#include "tests/passes/same_values.h"

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

constexpr Axis kB{AxisKind::Batch, 0, 3}, kT{AxisKind::Position, 0, 32}, kJ{AxisKind::Position, 1, 32}, kS{AxisKind::Position, 16, 32}, kV{AxisKind::Feature, 1, 5};

/// The gradient of a filter of some channels: the sum over s of (the sum over sequences of y[t] x[s]) at t = s + j, where s <= t.
Graph gradient(uint32_t channels) {
  Graph g;
  const Axis d{AxisKind::Feature, 0, channels};
  const NodeId tokens = g.input("tokens", {kB, kT});
  const NodeId y = g.gather(g.param("y", {d, kV}), kV, tokens), x = g.rename(g.gather(g.param("x", {d, kV}), kV, tokens), {kT}, {kS});
  const NodeId all = g.reduce(Op::Sum, g.binary(Op::Mul, y, x), {kB});
  const NodeId earlier = g.select(g.binary(Op::Le, g.iota(kS), g.iota(kT)), all, g.real(0));
  g.outputs = {{"grad.filter", g.reduce(Op::Sum, g.gather(earlier, kT, g.binary(Op::Add, g.iota(kJ), g.iota(kS))), {kS})}};
  return g;
}

/// The largest sum over sequences.
uint64_t most_summed(const Graph& g) {
  uint64_t most = 0;
  for (NodeId id = 0; id < g.size(); ++id) {
    if (g[id].op == Op::Sum && has_batch(g[id].from)) most = std::max(most, element_count(g[id].axes));
  }
  return most;
}

}  // namespace

TEST_CASE("a large sum over sequences that is summed up along a diagonal is summed up in each first") {
  const Graph before = gradient(700), after = passes::pruned(passes::sum_sequences_late(before));
  REQUIRE_NOTHROW(verify(after));
  CHECK(most_summed(before) == 32 * 32 * 700);
  CHECK(most_summed(after) == 32 * 700);
  check_same_values(before, after, kV.size);
  const Graph normal = passes::pruned(passes::normalise_sums(after));
  int conditions = 0;
  for (NodeId id = 0; id < normal.size(); ++id) conditions += normal[id].op == Op::Le || normal[id].op == Op::Lt;
  CHECK(conditions == 1);  // s + j < T; s <= s + j and 0 <= s + j hold everywhere
}

TEST_CASE("a small one stays") { CHECK(most_summed(passes::pruned(passes::sum_sequences_late(gradient(8)))) == 32 * 32 * 8); }

TEST_CASE("one that sequences read at places of their own stays") {
  Graph g = gradient(700);
  const NodeId sum = g[g[g.outputs[0].node].inputs[0]].inputs[0];  // where s <= t
  const NodeId at = g.binary(Op::Add, g.iota(kB), g.iota(kS)), early = g.binary(Op::Le, g.iota(kS), g.binary(Op::Mul, g.iota(kB), g.integer(9)));
  g.outputs = {{"x", g.reduce(Op::Sum, g.gather(sum, kT, at), {kS})}, {"y", g.reduce(Op::Sum, g.select(early, sum, g.real(0)), {kS})}};
  const Graph after = passes::sum_sequences_late(g);
  REQUIRE_NOTHROW(verify(after));
  check_same_values(g, after, kV.size);
}
