#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "runtime/cli/audit.h"
#include "runtime/cli/loaded_run.h"
#include "runtime/train/sampler.h"
#include "runtime/train/signals.h"
#include "runtime/train/utf8_stream.h"

namespace cpuflow::cli {
namespace {

struct SampleCommand {
  std::string dir, prompt, tokenizer;
  rt::SampleOptions options;
  bool json = false, ignore_end = false;
};

void sample(const SampleCommand& command, Status& status) {
  const RunRecord record = read_run(command.dir);
  const std::string name = !command.tokenizer.empty() ? command.tokenizer : record.has_tokenizer ? tokenizer_path(command.dir) : "";
  if (name.empty())
    throw UsageError(fmt::format("{}: the run has no tokenizer of its own (it was trained on ids); give --tokenizer FILE", command.dir));
  const rt::Tokenizer tokenizer = rt::Tokenizer::load(name);
  CompileOptions compile = run_compile_options(command.dir, record);
  compile.train = compile.eval = false;
  const std::string warning = audit_warning(audit_model(compile.model, compile.overrides));
  if (!warning.empty()) log_line(warning);
  const CompiledModel model = compile_and_warn(compile);
  const codegen::Manifest& m = model.exe.manifest;
  rt::check_vocabulary(tokenizer, name, static_cast<uint32_t>(m.V));

  rt::Arena arena(rt::Arena::bytes_for(m.param_floats));
  float* params = arena.floats(m.param_floats);
  open_checkpoint(command.dir, m, params);
  rt::Sampler sampler(model.exe, params);
  if (const std::string warning = sampler.warning(); !warning.empty()) warn(warning);

  // A document begins behind the id that ends the one before it.
  rt::SampleOptions options = command.options;
  const std::optional<uint32_t> end = tokenizer.end_of_document();
  std::vector<uint32_t> prompt;
  if (end) prompt.push_back(*end);
  tokenizer.encode(command.prompt, prompt);
  if (!command.ignore_end) options.end_token = end;

  const rt::StopSignals signals;
  rt::Utf8Stream stream;
  std::string text = command.prompt;
  auto show = [&](const std::string& part) {
    text += part;
    if (!command.json) print_out(part);
  };
  if (!command.json) print_out(command.prompt);
  const auto start = std::chrono::steady_clock::now();
  const rt::SampleResult result = sampler.sample(
      prompt, options,
      [&](uint32_t id) {
        show(stream.feed(tokenizer.token_bytes(id)));
        return true;
      },
      &rt::StopSignals::flag());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  show(stream.finish());
  const char* ends[] = {"end of document", "--tokens", "positions", "stopped"};
  const double rate = static_cast<double>(result.ids.size() + prompt.size()) / seconds.count();
  if (command.json) {
    const nlohmann::ordered_json report{{"prompt", command.prompt},
                                        {"text", text},
                                        {"ids", result.ids},
                                        {"end", ends[static_cast<size_t>(result.end)]},
                                        {"tokens_per_s", rate}};
    print_out(report.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    print_out("\n");
  }
  if (!result.reason.empty()) log_line("note: " + result.reason);
  if (const int signal = rt::StopSignals::flag().load(); result.end == rt::SampleResult::End::Stopped && signal != 0)
    status.code = 128 + signal;
}

}  // namespace

void add_sample(CLI::App& app, Status& status) {
  CLI::App* sub = app.add_subcommand("sample", "Continues a prompt, one token at a time.");
  sub->footer("Example:\n  cpuflowc sample runs/v5ln \"Once upon a time\" --temperature 0.8 --top-k 40 --seed 7\n");
  auto command = std::make_shared<SampleCommand>();
  command->options.temperature = 0.8;
  command->options.top_p = 0.95;
  command->options.seed = 1;
  sub->add_option("DIR", command->dir, "the folder of a run")->required();
  sub->add_option("PROMPT", command->prompt, "text to continue; default: a new document");
  sub->add_option("--tokens", command->options.max_tokens, "at most so many tokens")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  sub->add_option("--temperature", command->options.temperature, "0: always the most probable token")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--top-k", command->options.top_k, "choose among the k most probable tokens; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--top-p", command->options.top_p, "choose among the most probable tokens that reach this probability together")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  sub->add_option("--seed", command->options.seed, "the same seed gives the same text")->capture_default_str();
  sub->add_flag("--ignore-end", command->ignore_end, "go on behind the end of the document");
  sub->add_option("--tokenizer", command->tokenizer, "a tokenizer.json; default: the run's");
  sub->add_flag("--json", command->json, "text and ids as JSON, when all is there");
  sub->callback([command, &status] { sample(*command, status); });
}

}  // namespace cpuflow::cli
