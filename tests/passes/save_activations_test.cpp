// What the backward pass reads a copy of, which bf16 rounds, and what it reads as it is.
#include "passes/save_activations.h"

#include "ir/verify.h"
#include "modeldefs/frontend/build_graph.h"
#include "passes/differentiate.h"
#include "passes/kit/rewrite.h"
#include "passes/pipeline.h"
#include "tests/passes/same_values.h"

#include <set>

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

constexpr Axis kB{AxisKind::Batch, 0, 2}, kT{AxisKind::Position, 0, 3}, kLayer{AxisKind::Layer, 0, 2}, kV{AxisKind::Feature, 1, 5};

/// Values of each layer and position, of which a loss is made.
struct Layers {
  explicit Layers(uint32_t width = 32) : k{AxisKind::Feature, 0, width} {}

  Graph g;
  Axis k;
  NodeId value(const std::string& name) {
    const NodeId table = g.param(name, {kLayer, kV, k}), rows = g.gather(table, kV, g.input("tokens", {kB, kT}));
    return g.binary(Op::Mul, rows, g.param(name + "_scale", {k}));
  }
  NodeId mean(NodeId x) { return g.binary(Op::Mul, g.reduce(Op::Sum, x, {k}), g.real(1.0 / k.size)); }

  /// The names of the values that the backward pass of the sum of x reads copies of; that nothing changes is checked.
  std::set<std::string> names_saved_for(NodeId x) {
    g.outputs = {{"loss.total", g.reduce(Op::Sum, x, g[x].axes)}};
    const Graph before = passes::differentiate(g), after = passes::save_activations(before);
    REQUIRE_NOTHROW(verify(after));
    check_same_values(before, after, kV.size);
    for (const Output& o : after.outputs) {
      if (o.name.starts_with("grad.")) continue;
      const std::vector<bool> needed = passes::reachable(after, {o.node});
      for (NodeId id = 0; id < after.size(); ++id) CHECK_FALSE((needed[id] && after[id].op == Op::Saved));
    }
    std::set<std::string> names;
    for (NodeId id = 0; id < after.size(); ++id) {
      const Node& n = after[id];
      if (n.op == Op::Saved && !after[n.inputs[0]].name.empty()) names.insert(after[n.inputs[0]].name);
    }
    return names;
  }
  NodeId named(const std::string& name, NodeId x) {
    g.set_name(x, name, {});
    return x;
  }
};

using Names = std::set<std::string>;

}  // namespace

TEST_CASE("factors of gradients are saved") {
  Layers m;
  const NodeId a = m.named("a", m.value("a_table")), b = m.named("b", m.value("b_table"));
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, a, b)) == Names{"a", "b"});
  const NodeId gate = m.named("gate", m.g.unary(Op::Sigmoid, a));  // its gradient is gate * (1 - gate)
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, gate, b)) == Names{"b", "gate"});
  const NodeId positive = m.named("positive", m.g.unary(Op::Relu, a));  // compared with 0, whose side rounding does not change
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, positive, b)) == Names{"b", "positive"});
}

TEST_CASE("what is compared, taken a function of or subtracted is read as it is") {
  Layers m;
  const NodeId a = m.named("a", m.value("a_table")), b = m.named("b", m.value("b_table")), c = m.named("c", m.value("c_table"));
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, m.named("larger", m.g.binary(Op::Max2, a, b)), c)) == Names{"c", "larger"});
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, m.named("wave", m.g.unary(Op::Sin, a)), c)) == Names{"c", "wave"});
}

TEST_CASE("what follows from a copy by cheap operations is computed from it") {
  Layers m;
  const NodeId a = m.named("a", m.value("a_table")), b = m.named("b", m.value("b_table"));
  const NodeId wave = m.named("wave", m.g.unary(Op::Tanh, a)), above = m.named("above", m.g.binary(Op::Add, m.g.real(1), wave));
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, above, b)) == Names{"b", "wave"});
  const NodeId square = m.named("square", m.g.binary(Op::Mul, wave, wave));
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, square, b)) == Names{"b", "wave"});
  const NodeId sine = m.named("sine", m.g.unary(Op::Sin, wave));  // a function of the copy would be another one
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, sine, m.g.binary(Op::Mul, above, b))).count("sine") == 1);
}

TEST_CASE("few numbers a row are not worth a copy") {
  Layers m(8);
  const NodeId a = m.named("a", m.value("a_table")), b = m.named("b", m.value("b_table"));
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, a, b)).empty());
}

TEST_CASE("a difference of few numbers is computed once more, one of many is saved") {
  Layers m;
  const NodeId a = m.named("a", m.value("a_table")), b = m.named("b", m.value("b_table"));
  constexpr Axis kWide{AxisKind::Feature, 2, 32};
  auto over_pairs = [&](NodeId x) { return m.g.rename(x, {m.k}, {kWide}); };  // [.., k] - [.., wide]: each has one of 32 of its elements
  const NodeId pairs = m.named("pairs", m.g.binary(Op::Sub, a, over_pairs(b)));
  const NodeId third = m.named("third", m.g.binary(Op::Mul, a, m.named("c", over_pairs(m.value("c_table")))));
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, pairs, third)).count("pairs") == 0);
  const NodeId difference = m.named("difference", m.g.binary(Op::Sub, a, b));
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, difference, m.value("d_table"))).count("difference") == 1);
}

TEST_CASE("what is read where conditions hold is saved once, as it is there") {
  Layers m;
  constexpr Axis kWide{AxisKind::Feature, 2, 40};
  const NodeId x = m.named("x", m.g.unary(Op::Exp, m.value("table"))), matrix = m.g.param("matrix", {m.k, kWide});
  const NodeId first = m.g.binary(Op::Lt, m.g.iota(kT), m.g.integer(2)), second = m.g.binary(Op::Lt, m.g.integer(0), m.g.iota(kT));
  const NodeId within = m.named("within", m.g.select(first, m.g.select(second, x, m.g.real(0)), m.g.real(0)));
  const NodeId y = m.named("y", m.g.reduce(Op::Sum, m.g.binary(Op::Mul, within, matrix), {m.k}));  // its gradients read `within`, and x within
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, y, y)) == Names{"within", "y"});
  const NodeId everywhere = m.g.reduce(Op::Sum, m.g.binary(Op::Mul, x, m.value("b_table")), {m.k});
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, m.g.binary(Op::Mul, y, y), everywhere)).count("x") == 1);
}

TEST_CASE("what is read at the position before as well is saved once") {
  Layers m;
  const NodeId a = m.named("a", m.value("a_table")), b = m.named("b", m.value("b_table")), c = m.named("c", m.value("c_table"));
  const NodeId before = m.named("before", m.g.carry(a, kT, 1)), two_before = m.named("two_before", m.g.gather(a, kT, m.g.binary(Op::Sub, m.g.iota(kT), m.g.integer(2))));
  const NodeId two = m.g.binary(Op::Add, m.g.binary(Op::Mul, a, b), m.g.binary(Op::Mul, before, c)), three = m.g.binary(Op::Add, two, m.g.binary(Op::Mul, two_before, b));
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, three, three)) == Names{"a", "b", "c"});
}

TEST_CASE("of a norm the result is saved, not what deviates from the mean") {
  Layers m;
  const NodeId x = m.named("x", m.value("table")), deviation = m.named("deviation", m.g.binary(Op::Sub, x, m.mean(x)));
  const NodeId size = m.g.unary(Op::Sqrt, m.g.binary(Op::Add, m.mean(m.g.binary(Op::Mul, deviation, deviation)), m.g.real(1e-5)));
  const NodeId y = m.named("y", m.g.binary(Op::Div, deviation, size));
  const NodeId scaled = m.g.binary(Op::Mul, y, m.g.param("scale", {m.k})), b = m.named("b", m.value("b_table"));
  m.named("scaled", scaled);
  CHECK(m.names_saved_for(m.g.binary(Op::Mul, scaled, b)) == Names{"b", "scaled", "y"});
}

TEST_CASE("nothing that a recurrence multiplies its state with is rounded") {
  for (const char* model : {"gru", "v9", "v74"}) {
    INFO(model);
    Diagnostics diagnostics;
    passes::PipelineOptions options;
    options.bf16 = true;
    const Graph g = passes::run_pipeline(frontend::load_model(frontend::find_model(model), {}, diagnostics).graph, options);
    const std::vector<int> recurrent = passes::cycles(g, [](const Node& n) { return n.from[0].kind == AxisKind::Layer; });
    int saved = 0, read = 0;
    for (NodeId id = 0; id < g.size(); ++id) {
      saved += g[id].op == Op::Saved;
      for (NodeId i : g[id].inputs) read += recurrent[id] >= 0 && g[i].op == Op::Saved;
    }
    CHECK(saved > 0);
    CHECK(read == 0);
  }
}
