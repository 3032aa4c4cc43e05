#include "graph_tools.h"
#include "ir/op.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "tests/catch.h"

#include <algorithm>
#include <cmath>
#include <string_view>

using namespace cpuflow::ir;

namespace {

const std::vector<Op>& all_ops() {
  static const std::vector<Op> ops = {
#define OP(enumerator, text) Op::enumerator,
#include "ir/ops.def"
#undef OP
  };
  return ops;
}

NodeId build(const Sample& s, Graph& g) {
  std::vector<NodeId> params;
  for (size_t i = 0; i < s.params.size(); ++i) params.push_back(g.param("p" + std::to_string(i), s.params[i]));
  return s.build(g, params);
}

}  // namespace

TEST_CASE("every op definition is complete and agrees with the list") {
  for (Op op : all_ops()) {
    const OpDef& def = op_def(op);
    INFO(op_name(op));
    CHECK(std::string_view(def.doc).size() > 1);
    CHECK((def.cpp != nullptr) == is_elementwise(op));
    CHECK((def.vjp.value.rule != nullptr) != (def.vjp.value.refusal != nullptr));
    CHECK((op == Op::Input || !def.samples.value().empty()));
    Op found = Op::Param;
    CHECK(op_by_name(op_name(op), found));
    CHECK(found == op);
  }
  Op none = Op::Add;
  CHECK_FALSE(op_by_name("convolution", none));
}

TEST_CASE("every op evaluates to the axes and dtype that it infers") {
  for (Op op : all_ops()) {
    for (const Sample& s : op_def(op).samples.value()) {
      INFO(op_name(op));
      Graph g;
      const NodeId out = build(s, g);
      g.outputs = {{"out", out}};
      verify(g);
      const Tensor t = interpret(g, random_params(g, s.low, s.high, 3), {}).at("out");
      CHECK(t.axes == g[out].axes);
      REQUIRE(t.data.size() == element_count(g[out].axes));
      for (double v : t.data) {
        CHECK(std::isfinite(v));
        if (g[out].dtype == DType::Int) CHECK(v == std::floor(v));
        if (g[out].dtype == DType::Bool) CHECK((v == 0 || v == 1));
      }
    }
  }
}

TEST_CASE("every elementwise op gives what its scalar function gives, element by element") {
  for (Op op : all_ops()) {
    if (!is_elementwise(op)) continue;
    for (const Sample& s : op_def(op).samples.value()) {
      Graph g;
      const NodeId out = build(s, g);
      if (g[out].op != op) continue;
      INFO(op_name(op));
      const std::map<std::string, Tensor> params = random_params(g, s.low, s.high, 4);
      const Tensor t = value_of(g, out, params);
      std::vector<Tensor> in;
      for (NodeId i : g[out].inputs) in.push_back(value_of(g, i, params));
      for (size_t e = 0; e < t.data.size(); ++e) {
        double operands[3] = {0, 0, 0};
        for (size_t i = 0; i < in.size(); ++i) {
          size_t rest = e, at = 0, stride = 1;
          std::vector<size_t> index(t.axes.size());
          for (size_t a = t.axes.size(); a-- > 0; rest /= t.axes[a].size) index[a] = rest % t.axes[a].size;
          for (size_t a = in[i].axes.size(); a-- > 0; stride *= in[i].axes[a].size)
            at += stride * index[static_cast<size_t>(index_of(t.axes, in[i].axes[a]))];
          operands[i] = in[i].data[at];
        }
        REQUIRE(t.data[e] == op_def(op).scalar.value(operands));
      }
    }
  }
}

TEST_CASE("every op's values lie in its bounds, whatever more the bounds of its inputs allow") {
  for (Op op : all_ops()) {
    for (const Sample& s : op_def(op).samples.value()) {
      Graph g;
      build(s, g);
      const std::map<std::string, Tensor> params = random_params(g, s.low, s.high, 6);
      for (NodeId id = 0; id < g.size(); ++id) {
        INFO(op_name(op) << ", node " << id << ": " << op_name(g[id].op));
        const Tensor t = value_of(g, id, params);
        for (double slack : {0.0, 1.0, 3.0, double{INFINITY}}) {
          std::vector<Interval> in;
          for (NodeId i : g[id].inputs) {
            const Tensor x = value_of(g, i, params);
            const auto [low, high] = std::minmax_element(x.data.begin(), x.data.end());
            const bool above = slack == 1 && *low > 0;  // zero is the bound, and excluded
            in.push_back(above ? between(0, *high + slack, true) : between(*low - slack, *high + slack));
          }
          const Interval bounds = op_def(g[id].op).bounds(g[id], in.data());
          CHECK_FALSE(bounds.empty);
          CHECK(bounds.low <= bounds.high);
          for (double v : t.data) {
            if (std::isnan(v)) continue;  // outside of the domain
            const double rounding = 1e-14 * std::abs(v);
            REQUIRE(v >= bounds.low - rounding);
            REQUIRE(v <= bounds.high + rounding);
            REQUIRE((v != 0 || bounds.has_zero()));
          }
        }
      }
    }
  }
}

TEST_CASE("every op's gradient agrees with central differences") {
  for (Op op : all_ops()) {
    for (const Sample& s : op_def(op).samples.value()) {
      for (unsigned seed : {1u, 2u}) {
        INFO(op_name(op));
        Graph g;
        const NodeId out = build(s, g);
        const std::map<std::string, Tensor> params = random_params(g, s.low, s.high, seed);
        const NodeId loss = weighted_sum(g, out);
        CHECK(check_gradients(g, loss, params) == "");
        // Without weights the gradient lacks axes: it is the same along them.
        Graph h;
        const NodeId plain = h.unary(Op::ToReal, build(s, h));
        const NodeId sum = h.reduce(Op::Sum, plain, h[plain].axes);
        CHECK(check_gradients(h, sum, params) == "");
      }
    }
  }
}

TEST_CASE("every op prints, parses and prints the same") {
  for (Op op : all_ops()) {
    for (const Sample& s : op_def(op).samples.value()) {
      Graph g;
      g.outputs = {{"out", build(s, g)}};
      const std::string text = print(g);
      INFO(text);
      const Graph again = parse(text);
      CHECK(print(again) == text);
      const std::map<std::string, Tensor> params = random_params(g, s.low, s.high, 5);
      CHECK(interpret(again, params, {}).at("out").data == interpret(g, params, {}).at("out").data);
    }
  }
}
