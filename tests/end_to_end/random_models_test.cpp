// Random small models in both ways of writing: compiled code equals the interpreter, gradients equal finite differences.
// CPUFLOW_RANDOM_MODELS sets how many, CPUFLOW_RANDOM_SEED where they begin.
#include "ir/diagnostics.h"
#include "modeldefs/frontend/build_graph.h"
#include "runtime/cli/single_pass.h"
#include "tests/catch.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <unistd.h>

using namespace cpuflow;

namespace {

class Writer {
 public:
  explicit Writer(unsigned seed) : random_(seed) {}

  std::string model() {
    const int sizes[] = {1, 3, 6, 9};
    const std::string T = std::to_string(sizes[pick(4)] + 1), L = std::to_string(1 + pick(3));
    std::string body;
    const int statements = 3 + pick(5);
    for (int i = 0; i < statements; ++i) body += statement();
    return "name = \"random\"\n[dims]\nT = " + T + "\nB = 2\nV = 11\nd = 6\nL = " + L +
           "\n[params]\nembed = \"table(V, d)\"\n[block]\nrepeat = \"L\"\nforward = '''\n" + body + "x = x + 0.3 * tanh(" + values_.back() +
           ")\n'''\n[block.params]\nW = \"linear(d, d)\"\nU = \"linear(d, d, bias)\"\nK = \"tensor(d, 3)\"\ng = \"vector(d)\"\nn = \"layernorm(d)\"\n"
           "[model]\nforward = '''\nx = embed[tokens]\nx = blocks(x)\nlogits = x @ transpose(embed)\n'''\n"
           "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  std::string old() { return values_[static_cast<size_t>(pick(static_cast<int>(values_.size())))]; }

  std::string statement() {
    const std::string a = old(), b = old(), c = old(), v = "v" + std::to_string(values_.size()), p = "p" + std::to_string(values_.size());
    values_.push_back(v);
    switch (pick(18)) {
      case 0: return v + " = W(" + a + ")\n";
      case 1: return v + " = U(n(" + a + "))\n";
      case 2: {
        const char* const f[] = {"sigmoid", "tanh", "relu", "softplus", "abs", "silu", "gelu"};
        return v + " = " + f[pick(7)] + "(" + a + ") * " + b + "\n";
      }
      case 3: return v + " = " + a + " * " + b + " - " + c + "\n";
      case 4: return v + " = " + a + " / (1 + abs(" + b + "))\n";
      case 5: return v + " = where(" + a + " > " + b + ", " + c + ", 0.5 * " + a + ")\n";
      case 6: return v + " = softmax(" + a + ") * sum(" + b + ")\n";
      case 7: return v + " = " + a + " - mean(" + b + ") + g\n";
      case 8: return v + " = 0.3 * cumsum(" + a + ")\n";
      case 9: return v + "[t,i] = sum(s | s <= t, t - s < 3: " + a + "[s,i] * " + b + "[t,i])\n";
      case 10:
        return p + "[t,s] = softmax(s | s <= t: sum(i: " + a + "[t,i] * " + b + "[s,i]))\n" + v + "[t,i] = sum(s: " + p + "[t,s] * " + c + "[s,i])\n";
      case 11: return v + "[t,i] = 0.5 * sigmoid(" + a + "[t,i]) * " + v + "[t-1,i] + " + b + "[t,i]\n";
      case 12: return v + " = tanh(" + a + " + W(" + v + "[t-1]))\n";
      case 13: return v + " = " + a + "[t-1] * g + " + b + "\n";
      case 14: return p + ", q" + p + " = split(" + a + ", 2)\n" + v + " = concat(q" + p + ", " + p + ")\n";
      case 15: return v + " = reshape(softmax(reshape(" + a + ", 2, d / 2)), d) * " + b + "\n";
      case 16: return v + "[t,i] = sum(j in 0..3: K[i,j] * " + a + "[t-2+j,i])\n";
      default:
        return v + "[t,i] = 0.1 * sum(s, m | s < t: " + a + "[t,m] * " + b + "[s,m] * " + c + "[s,i])\n";
    }
  }

  std::mt19937 random_;
  std::vector<std::string> values_ = {"x"};
};

cli::PassInputs example_inputs(const codegen::Manifest& m, unsigned seed) {
  std::mt19937 random(seed);
  cli::PassInputs in;
  in.B = m.B;
  in.T = m.T;
  for (int64_t i = 0; i < m.B * m.T; ++i) {
    in.tokens.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(m.V)));
    in.targets.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(m.V)));
  }
  for (const codegen::ParamInfo& p : m.params) {
    std::vector<float>& v = in.params[p.name];
    for (uint64_t i = 0; i < p.count; ++i) v.push_back(std::uniform_real_distribution<float>(-0.7f, 0.7f)(random));
  }
  return in;
}

std::map<std::string, std::vector<double>> by_name(const std::vector<cli::NamedTensor>& tensors) {
  std::map<std::string, std::vector<double>> out;
  for (const cli::NamedTensor& t : tensors) out[t.name] = t.values;
  return out;
}

double norm(const std::vector<double>& v) {
  double s = 0;
  for (double x : v) s += x * x;
  return std::sqrt(s);
}

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* value = std::getenv(name);
  return value ? static_cast<unsigned>(std::strtoul(value, nullptr, 10)) : otherwise;
}

}  // namespace

TEST_CASE("random models: compiled code equals the interpreter, gradients equal finite differences") {
  const unsigned count = from_environment("CPUFLOW_RANDOM_MODELS", 12), first = from_environment("CPUFLOW_RANDOM_SEED", 1);
  const std::filesystem::path file = std::filesystem::temp_directory_path() / ("cpuflow_random_" + std::to_string(getpid()) + ".toml");
  for (unsigned seed = first; seed < first + count; ++seed) {
    const std::string text = Writer(seed).model();
    INFO("seed " << seed << "\n" << text);
    std::ofstream(file) << text;
    cli::CompileOptions options;
    options.model = file.string();
    options.opt_level = 1;
    options.target = seed % 3 == 0 ? "portable" : "";
    options.fuse = seed % 4 != 1;
    const cli::CompiledModel model = cli::compile_model(options);
    cli::PassInputs inputs = example_inputs(model.exe.manifest, seed);
    const auto expected = by_name(cli::run_interpreter(model, inputs));
    double all_gradients = 0;
    for (const auto& [name, want] : expected) {
      if (name.rfind("grad.", 0) == 0) all_gradients += norm(want) * norm(want);
    }
    all_gradients = std::sqrt(all_gradients);
    for (const auto& [name, got] : by_name(cli::run_compiled(model.exe, inputs))) {
      INFO(name);
      const std::vector<double>& want = expected.at(name);
      REQUIRE(got.size() == want.size());
      std::vector<double> difference(got.size());
      for (size_t i = 0; i < got.size(); ++i) difference[i] = got[i] - want[i];
      const double floor = name.rfind("grad.", 0) == 0 ? 1e-3 * all_gradients : 1e-3;
      CHECK(norm(difference) <= 2e-5 * std::max(norm(want), floor));
    }
    for (const auto& [name, got] : by_name(cli::run_other_schedules(model.exe, inputs))) {
      if (name != "logits") continue;
      const std::vector<double>& want = expected.at(name);
      std::vector<double> difference(got.size());
      for (size_t i = 0; i < got.size(); ++i) difference[i] = got[i] - want[i];
      CHECK(norm(difference) <= 2e-5 * std::max(norm(want), 1e-3));
    }
    // along one random direction, in double
    std::mt19937 random(seed);
    double along = 0;
    cli::PassInputs ahead = inputs, behind = inputs;
    for (auto& [name, values] : inputs.params) {
      for (size_t i = 0; i < values.size(); ++i) {
        const float step = std::ldexp(static_cast<float>(static_cast<int>(random() % 3) - 1), -16);  // exact in float
        const float base = std::ldexp(std::round(std::ldexp(values[i], 12)), -12);
        ahead.params[name][i] = base + step;
        behind.params[name][i] = base - step;
        values[i] = base;
      }
    }
    const auto centre = by_name(cli::run_interpreter(model, inputs));
    for (const auto& [name, values] : inputs.params) {
      const std::vector<double>& gradient = centre.at("grad." + name);
      for (size_t i = 0; i < values.size(); ++i) along += gradient[i] * (static_cast<double>(ahead.params[name][i]) - values[i]);
    }
    const double forward = by_name(cli::run_interpreter(model, ahead)).at("loss.total")[0];
    const double backward = by_name(cli::run_interpreter(model, behind)).at("loss.total")[0];
    CHECK((forward - backward) / 2 == Approx(along).epsilon(1e-3).margin(1e-9));
  }
  std::filesystem::remove(file);
}
