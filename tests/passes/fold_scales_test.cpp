// Which scales and biases join the matrices behind them, and that values and gradients stay.
#include "passes/fold_scales.h"

#include "ir/verify.h"
#include "passes/differentiate.h"
#include "tests/passes/same_values.h"

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

constexpr Axis kB{AxisKind::Batch, 0, 2}, kT{AxisKind::Position, 0, 12}, kK{AxisKind::Feature, 0, 4}, kSummed{AxisKind::Feature, 16, 4}, kV{AxisKind::Feature, 1, 5};

/// Maps of scale * y + bias, for tokens' values y.
struct Model {
  Graph g;
  NodeId y = g.unary(Op::Tanh, g.gather(g.param("table", {kK, kV}), kV, g.input("tokens", {kB, kT})));
  NodeId x;
  explicit Model(bool scale = true, bool bias = true) : x(y) {
    if (scale) x = g.binary(Op::Mul, x, g.param("scale", {kK}));
    if (bias) x = g.binary(Op::Add, x, g.param("bias", {kK}));
  }

  NodeId map(const std::string& name, NodeId of, uint32_t results) {
    const Axis out{AxisKind::Feature, 0, results};
    return g.reduce(Op::Sum, g.binary(Op::Mul, g.param(name, {out, kSummed}), g.rename(of, {kK}, {kSummed})), {kSummed});
  }

  /// Whether maps read y itself afterwards; that values and gradients stay is checked.
  bool folds(const std::vector<NodeId>& results) {
    g.outputs.clear();
    NodeId loss = g.real(0);
    for (NodeId r : results) {
      const Axes axes = g[r].axes;
      loss = g.binary(Op::Add, loss, g.reduce(Op::Sum, g.unary(Op::Tanh, r), axes));
    }
    g.outputs = {{"loss.total", loss}};
    const Graph folded = passes::fold_scales(g);
    REQUIRE_NOTHROW(verify(folded));
    check_same_values(passes::differentiate(g), passes::differentiate(folded), kV.size);
    bool read = false;
    for (NodeId id = 0; id < folded.size(); ++id) read = read || (folded[id].op == Op::Rename && folded[folded[id].inputs[0]].op == Op::Tanh);
    return read;
  }
};

}  // namespace

TEST_CASE("a scale and a bias join the maps that read them") {
  Model both, scale(true, false), bias(false, true);
  CHECK(both.folds({both.map("one", both.x, 6), both.map("two", both.x, 3)}));
  CHECK(scale.folds({scale.map("one", scale.x, 6)}));
  CHECK(bias.folds({bias.map("one", bias.x, 6)}));
}

TEST_CASE("they stay where something else reads the scaled value, or a map has many results") {
  Model read, wide, narrow, beside;
  CHECK_FALSE(read.folds({read.map("one", read.x, 6), read.g.unary(Op::Sin, read.x)}));
  CHECK_FALSE(wide.folds({wide.map("one", wide.x, 13)}));  // for 24 positions
  CHECK(narrow.folds({narrow.map("one", narrow.x, 12)}));
  CHECK_FALSE(beside.folds({beside.map("one", beside.x, 6), beside.map("two", beside.x, 13)}));
}
