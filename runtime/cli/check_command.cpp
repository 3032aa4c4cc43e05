#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/cli/model_options.h"
#include "runtime/cli/single_pass.h"

namespace cpuflow::cli {
namespace {

struct CheckOptions {
  std::shared_ptr<ModelOptions> model;
  std::string golden;
  double tolerance = 0;  // 0: the default of the way of execution
};

constexpr double kBf16Tolerance = 0.08;  // the error of a gradient whose cosine with the expected one is 0.997

/// How one tensor compares.
struct Comparison {
  std::string what;    // the tensor, and how it was computed
  double error = 0;    // norm of the difference / norm of what was expected
  size_t element = 0;  // where the difference is largest
  std::string index;   // the same as [i, j, ..]
  double expected = 0, got = 0;
};

std::string index_text(size_t element, const std::vector<int64_t>& shape) {
  std::vector<size_t> index(shape.size());
  for (size_t a = shape.size(); a-- > 0;) {
    index[a] = element % static_cast<size_t>(shape[a]);
    element /= static_cast<size_t>(shape[a]);
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

Comparison compare(const NamedTensor& got, const std::string& what, const std::vector<double>& expected, double floor) {
  Comparison c;
  c.what = what;
  double difference = 0, size = 0, worst = -1;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = got.values[i] - expected[i];
    difference += d * d;
    size += expected[i] * expected[i];
    if (std::isnan(d) ? worst < HUGE_VAL : std::abs(d) > worst) {
      worst = std::isnan(d) ? HUGE_VAL : std::abs(d);
      c.element = i;
    }
  }
  c.error = std::sqrt(difference) / std::max({std::sqrt(size), floor, 1e-30});
  c.index = index_text(c.element, got.shape);
  c.expected = expected.empty() ? 0 : expected[c.element];
  c.got = expected.empty() ? 0 : got.values[c.element];
  return c;
}

std::vector<Comparison> compare_all(const rt::SafetensorsFile& file, const std::vector<NamedTensor>& results,
                                    const std::vector<NamedTensor>& other_schedules) {
  double squares = 0;
  for (const rt::TensorInfo& t : file.tensors()) {
    if (!t.name.starts_with("grad.")) continue;
    for (const double v : file.doubles(t.name)) squares += v * v;
  }
  const double floor = 1e-6 * std::sqrt(squares);
  std::vector<Comparison> out;
  std::vector<std::string> missing;
  for (const rt::TensorInfo& t : file.tensors()) {
    const bool grad = t.name.starts_with("grad.");
    if (!grad && t.name != "logits" && !t.name.starts_with("loss.")) continue;
    const auto it = std::find_if(results.begin(), results.end(), [&](const NamedTensor& r) { return r.name == t.name; });
    if (it == results.end()) {
      missing.push_back(t.name);
      continue;
    }
    file.expect(t.name, it->shape);
    const std::vector<double> expected = file.doubles(t.name);
    out.push_back(compare(*it, t.name, expected, grad ? floor : 0));
    for (const NamedTensor& other : other_schedules) {
      if (other.name == t.name) out.push_back(compare(other, t.name + " (row by row)", expected, 0));
      if (other.name == "eval." + t.name) out.push_back(compare(other, t.name + " (evaluation)", expected, 0));
    }
  }
  if (!missing.empty()) throw InputError(fmt::format("{}: the model does not give {}", file.path(), fmt::join(missing, ", ")));
  if (out.empty()) throw InputError(fmt::format("{}: nothing to compare: no logits, loss.* or grad.*", file.path()));
  return out;
}

void check(const CheckOptions& options, Status& status) {
  const rt::SafetensorsFile file(options.golden);
  CompileOptions compile = options.model->compile_options("check");
  std::map<std::string, std::string> settings = settings_from_file(file, compile.model);
  for (const auto& [name, value] : compile.overrides) settings[name] = value;
  compile.overrides = std::move(settings);
  const CompiledModel model = compile_and_warn(compile);
  const PassInputs inputs = read_pass_inputs(file, model.exe.manifest);
  const bool interpret = options.model->interpret();
  const double tolerance = options.tolerance > 0 ? options.tolerance : interpret ? 1e-6 : model.bf16 ? kBf16Tolerance : 1e-5;
  std::vector<Comparison> comparisons = interpret
                                            ? compare_all(file, run_interpreter(model, inputs), {})
                                            : compare_all(file, run_compiled(model.exe, inputs), run_other_schedules(model.exe, inputs));

  const std::string how =
      interpret ? "interpreter"
                : fmt::format("{}, {}, {}, {}", options.model->unfused ? "unfused" : "fused", model.bf16 ? "bf16" : "fp32", model.target.name, options.model->exec);
  std::stable_sort(comparisons.begin(), comparisons.end(),
                   [](const Comparison& a, const Comparison& b) { return std::isnan(a.error) ? !std::isnan(b.error) : a.error > b.error; });
  size_t failed = 0;
  for (const Comparison& c : comparisons) failed += !(c.error <= tolerance);
  const Comparison& worst = comparisons[0];
  status.code = failed > 0 ? kFailed : kOk;
  if (options.model->json) {
    nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
    for (const Comparison& c : comparisons) {
      tensors.push_back({{"name", c.what},
                         {"error", c.error},
                         {"ok", c.error <= tolerance},
                         {"worst", {{"index", c.index}, {"expected", c.expected}, {"got", c.got}}}});
    }
    const nlohmann::ordered_json result{{"model", model.exe.manifest.model},
                                        {"golden", options.golden},
                                        {"execution", how},
                                        {"tolerance", tolerance},
                                        {"ok", failed == 0},
                                        {"failed", failed},
                                        {"tensors", std::move(tensors)}};
    print_out(result.dump(2) + "\n");
    return;
  }
  for (const Comparison& c : comparisons) {
    if (c.error <= tolerance) continue;
    print_out(
        fmt::format("FAIL {:40} error {:.2e}; worst at {}: expected {:.8g}, got {:.8g}\n", c.what, c.error, c.index, c.expected, c.got));
  }
  print_out(fmt::format("{} {} against {} ({}): {} of {} tensors within {:.0e}; worst {:.1e} in {} at {}: expected {:.8g}, got {:.8g}\n",
                        failed > 0 ? "FAIL" : "ok", model.exe.manifest.model, options.golden, how, comparisons.size() - failed,
                        comparisons.size(), tolerance, worst.error, worst.what, worst.index, worst.expected, worst.got));
}

}  // namespace

void add_check(CLI::App& app, Status& status) {
  CLI::App* sub = app.add_subcommand("check", "Compares one forward and backward pass with expected values, tensor by tensor.");
  sub->footer(
      "The golden file holds tokens, targets, param.*, logits, loss.*, grad.*; sizes come from its metadata `config` and the shape of "
      "tokens.\n"
      "The error of a tensor is the norm of the difference over the norm of what is expected (gradients: at least 1e-6 of all gradients' "
      "norm).\n"
      "Losses are computed by the training and the evaluation code, logits for whole sequences and row by row.\n\n"
      "Example:\n  cpuflowc check v5ln --golden tests/golden/v5ln.safetensors --target avx2\n");
  auto options = std::make_shared<CheckOptions>();
  options->model = add_model_options(*sub, true);
  sub->add_option("--golden", options->golden, "expected values")->required();
  sub->add_option("--tolerance", options->tolerance, "largest error; default 1e-5, with --precision bf16 0.08, for --exec interpret 1e-6")->check(above_zero());
  sub->callback([options, &status] { check(*options, status); });
}

}  // namespace cpuflow::cli
