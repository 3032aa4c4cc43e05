// The program that makes one row at a time: what it keeps, and that it equals the whole.
#include <nlohmann/json.hpp>

#include "runtime/cli/compile.h"
#include "tests/catch.h"
#include "tests/end_to_end/compiled_pass.h"
#include "tests/end_to_end/process.h"

#include <sstream>

using namespace cpuflow;

namespace {

cli::CompiledModel compiled(const TemporaryFolder& folder, const std::string& equations, const std::string& sizes) {
  folder.write("model.toml", "name = \"rows\"\n[dims]\nB = 2\nV = 11\nd = 6\n" + sizes +
                                 "\n[params]\nembed = \"table(V, d)\"\nW = \"linear(d, d)\"\nK = \"tensor(d, 3)\"\n[model]\nforward = '''\nx = embed[tokens]\n" +
                                 equations + "logits = y @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n");
  cli::CompileOptions options;
  options.model = folder / "model.toml";
  options.opt_level = 1;
  return cli::compile_model(options);
}

/// Checks rows made one by one against the interpreter; floats carried from row to row.
double check_rows(const std::string& equations, const std::string& sizes) {
  const TemporaryFolder folder;
  const cli::CompiledModel model = compiled(folder, equations, sizes);
  INFO(equations);
  CHECK(model.exe.manifest.causal);
  const cli::PassInputs inputs = example_inputs(model.exe.manifest, 3);
  Tensors rows = by_name(cli::run_other_schedules(model.exe, inputs));
  REQUIRE(rows.count("logits") == 1);
  check_tensors({{"logits", rows["logits"]}}, by_name(cli::run_interpreter(model, inputs)));
  return static_cast<double>(model.exe.manifest.carried_floats);
}

}  // namespace

TEST_CASE("rows keep what later rows read, whatever the length") {
  const std::vector<std::pair<std::string, double>> cases{
      {"y = x + cumsum(W(x))\n", 12},                                            // the running sum, and what its roundings have lost
      {"h = tanh(x + W(h[t-1]))\ny = h\n", 6},                                   // the row before
      {"u = W(x)\ny = x + u[t-3]\n", 18},                                        // three rows
      {"u = W(x)\ny[t,i] = x[t,i] + sum(j in 0..3: K[i,j] * u[t-2+j,i])\n", 12}, // taps of a convolution
      {"u = W(x)\nS[t,i,j] = 0.5 * S[t-1,i,j] + u[t,i] * x[t,j]\ny[t,i] = sum(j: S[t,i,j] * x[t,j])\n", 36},
  };
  for (const auto& [equations, floats] : cases) {
    for (const char* sizes : {"T = 7", "T = 70"}) CHECK(check_rows(equations, sizes) == floats);
  }
}

TEST_CASE("a row is not overwritten before it is read") {
  // every element moves one place on: the value of the row before is read beside the element that is written
  check_rows("u = W(x)\nS[t,i] = where(i == 0, u[t,i], S[t-1,max(i-1,0)])\ny = x + S\n", "T = 9");
  check_rows("u = W(x)\nh = 0.5 * h[t-1] + u\nz = W(h[t-1])\ny = x + z + h\n", "T = 70");
}

TEST_CASE("a row that a model's own minimum or maximum chooses is kept") {
  for (const std::string index : {"min(t-1,5)", "min(max(t-1,0),5)", "max(min(t-2,9),3)"}) check_rows("u = W(x)\ny[t,i] = x[t,i] + where(t > 3, u[" + index + ",i], 0)\n", "T = 20");
}

TEST_CASE("sums of a chunk are collected row by row") {
  check_rows("u = W(x)\nm[start, i in 0..d] = 0.0\nm[n in 0..ceil(T/4), i] = 0.9 * m[n-1,i] + sum(t | t // 4 == n: u[t,i])\ny[t,i] = x[t,i] + m[t // 4 - 1, i]\n",
             "T = 10");
  check_rows("u = W(x)\nm[start, i in 0..d] = 0.0\nm[n in 0..ceil(T/4), i] = 0.9 * m[n-1,i] + sum(t | t // 4 == n: u[t,i])\ny[t,i] = x[t,i] + sum(j: u[t,j] * x[t,i]) * m[t // 4 - 1, i]\n",
             "T = 12");
}

TEST_CASE("a chunk that only later chunks read is run when it is complete; what it sums is computed once a row") {
  const auto rows_of = [&](const std::string& read) {
    const std::string equations = "u = W(x)\nw = sigmoid(u)\nm[start, i in 0..d, j in 0..d] = 0.1 * (i - j)\n"
                                  "m[n in 0..ceil(T/4), i, j] = 0.9 * m[n-1,i,j] + sum(t | t // 4 == n: w[t,i] * tanh(x[t,j]))\n"
                                  "g[start, j in 0..d] = tanh(x[0,j])\ng[n in 0..ceil(T/4), j in 0..d] = 0.5 * g[n-1,j]\n"
                                  "y[t,j] = x[t,j] + sum(i: u[t,i] * " + read + ")\n";
    for (const char* sizes : {"T = 10", "T = 12"}) check_rows(equations, sizes);
    const std::string text = ir::print(compiled(TemporaryFolder(), equations, "T = 12").program);
    return text.substr(text.find("function rows"));
  };
  const std::string rows = rows_of("m[t // 4 - 1, i, j]");
  CHECK(rows.find("chunks 4 complete") != std::string::npos);
  std::istringstream lines(rows);
  for (std::string line; std::getline(lines, line);) CHECK_FALSE((line.find("sum into") != std::string::npos && line.find("tanh(") != std::string::npos));
  const std::string both = rows_of("m[t // 4 - 1, i, j] + g[t // 4, j] * i");  // the chunk at hand is read as well
  CHECK(both.find("chunks 4") != std::string::npos);
  CHECK(both.find("complete") == std::string::npos);
  const std::string any = rows_of("m[(t - 4) // 4, i, j]");  // of which nothing is known
  CHECK(any.find("chunks 4") != std::string::npos);
  CHECK(any.find("complete") == std::string::npos);
}

TEST_CASE("a row looks at earlier positions only as far as it may, and needs none of the others") {
  const std::string softmax = "k = W(x)\na[t,s] = softmax(s | {}: sum(i: x[t,i] * k[s,i]))\ny[t,i] = x[t,i] + sum(s: a[t,s] * k[s,i])\n";
  for (const char* seen : {"s <= t", "s <= t, t - s < 5", "s <= t, t - s <= 20", "s < t + 1"}) {
    std::string equations = softmax;
    equations.replace(equations.find("{}"), 2, seen);
    check_rows(equations, "T = 50");
  }
  check_rows("k = W(x)\ny[t,i] = x[t,i] + sum(s | s < t, t - s < 9: tanh(x[t,i] - x[s,i]) * k[s,i])\n", "T = 50");
  check_rows("k = W(x)\ny[t,i] = x[t,i] + max(s | s <= t: x[t,i] * k[s,i])\n", "T = 33");
  check_rows("k = W(x)\ny[t,i] = x[t,i] + max(s: where(s <= t, k[s,i] - x[t,i], 0))\n", "T = 33");  // what lies outside is seen
  // functions of the earlier position alone, of a group of heads, and of pairs that are used twice
  check_rows("k = W(x)\nw[t,s] = sum(i: x[t,i] * tanh(k[s,i // 2 * 2]))\ny[t,i] = x[t,i] + sum(s | s <= t: w[t,s] * tanh(x[s,i]))\n", "T = 50");
  check_rows("k = W(x)\nw[t,s] = where(t - s < 4, exp(-sum(i: x[t,i] * k[s,i])), 0)\n"
             "y[t,i] = x[t,i] + sum(s | s <= t: w[t,s] * k[s,i]) / (1 + sum(s | s <= t: w[t,s] * w[t,s]))\n", "T = 50");
}

TEST_CASE("logits that are a state, and recurrences of constants") {
  const TemporaryFolder folder;
  folder.write("model.toml",
               "name = \"state\"\n[dims]\nT = 9\nB = 2\nV = 5\nd = 5\n[params]\nembed = \"table(V, d)\"\n[model]\nforward = '''\n"
               "g[t] = 0.5 * g[t-1] + 1\nx = embed[tokens] * g\nlogits = 0.7 * logits[t-1] + x\n'''\n[loss]\ntotal = 'cross_entropy(logits, targets)'\n");
  cli::CompileOptions options;
  options.model = folder / "model.toml";
  options.opt_level = 1;
  const cli::CompiledModel model = cli::compile_model(options);
  CHECK(model.exe.manifest.causal);
  const cli::PassInputs inputs = example_inputs(model.exe.manifest, 3);
  const Tensors want = by_name(cli::run_interpreter(model, inputs));
  check_training(by_name(cli::run_compiled(model.exe, inputs)), want);
  check_tensors({{"logits", by_name(cli::run_other_schedules(model.exe, inputs)).at("logits")}}, want);
}

TEST_CASE("rows are compared with parameters in their ranges, and what is no number in both is no difference") {
  for (const std::string range : {", range = [0.01, 10]", ""}) {
    const TemporaryFolder folder;
    folder.write("model.toml", "name = \"roots\"\n[dims]\nT = 9\nB = 2\nV = 5\nd = 5\n[params]\nembed = { kind = \"table(V, d)\", init = \"uniform(0.1, 1)\"" + range +
                                   " }\n[model]\nforward = '''\nx = sqrt(embed[tokens])\nlogits = 0.7 * logits[t-1] + x\n'''\n[loss]\ntotal = 'cross_entropy(logits, targets)'\n");
    cli::CompileOptions options;
    options.model = folder / "model.toml";
    options.opt_level = 1;
    const cli::CompiledModel model = cli::compile_model(options);
    INFO(range);
    CHECK(model.exe.manifest.causal);
    CHECK(model.warnings.empty());
  }
}
