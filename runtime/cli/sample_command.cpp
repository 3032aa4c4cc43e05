#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "ir/diagnostics.h"
#include "modeldefs/frontend/build_graph.h"
#include "runtime/cli/audit.h"
#include "runtime/cli/loaded_run.h"
#include "runtime/train/sampler.h"
#include "runtime/train/signals.h"
#include "runtime/train/stop_strings.h"
#include "runtime/train/utf8_stream.h"

namespace cpuflow::cli {
namespace {

struct SampleCommand {
  WeightOptions weights;
  std::string prompt, head;
  std::vector<std::string> stop;
  rt::SampleOptions options;
  int64_t samples = 1;
  bool json = false, ignore_end = false;
};

/// A model with its weights, ready to write.
struct Writer {
  Writer(const CompileOptions& compile, TrainedModel& trained, bool may_be_causal) : model(compile_and_warn(compile)), arena(rt::Arena::bytes_for(model.exe.manifest.param_floats)) {
    model.exe.manifest.causal = model.exe.manifest.causal && may_be_causal;
    float* params = arena.floats(model.exe.manifest.param_floats);
    trained.load(model.exe.manifest, params);
    sampler.emplace(model.exe, params);
  }
  CompiledModel model;
  rt::Arena arena;
  std::optional<rt::Sampler> sampler;
};

/// The same model with twice as many positions, where its parameters and its equations allow that; nothing otherwise, and why.
std::optional<CompileOptions> longer(const CompileOptions& compile, const CompiledModel& model, const AuditReport& audit, std::string& why) {
  if (verdict_of(audit, "sequence_end") != passes::audit::Verdict::Proved) {
    why = "its equations depend on where a sequence ends";
    return std::nullopt;
  }
  CompileOptions out = compile;
  out.overrides["T"] = std::to_string(2 * model.exe.manifest.T);
  try {
    const frontend::Model twice = load(out);
    for (size_t i = 0; i < twice.params.size(); ++i) {
      if (twice.params[i].shape == model.exe.manifest.params[i].shape) continue;
      why = fmt::format("{} has one row a position", twice.params[i].name);
      return std::nullopt;
    }
  } catch (const ir::ModelError& e) {
    why = "it does not exist with more";
    return std::nullopt;
  }
  return out;
}

class SampleRun {
 public:
  SampleRun(const SampleCommand& command, const rt::Tokenizer& tokenizer, TrainedModel& trained, const CompileOptions& compile, const AuditReport& audit)
      : command_(command), tokenizer_(tokenizer), trained_(trained), compile_(compile), audit_(audit), writer_(make_writer()) {
    if (const std::string warning = writer_->sampler->warning(); !warning.empty()) warn(warning);
  }
  const codegen::Manifest& manifest() const { return writer_->model.exe.manifest; }

  /// One text, shown as it is made.  Returns what is to be told of it.
  nlohmann::ordered_json write(const std::vector<uint32_t>& prompt, uint64_t seed) {
    rt::SampleOptions options = command_.options;
    options.seed = seed;
    options.prompt_tokens = static_cast<int64_t>(prompt.size());
    if (!command_.ignore_end) options.end_token = tokenizer_.end_of_document();
    rt::Utf8Stream characters;
    rt::StopStrings stops(command_.stop);
    std::string text = command_.prompt;
    auto show = [&](const std::string& part) {
      text += part;
      if (!command_.json) print_out(part);
    };
    if (!command_.json) print_out(command_.prompt);
    const auto start = std::chrono::steady_clock::now();
    std::vector<uint32_t> ids = prompt;
    rt::SampleResult result;
    while (true) {
      result = writer_->sampler->sample(
          ids, options,
          [&](uint32_t id) {
            ids.push_back(id);
            show(stops.feed(characters.feed(tokenizer_.token_bytes(id))));
            return stops.found().empty();
          },
          &rt::StopSignals::flag());
      options.max_tokens -= static_cast<int64_t>(result.ids.size());
      if (result.end != rt::SampleResult::End::Positions || !lengthen(result.reason)) break;
    }
    if (stops.found().empty()) {
      show(stops.feed(characters.finish()));
      show(stops.finish());
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (!command_.json) print_out("\n");
    if (!result.reason.empty()) log_line("note: " + result.reason);
    interrupted_ = result.end == rt::SampleResult::End::Stopped && stops.found().empty() ? rt::StopSignals::flag().load() : 0;
    const char* ends[] = {"end of document", "--tokens", "positions", "stopped"};
    return {{"prompt", command_.prompt},
            {"text", text},
            {"ids", std::vector<uint32_t>(ids.begin() + static_cast<ptrdiff_t>(prompt.size()), ids.end())},
            {"end", stops.found().empty() ? ends[static_cast<size_t>(result.end)] : "--stop"},
            {"seed", seed},
            {"tokens_per_s", static_cast<double>(ids.size()) / seconds.count()}};
  }
  int interrupted() const { return interrupted_; }

 private:
  /// Goes on with more positions, where the model has them; otherwise says why not.
  bool lengthen(std::string& reason) {
    std::string why;
    const std::optional<CompileOptions> more = longer(compile_, writer_->model, audit_, why);
    if (!more) {
      reason += fmt::format(", and there are no more: {}", why);
      return false;
    }
    compile_ = *more;
    writer_ = make_writer();
    return true;
  }
  /// What is refuted may be too small for the probe of the compiled rows to see.
  std::unique_ptr<Writer> make_writer() const {
    return std::make_unique<Writer>(compile_, trained_, verdict_of(audit_, "causality") != passes::audit::Verdict::Refuted);
  }

  const SampleCommand& command_;
  const rt::Tokenizer& tokenizer_;
  TrainedModel& trained_;
  CompileOptions compile_;
  const AuditReport& audit_;
  std::unique_ptr<Writer> writer_;
  int interrupted_ = 0;
};

void sample(const SampleCommand& command, Status& status) {
  if (command.options.look_ahead > 0 && command.head.empty()) {
    throw UsageError("--look-ahead: also give --head EQUATION, what each candidate is judged by, for example --head 'mean(l: layers.guess[l,b,t,0])'");
  }
  if (command.options.look_ahead == 0 && !command.head.empty()) throw UsageError("--head: goes with --look-ahead K");
  TrainedModel trained(command.weights);
  if (trained.tokenizer.empty()) {
    throw UsageError(command.weights.weights.empty()
                         ? fmt::format("{}: the run has no tokenizer of its own (it was trained on ids); give --tokenizer FILE", command.weights.where)
                         : "--weights: also give --tokenizer FILE, the vocabulary that the weights were trained with");
  }
  const rt::Tokenizer tokenizer = rt::Tokenizer::load(trained.tokenizer);
  CompileOptions compile = trained.compile;
  compile.train = compile.eval = false;
  compile.head = command.head;
  const AuditReport audit = audit_model(frontend::find_model(compile.model), compile.overrides);
  const std::string warning = audit_warning(audit);
  if (!warning.empty()) log_line(warning);
  SampleRun run(command, tokenizer, trained, compile, audit);
  rt::check_vocabulary(tokenizer, trained.tokenizer, static_cast<uint32_t>(run.manifest().V));

  // A document begins behind the id that ends the one before it.
  std::vector<uint32_t> prompt;
  if (const std::optional<uint32_t> end = tokenizer.end_of_document()) prompt.push_back(*end);
  tokenizer.encode(command.prompt, prompt);

  const rt::StopSignals signals;
  nlohmann::ordered_json reports = nlohmann::ordered_json::array();
  for (int64_t i = 0; i < command.samples && run.interrupted() == 0; ++i) {
    if (command.samples > 1 && !command.json) print_out(fmt::format("{}--- {} of {} (seed {}) ---\n", i ? "\n" : "", i + 1, command.samples, command.options.seed + static_cast<uint64_t>(i)));
    reports.push_back(run.write(prompt, command.options.seed + static_cast<uint64_t>(i)));
    if (!warning.empty()) reports.back()["warning"] = warning;
  }
  if (command.json) print_out((command.samples > 1 ? reports : reports[0]).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  if (run.interrupted() != 0) status.code = 128 + run.interrupted();
}

}  // namespace

void add_sample(CLI::App& app, Status& status) {
  CLI::App* sub = app.add_subcommand("sample", "Continues a prompt, one token at a time.");
  sub->footer(
      "Examples:\n"
      "  cpuflowc sample runs/v5ln \"Once upon a time\" --temperature 0.8 --top-k 40 --seed 7\n"
      "  cpuflowc sample runs/v5ln \"Once\" --samples 5 --repetition-penalty 1.1 --stop \"The end\"\n"
      "  cpuflowc sample v5ln --weights published.pt --tokenizer tokenizer.json \"Once\"\n");
  auto command = std::make_shared<SampleCommand>();
  rt::SampleOptions& o = command->options;
  o.temperature = 0.8;
  o.top_p = 0.95;
  o.seed = 1;
  add_weight_options(*sub, command->weights);
  sub->add_option("PROMPT", command->prompt, "text to continue; default: a new document");
  sub->add_option("--tokens", o.max_tokens, "at most so many tokens")->capture_default_str()->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  sub->add_option("--temperature", o.temperature, "0: always the most probable token")->capture_default_str()->check(CLI::NonNegativeNumber);
  sub->add_option("--top-k", o.top_k, "choose among the k most probable tokens; 0: all")->capture_default_str()->check(CLI::NonNegativeNumber);
  sub->add_option("--top-p", o.top_p, "choose among the most probable tokens that reach this probability together")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  sub->add_option("--min-p", o.min_p, "leave out what is less probable than this times the most probable token")->capture_default_str()->check(CLI::Range(0.0, 1.0));
  sub->add_option("--repetition-penalty", o.repetition_penalty, "above 1: divides the logits of tokens in the prompt and the text (multiplies negative ones)")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  sub->add_option("--frequency-penalty", o.frequency_penalty, "taken from a token's logit for every time that it is in the text")->capture_default_str();
  sub->add_option("--presence-penalty", o.presence_penalty, "taken from the logit of every token that is in the text")->capture_default_str();
  sub->add_option("--no-repeat-ngram", o.no_repeat_ngram, "no N tokens in a row come twice; 0: they may")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20));
  sub->add_option("--stop", command->stop, "the text ends before this; may be given several times")->type_name("TEXT")->allow_extra_args(false);
  sub->add_option("--samples", command->samples, "so many texts, with the seeds that follow --seed")->capture_default_str()->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  sub->add_option("--look-ahead", o.look_ahead, "try so many candidates for one more step, and take the one with the largest log-probability - beta * head")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--head", command->head, "what look-ahead judges by: an equation over the model's values, one number for each position")->type_name("EQUATION");
  sub->add_option("--beta", o.beta, "weight of --head")->capture_default_str();
  sub->add_option("--seed", o.seed, "the same seed gives the same text")->capture_default_str();
  sub->add_flag("--ignore-end", command->ignore_end, "go on behind the end of the document");
  sub->add_flag("--json", command->json, "text and ids as JSON, when all is there");
  sub->callback([command, &status] { sample(*command, status); });
}

}  // namespace cpuflow::cli
