#include "ir/interpret.h"
#include "runtime/safetensors.h"
#include "tests/catch.h"
#include "tests/frontend/model_text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

using namespace cpuflow;
namespace fs = std::filesystem;

namespace {

const std::string kModels = std::string(CPUFLOW_SOURCE_DIR) + "/modeldefs/";

std::vector<std::string> zoo() {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(kModels)) {
    if (entry.path().extension() == ".toml" && entry.path().stem() != "prelude") out.push_back(entry.path().stem().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string shared_folder() {
  if (const char* set = std::getenv("CPUFLOW_SHARED")) return set;
  return std::string(CPUFLOW_SOURCE_DIR) + "/../shared";
}

/// Params of the file under the names of the graph's param nodes, layers stacked.
std::map<std::string, ir::Tensor> params_of(const ir::Graph& graph, const rt::SafetensorsFile& file) {
  std::map<std::string, ir::Tensor> out;
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    const ir::Node& node = graph[id];
    if (node.op != ir::Op::Param) continue;
    ir::Tensor& tensor = out[node.text];
    tensor.axes = node.axes;
    for (const std::string& name : ir::checkpoint_names(node)) {
      std::vector<double> part = file.doubles("param." + name);
      tensor.data.insert(tensor.data.end(), part.begin(), part.end());
    }
  }
  return out;
}

/// Relative error of the worst output.
double worst_error(const std::string& model_path, const rt::SafetensorsFile& file) {
  auto config = nlohmann::json::parse(file.metadata().at("config"));
  std::vector<int64_t> shape = file.info("tokens").shape;
  std::map<std::string, std::string> overrides = {{"B", std::to_string(shape[0])}, {"T", std::to_string(shape[1])}};
  std::ifstream in(model_path);
  std::ostringstream text;
  text << in.rdbuf();
  for (const auto& [key, value] : config.items()) {
    bool known = text.str().find("\n" + key + " ") != std::string::npos;
    if (known && !value.is_null()) overrides[key] = value.dump();
  }
  ir::Diagnostics diagnostics;
  frontend::Model model = frontend::load_model(model_path, overrides, diagnostics);
  for (const codegen::ParamInfo& p : model.params) file.expect("param." + p.name, p.shape);
  std::erase_if(model.graph.outputs, [](const ir::Output& o) { return o.name.starts_with("watch."); });

  std::map<std::string, ir::Tensor> inputs;
  for (const char* name : {"tokens", "targets"}) {
    std::vector<int32_t> ids = file.int32s(name);
    inputs[name].axes = {{ir::AxisKind::Batch, 0, static_cast<uint32_t>(shape[0])},
                         {ir::AxisKind::Position, 0, static_cast<uint32_t>(shape[1])}};
    inputs[name].data.assign(ids.begin(), ids.end());
  }
  double worst = 0;
  const std::map<std::string, ir::Tensor> outputs = ir::interpret(model.graph, params_of(model.graph, file), inputs);
  for (const rt::TensorInfo& info : file.tensors()) {
    INFO(info.name << " is missing");
    CHECK((!(info.name == "logits" || info.name.starts_with("loss.")) || outputs.count(info.name) > 0));
  }
  for (const auto& [name, tensor] : outputs) {
    std::vector<double> expected = file.doubles(name);
    REQUIRE(expected.size() == tensor.data.size());
    double error = 0, norm = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      error += (tensor.data[i] - expected[i]) * (tensor.data[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
    REQUIRE(std::isfinite(error));
    worst = std::max(worst, std::sqrt(error / std::max(norm, 1e-300)));
  }
  return worst;
}

}  // namespace

TEST_CASE("every model of the zoo builds at its full size") {
  std::vector<std::string> models = zoo();
  REQUIRE(models.size() >= 19);
  for (const std::string& name : models) {
    INFO(name);
    ir::Diagnostics diagnostics;
    frontend::Model model = frontend::load_model(kModels + name + ".toml", {}, diagnostics);
    CHECK(model.graph.outputs.size() == model.losses.size() + model.watch.size() + 1);
    CHECK(model.params.size() > 5);
    REQUIRE(model.cross_entropy >= 0);
    CHECK(model.losses[static_cast<size_t>(model.cross_entropy)] == "ce");
    uint64_t end = 0;
    for (const codegen::ParamInfo& p : model.params) {
      CHECK(p.offset >= end);
      CHECK(p.offset % 16 == 0);
      end = p.offset + p.count;
    }
  }
}

TEST_CASE("models mean what was published: logits and losses") {
  std::map<std::string, std::string> files;  // expected values -> model
  for (const fs::path& folder : {fs::path(CPUFLOW_SOURCE_DIR) / "tests/golden", fs::path(shared_folder()) / "golden"}) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      std::string stem = entry.path().stem().string();
      if (entry.path().extension() == ".safetensors" && stem != "v5ln-init")
        files[entry.path().string()] = kModels + stem.substr(0, stem.find('-')) + ".toml";
    }
  }
  if (!fs::exists(fs::path(shared_folder()) / "golden")) std::cout << "skipped: the expected values of all models (no shared folder)\n";
  REQUIRE(files.size() >= 2);
  for (const auto& [file, model] : files) {
    INFO(file);
    CHECK(worst_error(model, rt::SafetensorsFile(file)) < 1e-6);
  }
}

TEST_CASE("find_model") {
  CHECK(frontend::find_model(kModels + "v5ln.toml") == kModels + "v5ln.toml");
  setenv("CPUFLOW_MODELS", kModels.c_str(), 1);
  CHECK(frontend::find_model("v5ln") == kModels + "v5ln.toml");
  CHECK(frontend::find_model("v5ln.toml") == kModels + "v5ln.toml");
  try {
    frontend::find_model("v5lm");
    FAIL("found");
  } catch (const ir::ModelError& e) {
    CHECK(std::string(e.what()).find("did you mean 'v5ln'?") != std::string::npos);
  }
}
