// The error of sums over many positions does not grow with their number.
#include <cmath>

#include "runtime/cli/compile.h"
#include "tests/catch.h"
#include "tests/end_to_end/compiled_pass.h"
#include "tests/end_to_end/process.h"

using namespace cpuflow;

TEST_CASE("a prefix sum over thousands of positions is as exact as one addition") {
  const TemporaryFolder folder;
  folder.write("model.toml",
               "name = \"sums\"\n[dims]\nT = 6000\nB = 1\nV = 8\nd = 8\n[params]\nembed = \"table(V, d)\"\n[model]\nforward = '''\n"
               "x = sigmoid(embed[tokens])\nlogits = cumsum(x)\n'''\n[loss]\ntotal = 'mean(b, t, v: logits[b,t,v])'\n");
  cli::CompileOptions options;
  options.model = folder / "model.toml";
  options.opt_level = 1;
  const cli::CompiledModel model = cli::compile_model(options);
  const cli::PassInputs inputs = example_inputs(model.exe.manifest, 3);
  const std::vector<double> want = by_name(cli::run_interpreter(model, inputs)).at("logits");
  const Tensors got = by_name(cli::run_compiled(model.exe, inputs)), rows = by_name(cli::run_other_schedules(model.exe, inputs));
  for (const Tensors* tensors : {&got, &rows}) {
    double worst = 0;
    for (size_t i = 0; i < want.size(); ++i) worst = std::max(worst, std::abs(tensors->at("logits")[i] - want[i]) / want[i]);
    CHECK(worst < 2.5e-7);
  }
}
