#include "runtime/cli/check_each.h"

#include "ir/diagnostics.h"
#include "ir/dot.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "runtime/atomic_file.h"
#include "runtime/cli/model_options.h"

#include <fmt/format.h>

#include <cmath>
#include <random>

namespace cpuflow::cli {
using namespace ir;

namespace {

/// Values for every parameter and input of a graph, the same for graphs with the same names.
void example_values(const Graph& graph, std::map<std::string, Tensor>& params, std::map<std::string, Tensor>& inputs) {
  const NodeId logits = output_node(graph, "logits");
  const double vocabulary = logits == kNoNode || graph[logits].axes.empty() ? 2 : graph[logits].axes.back().size;
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& n = graph[id];
    if (n.op != Op::Param && n.op != Op::Input) continue;
    std::mt19937_64 random(std::hash<std::string>{}(n.text));
    Tensor t;
    t.axes = n.axes;
    t.data.resize(element_count(n.axes));
    for (double& v : t.data) {
      v = n.op == Op::Param ? std::normal_distribution<double>(0.0, 0.3)(random) : std::floor(std::uniform_real_distribution<double>(0, vocabulary)(random));
    }
    (n.op == Op::Param ? params : inputs)[n.text] = std::move(t);
  }
}

}  // namespace

void GraphWatcher::after(int number, const std::string& name, const Graph& graph, double milliseconds) {
  verify(graph);
  const bool text_wanted = !options_.dump_dir.empty();
  std::string text = text_wanted ? print(graph) : "";
  const bool changed = !text_wanted || text != last_text_;
  if (number > 0) model_.times.push_back({name, milliseconds, changed});
  if (text_wanted) {
    make_folder(options_.dump_dir);
    rt::write_file_atomically(fmt::format("{}/{:02}-{}{}.ir", options_.dump_dir, number, name, changed ? "" : " (unchanged)"), text);
    rt::write_file_atomically(options_.dump_dir + "/graph.dot", to_dot(graph));
    last_text_ = std::move(text);
  }
  if (!options_.check_each) return;
  std::map<std::string, Tensor> params, inputs;
  example_values(graph, params, inputs);
  std::map<std::string, Tensor> got = interpret(graph, params, inputs);
  if (auto rows = got.find("rows.logits"); rows != got.end() && expected_.count("logits")) expected_.try_emplace("rows.logits", expected_.at("logits"));
  for (const auto& [output, want] : expected_) {
    auto it = got.find(output);
    if (it == got.end()) throw InternalError(fmt::format("pass '{}' lost the output '{}'", name, output));
    double difference = 0, size = 0;
    for (size_t i = 0; i < want.data.size(); ++i) {
      if (std::isfinite(want.data[i])) size += want.data[i] * want.data[i];
      if (want.data[i] == it->second.data[i] || (std::isnan(want.data[i]) && std::isnan(it->second.data[i]))) continue;  // infinities, and what the model itself makes of these values
      difference += std::pow(want.data[i] - it->second.data[i], 2);
    }
    if (!(std::sqrt(difference) <= 1e-9 * std::sqrt(size) + 1e-12)) {
      throw InternalError(fmt::format("pass '{}' changes the value of '{}': norm {:.6g}, difference {:.3g}", name, output, std::sqrt(size), std::sqrt(difference)));
    }
  }
  expected_ = std::move(got);
}

}  // namespace cpuflow::cli
