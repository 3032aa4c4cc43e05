#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/cli/model_options.h"
#include "runtime/cli/single_pass.h"

namespace cpuflow::cli {
namespace {

struct GradOptions {
  std::shared_ptr<ModelOptions> model;
  std::string inputs, out, weights;
};

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return std::sqrt(sum);
}

void grad(const GradOptions& options) {
  check_output(options.out, {{"--inputs", options.inputs}, {"--weights", options.weights}, {"MODEL", frontend::find_model(options.model->model)}});
  const rt::SafetensorsFile file(options.inputs);
  CompileOptions compile = options.model->compile_options("grad");
  std::map<std::string, std::string> settings = settings_from_file(file, compile.model);
  for (const auto& [name, value] : compile.overrides) settings[name] = value;
  compile.overrides = std::move(settings);
  const CompiledModel model = compile_and_warn(compile);
  const std::unique_ptr<rt::TensorFile> weights = options.weights.empty() ? nullptr : rt::open_tensor_file(options.weights);
  const PassInputs inputs = read_pass_inputs(file, model.exe.manifest, weights.get());
  const std::vector<NamedTensor> results = options.model->interpret() ? run_interpreter(model, inputs) : run_compiled(model.exe, inputs);

  const bool wide = options.model->interpret();
  std::vector<std::vector<float>> narrow(results.size());
  std::vector<rt::TensorView> views;
  for (size_t i = 0; i < results.size(); ++i) {
    const NamedTensor& t = results[i];
    if (!wide) narrow[i].assign(t.values.begin(), t.values.end());
    views.push_back({t.name, wide ? rt::TensorType::F64 : rt::TensorType::F32, t.shape,
                     wide ? static_cast<const void*>(t.values.data()) : narrow[i].data()});
  }
  rt::write_safetensors(options.out, views, {{"model", model.exe.manifest.model}, {"format", "pt"}});

  nlohmann::ordered_json report{{"model", model.exe.manifest.model}, {"out", options.out}, {"losses", nlohmann::ordered_json::object()}};
  double squares = 0;
  size_t gradients = 0;
  std::string text;
  for (const NamedTensor& t : results) {
    if (t.name.starts_with("loss.")) {
      report["losses"][t.name.substr(5)] = t.values[0];
      text += fmt::format("{:24} {:.7f}\n", t.name, t.values[0]);
    } else if (t.name.starts_with("grad.")) {
      squares += std::pow(norm(t.values), 2);
      ++gradients;
    }
  }
  report["grad_norm"] = std::sqrt(squares);
  report["gradients"] = gradients;
  if (options.model->json) {
    print_out(report.dump(2) + "\n");
  } else {
    print_out(fmt::format("{}{:24} {:.7g}\n{}: logits, losses and {} gradients in {}\n", text, "norm of the gradients", std::sqrt(squares),
                          options.out, gradients, wide ? "float64" : "float32"));
  }
}

}  // namespace

void add_grad(CLI::App& app, Status&) {
  CLI::App* sub = app.add_subcommand("grad", "One forward and backward pass on given tensors, to compare with code of your own.");
  sub->footer(
      "IN.safetensors holds tokens and targets [B, T] (integers) and param.<name> of every parameter; its metadata `config` may hold "
      "sizes.\n"
      "OUT.safetensors gets logits [B, T, V], loss.<term> [1] and grad.<name>, of loss.total.\n\n"
      "Example:\n  cpuflowc grad v5ln --set d=32 k=16 ff=24 L=2 V=96 --inputs in.safetensors --out out.safetensors\n");
  auto options = std::make_shared<GradOptions>();
  options->model = add_model_options(*sub, true);
  sub->add_option("--inputs", options->inputs, "tokens, targets, param.*")->required();
  sub->add_option("--weights", options->weights, "parameters from here, under their own names: safetensors, or what torch.save wrote (.pt)")->type_name("FILE");
  sub->add_option("--out", options->out, "receives logits, loss.*, grad.*")->required();
  sub->callback([options] { grad(*options); });
}

}  // namespace cpuflow::cli
