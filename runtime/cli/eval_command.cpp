#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "modeldefs/frontend/build_graph.h"
#include "runtime/cli/audit.h"
#include "runtime/cli/loaded_run.h"
#include "runtime/train/evaluate.h"

namespace cpuflow::cli {
namespace {

struct EvalOptions {
  WeightOptions weights;
  std::string ids;
  std::vector<std::string> data;
  int threads = 0;
  bool json = false;
};

void eval(const EvalOptions& options) {
  if (options.data.empty() == options.ids.empty()) throw UsageError("eval: expected --data FILE or --ids FILE, and not both");
  TrainedModel trained(options.weights, "eval");
  DataSources sources;
  sources.text = trained.record.text;
  sources.tokenizer = trained.tokenizer;
  CompileOptions compile = trained.compile;
  compile.train = compile.rows = false;
  const std::string warning = audit_doubts(audit_model(frontend::find_model(compile.model), compile.overrides));
  if (!warning.empty()) log_line(warning);
  const CompiledModel model = compile_and_warn(compile);
  const codegen::Manifest& m = model.exe.manifest;
  note_perplexity(m);
  const rt::TokenData data = read_all(sources, options.data, options.ids, m.V);
  rt::ThreadPool pool(options.threads);
  rt::Arrays arrays(m, false, pool.size());
  const std::string what = trained.load(m, arrays.params);
  const rt::Evaluation result = rt::evaluate(model.exe, arrays, pool, data);
  if (options.json) {
    nlohmann::ordered_json losses;
    for (size_t i = 0; i < m.losses.size(); ++i) losses[m.losses[i]] = result.losses[i];
    nlohmann::ordered_json report{{"model", m.model},  {"step", trained.steps()}, {"losses", losses},
                                  {"windows", result.windows}, {"tokens", result.tokens}};
    if (result.ppl > 0) report["ppl"] = result.ppl;
    if (result.bits_per_byte > 0) report["bits_per_byte"] = result.bits_per_byte;
    for (size_t i = 0; i < m.watch.size(); ++i) report["watch"][m.watch[i]] = result.watch[i];
    if (!warning.empty()) report["warning"] = warning;
    print_out(report.dump(2) + "\n");
    return;
  }
  std::string losses;
  for (size_t i = 0; i < m.losses.size(); ++i) losses += fmt::format("{}{} {:.5f}", i ? ", " : "", m.losses[i], result.losses[i]);
  print_out(fmt::format("{} on {}: {}{}{}; {} tokens in {} windows of {}\n", what, data.name, losses,
                        result.ppl > 0 ? fmt::format("; perplexity {:.4f}", result.ppl) : "", result.bits_per_byte > 0 ? fmt::format(", {:.4f} bits per byte", result.bits_per_byte) : "",
                        with_commas(static_cast<double>(result.tokens)), with_commas(static_cast<double>(result.windows)), m.T));
  for (size_t i = 0; i < m.watch.size(); ++i) print_out(fmt::format("  watch {:20} {:.6g}\n", m.watch[i], result.watch[i]));
}

}  // namespace

void add_eval(CLI::App& app, Status&) {
  CLI::App* sub = app.add_subcommand("eval", "Losses, perplexity and bits per byte of a trained model on a text.");
  sub->footer(
      "All windows of T tokens that follow each other are evaluated; what is left at the end is not.\n\n"
      "Examples:\n  cpuflowc eval runs/v5ln --data other.txt\n  cpuflowc eval v5ln --weights v5ln.pt --tokenizer tokenizer.json --data other.txt\n");
  auto options = std::make_shared<EvalOptions>();
  add_weight_options(*sub, options->weights);
  sub->add_option("--data", options->data, "text files");
  sub->add_option("--ids", options->ids, "a file of ids instead of text");
  sub->add_option("--threads", options->threads, "default: what affinity and the cgroup's quota allow")->check(whole_number(1, 1024));
  sub->add_flag("--json", options->json, "the result as JSON");
  sub->callback([options] { eval(*options); });
}

}  // namespace cpuflow::cli
