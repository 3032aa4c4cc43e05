// Which terms of a sum are known to add up to nothing.
#include "passes/drop_deviations.h"

#include "ir/interpret.h"
#include "ir/verify.h"
#include "tests/catch.h"

#include <cmath>

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

constexpr Axis kRow{AxisKind::Feature, 0, 3}, kColumn{AxisKind::Feature, 1, 4};

/// Values of rows and columns, and of rows alone.
struct Rows {
  Graph g;
  NodeId x = g.param("x", {kRow, kColumn}), y = g.param("y", {kRow, kColumn}), of_row = g.param("of_row", {kRow});

  /// x - share * (the sum of `of` over the axes).
  NodeId deviation(NodeId of, double share, const Axes& over = {kColumn}) { return g.binary(Op::Sub, x, g.binary(Op::Mul, g.real(share), g.reduce(Op::Sum, of, over))); }
  /// Whether nothing but y is summed of y - 2 of_row deviation, and what the sum is, before and after.
  bool drops(NodeId deviation) {
    const NodeId term = g.binary(Op::Mul, g.binary(Op::Mul, of_row, deviation), g.real(2));
    return drops_from(g.binary(Op::Sub, y, term), y);
  }
  bool drops_from(NodeId terms, NodeId left) {
    Graph all = g;
    all.outputs = {{"sum", all.reduce(Op::Sum, terms, {kColumn})}};
    const Graph fewer = passes::drop_deviations(all);
    REQUIRE_NOTHROW(verify(fewer));
    CHECK(difference(all, fewer) < 1e-12);
    const Node& summed = fewer[fewer[fewer.outputs[0].node].inputs[0]];
    return summed.op == g[left].op && summed.text == g[left].text;
  }

 private:
  static double difference(const Graph& a, const Graph& b) {
    std::map<std::string, Tensor> params;
    for (const char* name : {"x", "y", "of_row"}) {
      const Axes axes = std::string(name) == "of_row" ? Axes{kRow} : Axes{kRow, kColumn};
      Tensor t{axes, std::vector<double>(element_count(axes))};
      for (size_t i = 0; i < t.data.size(); ++i) t.data[i] = std::sin(static_cast<double>(i * 7 + params.size()));
      params[name] = t;
    }
    const Tensor p = interpret(a, params, {}).at("sum"), q = interpret(b, params, {}).at("sum");
    double largest = 0;
    for (size_t i = 0; i < p.data.size(); ++i) largest = std::max(largest, std::abs(p.data[i] - q.data[i]));
    return largest;
  }
};

}  // namespace

TEST_CASE("multiples of what deviates from a mean are left out of a sum") {
  Rows rows;
  CHECK(rows.drops(rows.deviation(rows.x, 0.25)));
  const NodeId deviation = rows.deviation(rows.x, 0.25);
  CHECK(rows.drops_from(rows.g.binary(Op::Add, rows.g.unary(Op::Neg, deviation), rows.y), rows.y));
}

TEST_CASE("terms that are reached in very many ways are looked at once") {
  Rows rows;
  NodeId terms = rows.y, factor = rows.of_row;
  for (int i = 0; i < 60; ++i) terms = rows.g.binary(Op::Add, terms, terms), factor = rows.g.binary(Op::Mul, factor, factor);
  rows.g.outputs = {{"sum", rows.g.reduce(Op::Sum, rows.g.binary(Op::Add, terms, rows.g.binary(Op::Mul, factor, rows.deviation(rows.x, 0.25))), {kColumn})}};
  const Graph fewer = passes::drop_deviations(rows.g);
  const Node& summed = fewer[fewer[fewer.outputs[0].node].inputs[0]];
  REQUIRE(summed.op == Op::Add);
  CHECK(summed.inputs[0] == summed.inputs[1]);  // the last of the 60 doublings, and nothing beside it
}

TEST_CASE("other terms stay") {
  Rows rows;
  CHECK_FALSE(rows.drops(rows.deviation(rows.x, 0.2)));                          // no mean
  CHECK_FALSE(rows.drops(rows.deviation(rows.y, 0.25)));                         // of something else
  CHECK_FALSE(rows.drops(rows.deviation(rows.x, 1.0 / 3, {kRow})));              // over other axes
  const NodeId deviation = rows.deviation(rows.x, 0.25);
  CHECK_FALSE(rows.drops(rows.g.binary(Op::Mul, rows.y, deviation)));            // not the same multiple for all that is summed
  CHECK_FALSE(rows.drops_from(deviation, rows.y));                               // nothing would be left
  CHECK_FALSE(rows.drops_from(rows.g.binary(Op::Add, rows.of_row, deviation), rows.of_row));  // what is left lacks the axis
}
