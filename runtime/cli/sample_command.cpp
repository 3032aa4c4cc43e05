#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "ir/diagnostics.h"
#include "modeldefs/frontend/build_graph.h"
#include "runtime/cli/audit.h"
#include "runtime/cli/loaded_run.h"
#include "runtime/thread_pool.h"
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
  int threads = 0;
  bool json = false, ignore_end = false;
};

/// A model with its weights, ready to write up to `streams` texts at once: fewer where memory is short.
struct Writer {
  /// `shorter`: the same model with fewer positions, whose weights it takes: those of a run may be others by now.
  Writer(const CompileOptions& compile, TrainedModel& trained, bool may_be_causal, rt::ThreadPool& pool, int64_t streams, const Writer* shorter)
      : model(compile_and_warn(compile)), arena(rt::Arena::bytes_for(model.exe.manifest.param_floats)), params(arena.floats(model.exe.manifest.param_floats)) {
    codegen::Manifest& m = model.exe.manifest;
    m.causal = m.causal && may_be_causal;
    if (shorter) {
      for (size_t i = 0; i < m.params.size(); ++i) {
        const float* const from = shorter->params + shorter->model.exe.manifest.params[i].offset;
        std::copy(from, from + m.params[i].count, params + m.params[i].offset);
      }
    } else {
      trained.load(m, params);
    }
    if (!m.causal) streams = 1;
    while (streams > 1 && rt::Sampler::bytes(m, streams, 1) > rt::available_memory() / 2) streams /= 2;
    sampler.emplace(model.exe, params, pool, streams);
  }
  CompiledModel model;
  rt::Arena arena;
  float* const params;
  std::optional<rt::Sampler> sampler;
};

/// The same model with twice as many positions, where its parameters and its equations allow that; nothing otherwise, and why.
std::optional<CompileOptions> longer(const CompileOptions& compile, const CompiledModel& model, const AuditReport& audit, std::string& why) {
  if (const passes::audit::Verdict end = verdict_of(audit, "sequence_end"); end != passes::audit::Verdict::Proved) {
    why = end == passes::audit::Verdict::Refuted ? "its equations depend on where a sequence ends" : "whether its equations depend on where a sequence ends is not known (see cpuflowc audit)";
    return std::nullopt;
  }
  CompileOptions out = compile;
  out.overrides["T"] = std::to_string(2 * model.exe.manifest.T);
  try {
    const frontend::Model twice = load(out);
    const std::vector<codegen::ParamInfo>& own = model.exe.manifest.params;
    if (twice.params.size() != own.size()) {
      why = "how many parameters it has depends on T";
      return std::nullopt;
    }
    for (size_t i = 0; i < own.size(); ++i) {
      if (twice.params[i].shape == own[i].shape) continue;
      why = fmt::format("{} has one row a position", twice.params[i].name);
      return std::nullopt;
    }
  } catch (const ir::ModelError& e) {
    why = "it does not exist with more";
    return std::nullopt;
  }
  why = why_no_longer(model.path, compile.overrides, 2 * model.exe.manifest.T);
  if (!why.empty()) return std::nullopt;
  return out;
}

/// A text as people see it.
class ShownText {
 public:
  /// `show` gets each piece that is certain to stay.
  ShownText(const SampleCommand& command, const rt::Tokenizer& tokenizer, uint64_t seed, std::vector<uint32_t> prompt, std::function<void(const std::string&)> show)
      : command_(command), tokenizer_(tokenizer), show_(std::move(show)), ids_(std::move(prompt)), prompt_(ids_.size()), text_(command.prompt), stops_(command.stop), options_(command.options) {
    options_.seed = seed;
    options_.prompt_tokens = static_cast<int64_t>(prompt_);
    options_.ids = tokenizer.vocab_size();
    if (!command.ignore_end) options_.end_token = tokenizer.end_of_document();
  }

  rt::SampleRequest request() const { return {ids_, options_}; }
  /// Takes the next token; false when the text is to stop with it.
  bool add(uint32_t id) {
    ids_.push_back(id);
    show(stops_.feed(characters_.feed(tokenizer_.token_bytes(id))));
    return stops_.found().empty();
  }
  /// What became of the request.
  void take(const rt::SampleResult& result) {
    end_ = result.end;
    reason_ = result.reason;
    options_.max_tokens -= static_cast<int64_t>(result.ids.size());
  }
  bool out_of_positions() const { return end_ == rt::SampleResult::End::Positions; }
  void no_more_positions(const std::string& why) { reason_ += fmt::format(", and there are no more: {}", why); }
  bool interrupted() const { return end_ == rt::SampleResult::End::Stopped && stops_.found().empty(); }
  /// Tokens beside the prompt.
  size_t made() const { return ids_.size() - prompt_; }

  /// What is left to show, and what is to be told; `rate`: tokens a second of all texts that were made together.
  nlohmann::ordered_json finish(double rate) {
    if (stops_.found().empty()) {
      show(stops_.feed(characters_.finish()));
      show(stops_.finish());
    }
    const char* ends[] = {"end of document", "--tokens", "positions", "stopped"};
    return {{"prompt", command_.prompt},
            {"text", text_},
            {"prompt_ids", std::vector<uint32_t>(ids_.begin(), ids_.begin() + static_cast<ptrdiff_t>(prompt_))},
            {"ids", std::vector<uint32_t>(ids_.begin() + static_cast<ptrdiff_t>(prompt_), ids_.end())},
            {"end", stops_.found().empty() ? ends[static_cast<size_t>(end_)] : "--stop"},
            {"seed", options_.seed},
            {"tokens_per_s", rate}};
  }
  const std::string& text() const { return text_; }
  /// What people should know about how it ended, or "".
  const std::string& note() const { return reason_; }

 private:
  void show(const std::string& part) {
    text_ += part;
    show_(part);
  }

  const SampleCommand& command_;
  const rt::Tokenizer& tokenizer_;
  std::function<void(const std::string&)> show_;
  std::vector<uint32_t> ids_;
  size_t prompt_;
  std::string text_, reason_;
  rt::Utf8Stream characters_;
  rt::StopStrings stops_;
  rt::SampleOptions options_;
  rt::SampleResult::End end_ = rt::SampleResult::End::MaxTokens;
};

class SampleRun {
 public:
  SampleRun(const SampleCommand& command, const rt::Tokenizer& tokenizer, TrainedModel& trained, const CompileOptions& compile, const AuditReport& audit)
      : command_(command), tokenizer_(tokenizer), trained_(trained), compile_(compile), audit_(audit), pool_(command.threads), writer_(make_writer(nullptr)) {
    if (const std::string warning = writer_->sampler->warning(); !warning.empty()) warn(warning);
  }
  const codegen::Manifest& manifest() const { return writer_->model.exe.manifest; }

  /// All texts, with what is to be told of each: several at once where the model and memory allow that, else one after the other and shown as it is made.
  nlohmann::ordered_json write(const std::vector<uint32_t>& prompt) {
    const auto too_long = [&] { return prompt.size() > static_cast<size_t>(manifest().T); };
    std::string why;
    while (too_long() && lengthen(why)) {
    }
    if (too_long()) throw rt::DataError(fmt::format("the prompt has {} tokens, the model has positions for T = {}, and there are no more: {}; give a shorter prompt", prompt.size(), manifest().T, why));
    writer_->sampler->check(prompt, command_.options);  // before a heading or the prompt is shown
    nlohmann::ordered_json reports = nlohmann::ordered_json::array();
    while (static_cast<int64_t>(reports.size()) < command_.samples && !interrupted_) {
      const int64_t done = static_cast<int64_t>(reports.size()), count = std::min(writer_->sampler->streams(), command_.samples - done);
      const bool live = count == 1 && !command_.json;
      std::vector<ShownText> texts;
      for (int64_t i = 0; i < count; ++i) {
        texts.emplace_back(command_, tokenizer_, command_.options.seed + static_cast<uint64_t>(done + i), prompt, [live](const std::string& part) {
          if (live) print_out(part);
        });
      }
      if (live) print_out(heading(done) + command_.prompt);
      const auto start = std::chrono::steady_clock::now();
      continue_all(texts);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      size_t tokens = 0;
      for (const ShownText& text : texts) tokens += text.made();
      const double rate = static_cast<double>(tokens) / seconds.count();
      for (ShownText& text : texts) {
        reports.push_back(text.finish(rate));
        if (!command_.json) print_out(live ? "\n" : heading(static_cast<int64_t>(reports.size()) - 1) + text.text() + "\n");
        if (!text.note().empty()) log_line("note: " + text.note());
        interrupted_ = interrupted_ || text.interrupted();
      }
      if (count > 1) log_line(fmt::format("{} texts at once: {} tokens in {:.1f} s, {:.0f} a second", count, tokens, seconds.count(), rate));
    }
    return reports;
  }
  int interrupted() const { return interrupted_ ? rt::StopSignals::flag().load() : 0; }

 private:
  std::string heading(int64_t i) const {
    return command_.samples == 1 ? "" : fmt::format("{}--- {} of {} (seed {}) ---\n", i ? "\n" : "", i + 1, command_.samples, command_.options.seed + static_cast<uint64_t>(i));
  }

  /// Until all have ended, with more positions where they run out and the model has them.
  void continue_all(std::vector<ShownText>& texts) {
    std::vector<ShownText*> open;
    for (ShownText& text : texts) open.push_back(&text);
    while (!open.empty()) {
      continue_together(open);
      std::erase_if(open, [](const ShownText* text) { return !text->out_of_positions(); });
      std::string why;
      if (open.empty() || lengthen(why)) continue;
      for (ShownText* text : open) text->no_more_positions(why);
      return;
    }
  }

  /// Texts of one length, as far as the model at hand goes.
  void continue_together(const std::vector<ShownText*>& texts) {
    const size_t together = static_cast<size_t>(writer_->sampler->streams());
    for (size_t first = 0; first < texts.size(); first += together) {
      std::vector<rt::SampleRequest> requests;
      for (size_t i = first; i < std::min(texts.size(), first + together); ++i) requests.push_back(texts[i]->request());
      // A text grows while its request is continued.
      std::vector<std::vector<uint32_t>> prompts;
      for (rt::SampleRequest& r : requests) r.prompt = prompts.emplace_back(r.prompt.begin(), r.prompt.end());
      if (requests.size() == 1) {
        texts[first]->take(writer_->sampler->sample(
            requests[0].prompt, requests[0].options, [&](uint32_t id) { return texts[first]->add(id); }, &rt::StopSignals::flag()));
        continue;
      }
      const std::vector<rt::SampleResult> results = writer_->sampler->sample_all(
          requests, [&](size_t i, uint32_t id) { return texts[first + i]->add(id); }, &rt::StopSignals::flag());
      for (size_t i = 0; i < results.size(); ++i) texts[first + i]->take(results[i]);
    }
  }

  /// Goes on with more positions, where the model has them; otherwise says why not.
  bool lengthen(std::string& why) {
    const std::optional<CompileOptions> more = longer(compile_, writer_->model, audit_, why);
    if (!more) return false;
    compile_ = *more;
    writer_ = make_writer(writer_.get());
    return true;
  }
  /// What is refuted may be too small for the probe of the compiled rows to see.
  std::unique_ptr<Writer> make_writer(const Writer* shorter) {
    constexpr int64_t kOfThread = 16;  // more streams than that hardly make better use of the weights that are read
    const int64_t streams = command_.options.look_ahead > 0 ? 1 : std::min(command_.samples, kOfThread * pool_.size());
    return std::make_unique<Writer>(compile_, trained_, verdict_of(audit_, "causality") != passes::audit::Verdict::Refuted, pool_, streams, shorter);
  }

  const SampleCommand& command_;
  const rt::Tokenizer& tokenizer_;
  TrainedModel& trained_;
  CompileOptions compile_;
  const AuditReport& audit_;
  rt::ThreadPool pool_;
  std::unique_ptr<Writer> writer_;
  bool interrupted_ = false;
};

void sample(const SampleCommand& command, Status& status) {
  if (command.options.look_ahead > 0 && command.head.empty()) {
    throw UsageError("--look-ahead: also give --head EQUATION, what each candidate is judged by, for example --head 'mean(l: layers.guess[l,b,t,0])'");
  }
  if (command.options.look_ahead == 0 && !command.head.empty()) throw UsageError("--head: goes with --look-ahead K");
  if (command.options.look_ahead > 0 && command.samples > 1) throw UsageError("--samples: --look-ahead takes the best candidate, which is the same each time; leave out one of them");
  if (std::find(command.stop.begin(), command.stop.end(), "") != command.stop.end()) throw UsageError("--stop: an empty text ends nothing; leave it out");
  TrainedModel trained(command.weights, "sample");
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
  if (!command.head.empty() && !run.manifest().causal && verdict_of(audit, "causality") == passes::audit::Verdict::Proved) {
    throw UsageError(fmt::format("--head: '{}' is another number, or none, where later positions are not there yet: it may read position t and earlier ones only", command.head));
  }
  rt::check_vocabulary(tokenizer, trained.tokenizer, static_cast<uint32_t>(run.manifest().V));

  // A document begins behind the id that ends the one before it.
  std::vector<uint32_t> prompt;
  if (const std::optional<uint32_t> end = tokenizer.end_of_document()) prompt.push_back(*end);
  tokenizer.encode(command.prompt, prompt);

  const rt::StopSignals signals;
  nlohmann::ordered_json reports = run.write(prompt);
  for (nlohmann::ordered_json& report : reports) {
    if (!warning.empty()) report["warning"] = warning;
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
  sub->add_option("PROMPT,--prompt", command->prompt, "text to continue; default: a new document");
  sub->add_option("--tokens", o.max_tokens, "at most so many tokens")->capture_default_str()->check(whole_number(1, uint64_t{1} << 40));
  sub->add_option("--temperature", o.temperature, "0: always the most probable token")->capture_default_str()->check(from_zero_on());
  sub->add_option("--top-k", o.top_k, "choose among the k most probable tokens; 0: all")->capture_default_str()->check(from_zero_on());
  sub->add_option("--top-p", o.top_p, "choose among the most probable tokens that reach this probability together")
      ->capture_default_str()
      ->check(above_zero_to_one());
  sub->add_option("--min-p", o.min_p, "leave out what is less probable than this times the most probable token")->capture_default_str()->check(from_zero_to_one());
  sub->add_option("--repetition-penalty", o.repetition_penalty, "above 1: divides the logits of tokens in the prompt and the text (multiplies negative ones)")
      ->capture_default_str()
      ->check(above_zero());
  sub->add_option("--frequency-penalty", o.frequency_penalty, "taken from a token's logit for every time that it is in the text")->capture_default_str()->check(any_number());
  sub->add_option("--presence-penalty", o.presence_penalty, "taken from the logit of every token that is in the text")->capture_default_str()->check(any_number());
  sub->add_option("--no-repeat-ngram", o.no_repeat_ngram, "no N tokens in a row come twice; 0: they may")
      ->capture_default_str()
      ->check(whole_number(0, uint64_t{1} << 20))
      ->check([](const std::string& text) { return text == "1" ? "expected 0, or 2 and more, found '1': every token comes twice" : ""; });
  sub->add_option("--stop", command->stop, "the text ends before this; may be given several times")->type_name("TEXT")->allow_extra_args(false);
  sub->add_option("--samples", command->samples, "so many texts, with the seeds that follow --seed; made together, each as it would be alone")->capture_default_str()->check(whole_number(1, uint64_t{1} << 30));
  sub->add_option("--threads", command->threads, "default: what affinity and the cgroup's quota allow; texts do not depend on it")->check(whole_number(1, 1024));
  sub->add_option("--look-ahead", o.look_ahead, "try so many candidates for one more step, and take the one with the largest log-probability - beta * head")
      ->capture_default_str()
      ->check(from_zero_on());
  sub->add_option("--head", command->head, "what look-ahead judges by: an equation over the model's values, one number for each position")->type_name("EQUATION");
  sub->add_option("--beta", o.beta, "weight of --head")->capture_default_str()->check(any_number());
  sub->add_option("--seed", o.seed, "the same seed gives the same text")->capture_default_str()->check(whole_number());
  sub->add_flag("--ignore-end", command->ignore_end, "go on behind the end of the document");
  sub->add_flag("--json", command->json, "text and ids as JSON, when all is there");
  sub->callback([command, &status] { sample(*command, status); });
}

}  // namespace cpuflow::cli
