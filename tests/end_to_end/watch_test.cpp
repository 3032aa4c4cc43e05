// [watch]: numbers that evaluations show and log, and for which a training step pays nothing.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "ir/loops.h"
#include "runtime/cli/compile.h"
#include "tests/catch.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

using namespace cpuflow;

namespace {

// The third number needs the mean over all sequences before it can be summed.
const char* const kWatch = R"toml(
[watch]
sure   = "mean(b, t: exp(max(v: logits[b,t,v]) - logsumexp(v: logits[b,t,v])))"
level  = "mean(b, t: logits[b,t,0])"
spread = "mean(b, t: (logits[b,t,0] - level)^2)"
sum    = "2 * sure + spread"
)toml";

std::string function_of(const std::string& program, const std::string& name) {
  const size_t at = program.find("function " + name + " ");
  return at == std::string::npos ? "" : program.substr(at, program.find("\nfunction ", at) - at);
}

std::string loops(const std::string& path) {
  cli::CompileOptions options;
  options.model = path;
  options.run = false;
  return ir::print(cli::compile_model(options).program);
}

/// Lines of a function by their operations: numbers of buffers and values differ between programs.
size_t lines_of(const std::string& program, const std::string& name) {
  const std::string text = function_of(program, name);
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("what is watched is logged at evaluations, and costs a training step nothing") {
  const TemporaryFolder folder;
  folder.write("plain.toml", kTinyModel);
  folder.write("tiny.toml", std::string(kTinyModel) + kWatch);
  folder.write("tiny.txt", tiny_text());
  const std::string with = loops(folder / "tiny.toml"), without = loops(folder / "plain.toml");
  CHECK(lines_of(without, "train_sequence") > 10);
  CHECK(lines_of(with, "train_sequence") == lines_of(without, "train_sequence"));
  CHECK(lines_of(with, "eval_sequence") > lines_of(without, "eval_sequence"));
  CHECK(function_of(with, "batch_sums_0").empty());
  CHECK(!function_of(with, "eval_sums_0").empty());

  const Result run = cpuflowc(words("train " + folder / "tiny.toml" + " --data " + folder / "tiny.txt" + " --out " + folder / "run --steps 8 --eval-every 4"));
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(contains(run.err, "\n  watch: sure 0."));
  std::istringstream metrics(text_of(folder / "run/metrics.jsonl"));
  int evaluations = 0;
  double last = 0;
  for (std::string line; std::getline(metrics, line);) {
    const nlohmann::json object = nlohmann::json::parse(line);
    if (!object.contains("val.ce")) {
      CHECK(!object.contains("watch.sure"));
      continue;
    }
    ++evaluations;
    const double sure = object["watch.sure"], spread = object["watch.spread"];
    CHECK(sure > 1.0 / 300);
    CHECK(spread > 0);
    CHECK(std::abs(object["watch.sum"].get<double>() - (2 * sure + spread)) < 1e-6 * (1 + spread));
    last = sure;
  }
  CHECK(evaluations == 2);

  const Result eval = cpuflowc(words("eval " + folder / "run --data " + folder / "tiny.txt --json"));
  INFO(eval.err);
  REQUIRE(eval.status == 0);
  const double again = nlohmann::json::parse(eval.out)["watch"]["sure"];
  CHECK(std::abs(again - last) < 0.5 * last);  // another text
  CHECK(contains(cpuflowc(words("eval " + folder / "run --data " + folder / "tiny.txt")).out, "\n  watch sure "));
}

TEST_CASE("each micro-batch of an evaluation has draws of its own") {
  const TemporaryFolder folder;
  folder.write("tiny.toml", std::string(kTinyModel) + "[watch]\ndrawn = \"mean(b, t: 1.0 * randint(V))\"\n");
  folder.write("tiny.txt", tiny_text());
  REQUIRE(cpuflowc(words("train " + folder / "tiny.toml" + " --data " + folder / "tiny.txt" + " --out " + folder / "run --steps 1")).status == 0);
  const Result eval = cpuflowc(words("eval " + folder / "run --json --data " + folder.write("long.txt", tiny_text(600))));
  INFO(eval.err);
  REQUIRE(eval.status == 0);
  // 32 draws of 0 to 299 a micro-batch: their mean is off by 15 or so, that of hundreds of micro-batches by less than 1
  CHECK(std::abs(nlohmann::json::parse(eval.out)["watch"]["drawn"].get<double>() - 149.5) < 3);
}

TEST_CASE("an equation that cannot be watched is an error with its place") {
  const TemporaryFolder folder;
  folder.write("tiny.toml", std::string(kTinyModel) + "\n[watch]\ngate = \"mean(b, t: gait[b,t])\"\n");
  const Result run = cpuflowc({"compile", folder / "tiny.toml"});
  CHECK(run.status == 3);
  INFO(run.err);
  CHECK(contains(run.err, "tiny.toml:30:20: error: unknown name 'gait'"));
}
