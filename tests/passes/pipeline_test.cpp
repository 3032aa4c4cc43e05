// No pass changes a value: the interpreter's results are the same after each of them, for models with every kind of statement.
#include "ir/diagnostics.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "modeldefs/frontend/build_graph.h"
#include "passes/pipeline.h"
#include "tests/files.h"
#include "tests/passes/same_values.h"

using namespace cpuflow;
using namespace cpuflow::ir;

namespace {

struct Case {
  std::string model;
  std::map<std::string, std::string> sizes;
};

double relative_difference(const Tensor& a, const Tensor& b) {
  if (a.data.size() != b.data.size()) return 1;
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.data.size(); ++i) {
    difference += std::pow(a.data[i] - b.data[i], 2);
    size += a.data[i] * a.data[i];
  }
  return std::sqrt(difference) / (std::sqrt(size) + 1e-9);
}

}  // namespace

TEST_CASE("no pass changes a value, and each changes a Graph") {
  const TemporaryFolder folder;
  const std::string begin = "name = \"small\"\n[dims]\nT = 64\nB = 2\nV = 9\nd = 4\n[params]\nembed = \"table(V, d)\"\nfilter = \"tensor(T, d)\"\n[model]\nforward = '''\nx = embed[tokens]\n",
                    end = "\nlogits = y @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\n";
  folder.write("window.toml", begin + "a[t,s] = softmax(s | s <= t, t - s < 9: sum(i: x[t,i] * x[s,i]))\ny[t,i] = sum(s: a[t,s] * x[s,i])" + end + "total = 'ce'\n");
  folder.write("batch.toml", begin + "y = x" + end + "m = '''\nmean_x[b,i] = mean(t: x[b,t,i])\nmean(b, c in 0..B: sum(i: mean_x[b,i] * mean_x[c,i]))\n'''\ntotal = 'ce + m'\n");
  folder.write("filter.toml", begin + "y[t,i] = sum(s | s <= t: filter[t - s,i] * x[s,i])" + end + "total = 'ce'\n");
  const std::vector<Case> cases = {
      {"v5ln", {{"T", "20"}, {"B", "2"}, {"d", "8"}, {"k", "4"}, {"ff", "6"}, {"V", "67"}, {"L", "2"}, {"fsp_tau", "5"}, {"fsp_rate", "4"}}},
      {"gpt2", {{"T", "7"}, {"B", "2"}, {"d", "8"}, {"H", "2"}, {"V", "11"}, {"L", "2"}}},
      {"gru", {{"T", "6"}, {"B", "2"}, {"d", "6"}, {"k", "5"}, {"V", "9"}, {"L", "2"}}},
      {"v7", {{"T", "9"}, {"B", "2"}, {"d", "8"}, {"k", "4"}, {"ff", "6"}, {"V", "11"}, {"L", "2"}, {"M", "3"}, {"d_key", "4"}, {"d_val", "5"}, {"fsp_tau", "3"}}},
      {"v5_causal", {{"T", "7"}, {"B", "2"}, {"d", "8"}, {"H", "2"}, {"d_head", "4"}, {"ff", "6"}, {"V", "11"}, {"L", "2"}}},
      {"llama", {{"T", "7"}, {"B", "2"}, {"d", "8"}, {"H", "4"}, {"KV", "2"}, {"ff", "6"}, {"V", "11"}, {"L", "2"}}},
      {folder / "window.toml", {}},
      {folder / "batch.toml", {}},
      {folder / "filter.toml", {{"d", "164"}}},
  };
  std::set<std::string> idle;
  for (const passes::Pass& p : passes::graph_pipeline()) idle.insert(p.name);
  for (size_t i = 0; i < 2 * cases.size(); ++i) {
    const Case& c = cases[i / 2];
    Diagnostics diagnostics;
    const frontend::Model model = frontend::load_model(frontend::find_model(c.model), c.sizes, diagnostics);
    std::map<std::string, Tensor> params, inputs, expected;
    example_values(model.graph, model.V, params, inputs);
    passes::PipelineOptions options;
    options.bf16 = i % 2 == 1;
    std::string last;
    options.after = [&](int, const std::string& pass, const Graph& graph, double) {
      if (std::string text = print(graph); text != last) {
        if (!last.empty()) idle.erase(pass);
        last = std::move(text);
      }
      INFO(c.model << (options.bf16 ? " in bf16" : "") << " after " << pass);
      REQUIRE_NOTHROW(verify(graph));
      std::map<std::string, Tensor> got = interpret(graph, params, inputs);
      for (const auto& [name, want] : expected) {
        INFO(name);
        REQUIRE(got.count(name) == 1);
        CHECK(relative_difference(want, got.at(name)) < 1e-9);
      }
      expected = std::move(got);
    };
    passes::run_pipeline(model.graph, options);
    CHECK(expected.count("grad.embed.weight") + expected.count("grad.transformer.wte.weight") + expected.count("grad.encoder.weight") +
              expected.count("grad.model.embed_tokens.weight") ==
          1);
  }
  CHECK((idle == std::set<std::string>{}));
}

TEST_CASE("an unknown pass is an error that names the nearest one") {
  passes::PipelineOptions options;
  options.stop_after = "diferentiate";
  std::string message;
  try {
    passes::run_pipeline(Graph{}, options);
  } catch (const ModelError& e) {
    message = e.what();
  }
  CHECK(message.find("did you mean 'differentiate'") != std::string::npos);
}
