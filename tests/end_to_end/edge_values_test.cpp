// Values at the ends of what equations may say: powers of 0, conditions that nothing meets, values that are read twice by what is read twice.
#include <cmath>

#include "ir/loops.h"
#include "runtime/cli/compile.h"
#include "tests/catch.h"
#include "tests/end_to_end/compiled_pass.h"
#include "tests/end_to_end/process.h"

using namespace cpuflow;

namespace {

std::string model(const std::string& forward, const std::string& params = "") {
  return "name = \"edge\"\n[dims]\nT = 8\nB = 2\nV = 16\nd = 8\n[params]\nembed = \"table(V, d)\"\n" + params + "[model]\nforward = '''\nx = embed[tokens]\n" + forward +
         "\nlogits = y @ transpose(embed)\n'''\n[loss]\ntotal = 'cross_entropy(logits, targets)'\n";
}

cli::CompiledModel compiled(const TemporaryFolder& folder, const std::string& text) {
  folder.write("model.toml", text);
  cli::CompileOptions options;
  options.model = folder / "model.toml";
  options.opt_level = 1;
  return cli::compile_model(options);
}

}  // namespace

TEST_CASE("the gradient of a power is a number where its base or its exponent is 0") {
  const TemporaryFolder folder;
  const cli::CompiledModel decays = compiled(folder, model("y[t,i] = sum(s | s <= t: g[i]^(t-s) * x[s,i])", "g = { kind = \"vector(d)\", range = [0, 1] }\n"));
  cli::PassInputs inputs = example_inputs(decays.exe.manifest, 3);
  for (float& g : inputs.params.at("g")) g = std::abs(g);
  inputs.params.at("g")[0] = 0;
  const Tensors got = by_name(cli::run_compiled(decays.exe, inputs));
  check_training(got, by_name(cli::run_interpreter(decays, inputs)));
  for (double g : got.at("grad.g")) CHECK(std::isfinite(g));
  CHECK(got.at("grad.g")[0] != 0);  // 0^1 has the slope 1

  const cli::CompiledModel both = compiled(folder, model("y = x + abs(g)^abs(h)", "g = \"vector(d)\"\nh = \"vector(d)\"\n"));
  inputs = example_inputs(both.exe.manifest, 4);
  inputs.params.at("g")[0] = inputs.params.at("g")[2] = inputs.params.at("h")[2] = 0;
  inputs.params.at("g")[1] = 0.5f, inputs.params.at("h")[0] = 1.5f, inputs.params.at("h")[1] = 0;
  const Tensors powers = by_name(cli::run_compiled(both.exe, inputs));
  for (const char* name : {"grad.g", "grad.h"}) {
    for (double g : powers.at(name)) CHECK(std::isfinite(g));
  }
}

TEST_CASE("a sum over nothing is 0, whatever else is asked of its terms") {
  const TemporaryFolder folder;
  for (const char* forward : {"c[t,j in 0..d] = sum(s | s < 0, tokens[s] == j: 1.0)\ny[t,i in 0..d] = x[t,i] + sum(j: c[t,j] * c[t,i] * (i + j))",
                              "c[t,j in 0..d] = sum(s | s < 0, tokens[s] == j: 1.0)\ny[t,i] = x[t,i] + c[t,i]"}) {
    const cli::CompiledModel nothing = compiled(folder, model(forward));
    const cli::PassInputs inputs = example_inputs(nothing.exe.manifest, 3);
    check_training(by_name(cli::run_compiled(nothing.exe, inputs)), by_name(cli::run_interpreter(nothing, inputs)));
  }
}

TEST_CASE("what a choice leaves out has no gradient, though the sequences of a batch share it") {
  const TemporaryFolder folder;
  const cli::CompiledModel guarded = compiled(folder, model("y[t,i] = x[t,i] + where(t > 0, x[t,i] * log(abs(g[i]) * t), 0)", "g = \"vector(d)\"\n"));
  const cli::PassInputs inputs = example_inputs(guarded.exe.manifest, 3);
  check_training(by_name(cli::run_compiled(guarded.exe, inputs)), by_name(cli::run_interpreter(guarded, inputs)));
}

TEST_CASE("what conditions hide has no gradient, though it is no number: as if it were one") {
  const TemporaryFolder folder;
  const std::string w = "w = \"vector(d)\"\n";
  const std::pair<std::string, std::string> pairs[] = {
      // a factor of a product that is summed
      {"y[t,i] = x[t,i] * sum(s, j | s < t: log(t - s) * x[s,j] * w[j])", "y[t,i] = x[t,i] * sum(s, j | s < t: log(max(t - s, 1)) * x[s,j] * w[j])"},
      // hidden from all that sum it; and at few positions, which are a slice
      {"u[s,i] = log(s) * x[s,i]\ny[t,i] = sum(s | 0 < s, s < t: u[s,i] * w[i]) + x[t,i]", "u[s,i] = log(max(s, 1)) * x[s,i]\ny[t,i] = sum(s | 0 < s, s < t: u[s,i] * w[i]) + x[t,i]"},
      {"u[s,i] = log(s) * x[s,i]\ny[t,i] = sum(s | s % 4 == 1, s < t: u[s,i] * w[i]) + x[t,i]", "u[s,i] = log(max(s, 1)) * x[s,i]\ny[t,i] = sum(s | s % 4 == 1, s < t: u[s,i] * w[i]) + x[t,i]"},
      // hidden by each of its readers in a way of its own
      {"u[s,i] = x[s,i] / s\ny[t,i] = sum(s | 0 < s, s <= t: u[s,i] * w[i]) + sum(s | 1 < s, s <= t: u[s,i] * x[t,i]) + x[t,i]",
       "u[s,i] = x[s,i] / max(s, 1)\ny[t,i] = sum(s | 0 < s, s <= t: u[s,i] * w[i]) + sum(s | 1 < s, s <= t: u[s,i] * x[t,i]) + x[t,i]"},
  };
  for (const auto& [written, defined] : pairs) {
    INFO(written);
    const cli::CompiledModel hiding = compiled(folder, model(written, w)), plain = compiled(folder, model(defined, w));
    const cli::PassInputs inputs = example_inputs(plain.exe.manifest, 3);
    const Tensors want = by_name(cli::run_interpreter(plain, inputs));
    for (double g : want.at("grad.w")) CHECK(std::isfinite(g));
    check_training(by_name(cli::run_interpreter(hiding, inputs)), want);
    check_training(by_name(cli::run_compiled(hiding.exe, inputs)), want);
  }
}

TEST_CASE("a prefix sum stays infinite, and a gate that closes leaves nothing of what was") {
  const TemporaryFolder folder;
  const cli::CompiledModel gated = compiled(folder, model("gate = where(tokens % 4 == 1, 0, sigmoid(x))\nkept = exp(cumsum(log(gate)))\ny = x * (1 + kept)"));
  const cli::PassInputs inputs = example_inputs(gated.exe.manifest, 3);
  const std::vector<double> logits = by_name(cli::run_compiled(gated.exe, inputs)).at("logits"), want = by_name(cli::run_interpreter(gated, inputs)).at("logits");
  for (size_t i = 0; i < want.size(); ++i) CHECK(std::abs(logits[i] - want[i]) <= 1e-5 * (1 + std::abs(want[i])));
}

TEST_CASE("hundreds of terms are no deeper than a compiler reads") {
  const TemporaryFolder folder;
  std::string sum = "y = x", maps = "y = x";
  for (int i = 0; i < 300; ++i) {
    sum += "\ny = y + tanh(" + std::to_string(1 + 0.01 * i) + " * x)";
    if (i < 70) maps += "\ny = y + W(tanh(" + std::to_string(1 + 0.01 * i) + " * x))";
  }
  for (const auto& [forward, params] : {std::pair{sum, std::string()}, {maps, std::string("W = \"linear(d, d)\"\n")}}) {
    const cli::CompiledModel many = compiled(folder, model(forward, params));
    const cli::PassInputs inputs = example_inputs(many.exe.manifest, 3);
    check_training(by_name(cli::run_compiled(many.exe, inputs)), by_name(cli::run_interpreter(many, inputs)));
  }
}

TEST_CASE("code does not double with each statement that reads the one before it twice") {
  const TemporaryFolder folder;
  std::string forward = "k0[t] = tokens[t]\n";
  for (int i = 1; i <= 60; ++i) forward += "k" + std::to_string(i) + "[t] = (k" + std::to_string(i - 1) + "[t] * (k" + std::to_string(i - 1) + "[t] + 1)) % 7\n";
  const cli::CompiledModel deep = compiled(folder, model(forward + "y[t,j] = x[t,j] * k60[t]"));
  CHECK(deep.cpp.size() < 200000);
  const std::string text = ir::print(deep.program);
  CHECK(text.size() < 100000);
  CHECK((ir::print(ir::parse_loops(text)) == text));
}

TEST_CASE("what the model makes no number of is no fault of a pass, and a model may have any name") {
  const TemporaryFolder folder;
  folder.write("log.toml", model("y = log(x)"));
  CHECK(cpuflowc({"compile", folder / "log.toml", "--check-each"}).status == 0);
  CHECK(cpuflowc({"compile", "--set=d=16", "T=4", folder / "log.toml", "--emit", "loops"}).status == 0);
  folder.write("prelude.toml", model("y = x"));
  CHECK(contains(cpuflowc({"compile", folder / "prelude.toml", "--explain"}).out, "prelude.toml:13"));
}
