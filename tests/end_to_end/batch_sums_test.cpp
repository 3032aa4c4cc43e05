// Losses in which the sequences of a micro-batch read sums over all of them, and terms that no sequence takes part in.
#include <nlohmann/json.hpp>

#include "ir/diagnostics.h"
#include "runtime/cli/compile.h"
#include "tests/catch.h"
#include "tests/end_to_end/compiled_pass.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

using namespace cpuflow;

namespace {

/// A model with `loss` in place of a balanced routing loss.
std::string routed(const std::string& loss) {
  return "name = \"routed\"\n[dims]\nT = 5\nB = 3\nV = 11\nd = 6\nE = 4\n[params]\nembed = \"table(V, d)\"\nroute = \"linear(d, E)\"\n"
         "[model]\nforward = '''\nx = embed[tokens]\np = softmax(route(x))\nlogits = x @ transpose(embed)\n'''\n[loss]\n" +
         loss;
}

cli::CompiledModel compiled(const TemporaryFolder& folder, const std::string& text, bool fuse) {
  folder.write("model.toml", text);
  cli::CompileOptions options;
  options.model = folder / "model.toml";
  options.fuse = fuse;
  return cli::compile_model(options);
}

void check_against_interpreter(const std::string& text, size_t stages) {
  const TemporaryFolder folder;
  for (bool fuse : {true, false}) {
    const cli::CompiledModel model = compiled(folder, text, fuse);
    CHECK(model.exe.batch_sums.size() == stages);
    const cli::PassInputs inputs = example_inputs(model.exe.manifest, 7);
    const Tensors expected = by_name(cli::run_interpreter(model, inputs));
    check_training(by_name(cli::run_compiled(model.exe, inputs)), expected);
    for (const auto& [name, values] : by_name(cli::run_other_schedules(model.exe, inputs))) {
      if (name.rfind("eval.", 0) == 0) CHECK(values[0] == Approx(expected.at(name.substr(5))[0]).epsilon(1e-5));
    }
  }
}

double gradient_norm_of_first_step(const TemporaryFolder& folder, const std::string& sizes) {
  const std::string run = folder / ("run" + std::to_string(std::hash<std::string>{}(sizes)));
  const Result result = cpuflowc(words("train " + folder / "tiny.toml" + " --data " + folder / "tiny.txt" + " --out " + run + " --steps 1 --seed 5 " + sizes));
  INFO(result.err);
  REQUIRE(result.status == 0);
  const std::string line = text_of(run + "/metrics.jsonl");
  const size_t at = line.find("\"grad_norm\":");
  REQUIRE(at != std::string::npos);
  return std::stod(line.substr(at + 12));
}

}  // namespace

TEST_CASE("sequences read what the whole micro-batch chose") {
  check_against_interpreter(
      routed("where = '''\nuse[e] = mean(b, t: p[b,t,e])\n'''\nce = 'cross_entropy(logits, targets)'\nbalance = 'sum(e: use[e] * log(use[e]))'\n"
             "total = 'ce + 0.3 * balance'\n"),
      1);
}

TEST_CASE("sums over sequences of what depends on sums over sequences") {
  check_against_interpreter(routed("where = '''\nmiddle[e] = mean(b, t: p[b,t,e])\nspread = mean(b, t, e: (p[b,t,e] - middle[e])^2)\n'''\n"
                                   "ce = 'cross_entropy(logits, targets)'\nfar = 'mean(b, t, e: abs(p[b,t,e] - middle[e]) / (0.1 + spread))'\ntotal = 'ce + far'\n"),
                            4);  // the middle, the spread, and the gradients of both
}

TEST_CASE("a mean over the tokens that a condition chooses in the micro-batch") {
  check_against_interpreter(routed("where = '''\nq = softmax(logits)\n'''\nchosen = 'mean(b, t | tokens[b,t] < 4: -log(q[b,t,targets[b,t]]))'\ntotal = 'chosen'\n"), 1);
}

TEST_CASE("sequences that are compared by means of what a parameter scales") {
  std::string text = routed("where = '''\npool[b,i] = mean(t: g[i] * x[b,t,i])\nsim[b,c in 0..B] = sum(i: pool[b,i] * pool[c,i])\n'''\n"
                            "ce = 'cross_entropy(logits, targets)'\nalike = 'mean(b, c: sim[b,c]^2)'\ntotal = 'ce + 0.1 * alike'\n");
  text.insert(text.find("[model]"), "g = \"vector(d)\"\n");
  check_against_interpreter(text, 2);  // what all read, and its gradient
}

TEST_CASE("logits that depend on other sequences are refused when they are to be sampled") {
  const TemporaryFolder folder;
  std::string text = routed("ce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n");
  text.replace(text.find("logits = x"), 10, "logits = (x - mean(b: x))");
  CHECK_THROWS_AS(compiled(folder, text, true), ir::ModelError);
}

TEST_CASE("sequences are compared with each other") {
  check_against_interpreter(routed("pair = 'mean(b, c in 0..B, t, e: p[b,t,e] * p[c,t,e])'\nnext = 'mean(b, t, e: p[b,t,e] * p[(b+1) % B,t,e])'\n"
                                   "total = 'cross_entropy(logits, targets) + pair + next'\n"),
                            2);
  check_against_interpreter(routed("back = 'mean(b, t, e: p[b,t,e] * p[B-1-b,t,e])'\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce + back'\n"), 1);
  check_against_interpreter(routed("where = '''\nm[b,e] = mean(t: p[b,t,e])\nlike[b,c in 0..B] = sum(e: m[b,e] * m[c,e])\n'''\nce = 'cross_entropy(logits, targets)'\n"
                                   "contrast = 'mean(b: logsumexp(c in 0..B: 4 * like[b,c]) - 4 * like[b,b])'\ntotal = 'ce + contrast'\n"),
                            2);
}

TEST_CASE("a term of parameters only counts as much whatever the micro-batches are") {
  const TemporaryFolder folder;
  std::string loss = "total = 'ce + 20 * mean(v, i: embed[v,i] * embed[v,i])'";
  SECTION("beside the sequences") {}
  SECTION("where it meets the sequences before something that both pass") {
    loss = "where = 'table[v,i] = tanh(3 * embed[v,i])'\ntotal = 'ce + 20 * mean(v, i: table[v,i]^2) + mean(b, t, i: table[tokens[b,t],i])'";
  }
  const std::string same_draws = replaced(kTinyModel, "dropout(mix(tanh(cumsum(x) / (t + 1))), 0.1)", "mix(tanh(cumsum(x) / (t + 1)))");  // those of dropout are other ones in other micro-batches
  folder.write("tiny.toml", replaced(same_draws, "total = \"ce\"", loss));
  folder.write("tiny.txt", tiny_text());
  const double whole = gradient_norm_of_first_step(folder, "--set B=4 train.batch=8 train.micro=8");
  const double parts = gradient_norm_of_first_step(folder, "--set B=1 train.batch=8 train.micro=2");
  CHECK(parts == Approx(whole).epsilon(1e-6));
}

TEST_CASE("the sequence that is not finite is named where sequences read sums over all") {
  const TemporaryFolder folder;
  const std::string model = folder.write("model.toml", routed("where = '''\nper[b,t] = nll(logits[b,t], targets[b,t])\nall = sum(b, t: per[b,t])\n'''\n"
                                                              "total = 'mean(b, t: log(per[b,t] / all) + exp(where(tokens[b,t] == 10, 1000, 0)))'\n"));
  std::string ids;  // of two bytes; the windows are 5 long
  for (int i = 0; i < 60; ++i) ids += {i == 12 ? '\x0a' : static_cast<char>(1 + i % 7), '\0'};
  const Result result = cpuflowc({"train", model, "--ids", folder.write("ids.bin", ids), "--out", folder / "run", "--steps", "1", "--order", "sequential", "--set", "train.batch=3"});
  INFO(result.err);
  CHECK(result.status == 6);
  CHECK(contains(result.err, "first in window 2"));
}
