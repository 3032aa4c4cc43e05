#pragma once
// What graphs of the same parameters give back for the same values.
#include "ir/interpret.h"
#include "tests/catch.h"

#include <cmath>
#include <map>
#include <random>
#include <string>

namespace cpuflow::ir {

/// Values between -0.6 and 0.6 for every parameter, and tokens below `vocabulary`; the same for nodes of the same name, whatever the graph.
inline void example_values(const Graph& graph, int64_t vocabulary, std::map<std::string, Tensor>& params, std::map<std::string, Tensor>& inputs) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& n = graph[id];
    if (n.op != Op::Param && n.op != Op::Input) continue;
    std::mt19937 random(static_cast<unsigned>(std::hash<std::string>{}(n.text)));
    Tensor t{n.axes, std::vector<double>(element_count(n.axes))};
    for (double& v : t.data) {
      v = n.op == Op::Param ? std::uniform_real_distribution<double>(-0.6, 0.6)(random) : static_cast<double>(random() % static_cast<unsigned>(vocabulary));
    }
    (n.op == Op::Param ? params : inputs)[n.text] = std::move(t);
  }
}

/// Checks that two graphs give back the same, and something, which it returns.
inline std::map<std::string, Tensor> check_same_values(const Graph& a, const Graph& b, int64_t vocabulary) {
  std::map<std::string, Tensor> params, inputs;
  example_values(a, vocabulary, params, inputs);
  const std::map<std::string, Tensor> want = interpret(a, params, inputs), got = interpret(b, params, inputs);
  REQUIRE_FALSE(want.empty());
  REQUIRE(want.size() == got.size());
  for (const auto& [name, tensor] : want) {
    INFO(name);
    REQUIRE(got.at(name).data.size() == tensor.data.size());
    for (size_t i = 0; i < tensor.data.size(); ++i) CHECK(std::abs(got.at(name).data[i] - tensor.data[i]) < 1e-12);
  }
  return want;
}

}  // namespace cpuflow::ir
