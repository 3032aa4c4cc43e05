#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "ir/diagnostics.h"
#include "modeldefs/frontend/build_graph.h"
#include "runtime/cli/audit.h"
#include "runtime/cli/loaded_run.h"
#include "runtime/cli/nonfinite.h"
#include "runtime/cli/same_equations.h"
#include "runtime/cli/tune.h"
#include "runtime/data/corpus.h"
#include "runtime/data/windows.h"
#include "runtime/memory.h"
#include "runtime/thread_pool.h"
#include "runtime/train/arrays.h"
#include "runtime/train/folder_lock.h"
#include "runtime/train/resume.h"
#include "runtime/train/signals.h"
#include "runtime/train/trainer.h"

namespace cpuflow::cli {
namespace {

struct TrainCommand {
  std::shared_ptr<ModelOptions> model;
  DataSources sources;
  std::shared_ptr<TextOptions> text;
  std::string out, budget, tune, init, warm_start, order = "shuffled", replay;
  int64_t steps = 0, eval_every = 0;
  double save_every = 60;
  int threads = 0;
  uint64_t seed = 1;
  bool resume = false, trigram = false;
};

void check_usage(const TrainCommand& command) {
  if (command.sources.data.empty() == command.sources.ids.empty())
    throw UsageError("train: expected --data FILE... or --ids FILE, and not both");
  const int ways = (command.steps > 0) + !command.budget.empty() + !command.replay.empty();
  if (ways == 0) throw UsageError("train: expected one of --budget TIME, --steps N and --replay FILE: how long to train");
  if (ways > 1) throw UsageError("train: expected one of --budget, --steps and --replay, and more are given: which of them says how long to train?");
  if (command.order != "sequential" && command.order != "shuffled") {
    throw UsageError(fmt::format("--order: expected sequential or shuffled, found '{}'", command.order));
  }
  if (!command.budget.empty()) parse_time("--budget", command.budget);
  if (!command.tune.empty()) parse_time("--tune", command.tune);
  // said now, not after a tokenizer was trained
  for (const std::string& file : {command.init, command.warm_start, command.replay, command.sources.valid, command.sources.tokenizer}) {
    if (!file.empty() && !rt::exists(file)) throw rt::FileError(fmt::format("{}: {}", file, rt::why_missing(file)));
  }
  if (!command.replay.empty()) rt::recorded_rates(command.replay);
  if (command.out.empty()) throw UsageError("--out: expected the folder of the run, which is made if it is not there; found nothing");
  if (rt::exists(command.out) && !rt::is_folder(command.out)) {
    throw rt::FileError(fmt::format("{}: --out expects a folder, which is made if it is not there; this is a file", command.out));
  }
  std::filesystem::path above = std::filesystem::absolute(command.out).lexically_normal();
  while (!rt::exists(above.string()) && above.has_relative_path()) above = above.parent_path();
  if (!rt::is_folder(above.string())) throw rt::FileError(fmt::format("{}: the run cannot be written: {} is a file", command.out, above.string()));
  if (access(above.c_str(), W_OK | X_OK) != 0) {
    throw rt::FileError(fmt::format("{}: the run cannot be written: {}: {}; choose a folder that you may write to", command.out, above.string(), std::strerror(errno)));
  }
}

/// What a run has come to before a phase.
struct Before {
  int64_t steps = 0;
  double seconds = 0;
};

/// The phase has a schedule of its own, over its steps or its share of the whole: up to where the shares so far end, since on resuming the whole may be another.
rt::Schedule schedule_of(const TrainCommand& command, const codegen::TrainSettings& train, const std::vector<frontend::Phase>& phases, size_t at, const Before& before) {
  const frontend::Phase& phase = phases[at];
  if (!command.replay.empty()) return rt::Schedule::by_record(rt::recorded_rates(command.replay));
  if (phase.steps > 0) return rt::Schedule::by_steps(train, phase.steps);
  double shares = 0;  // up to the end of this phase
  for (size_t i = 0; i <= at; ++i) shares += phases[i].steps > 0 ? std::nan("") : phases[i].share;
  const bool of_whole = !std::isnan(shares);
  if (command.steps > 0) {
    const double whole = static_cast<double>(command.steps);
    return rt::Schedule::by_steps(train, std::max<int64_t>(1, of_whole ? std::llround(shares * whole) - before.steps : std::llround(phase.share * whole)));
  }
  const double budget = parse_time("--budget", command.budget);
  return rt::Schedule::by_budget(train, of_whole ? std::max(1e-3, shares * budget - before.seconds) : phase.share * budget);
}

/// The phases of a model file; one, over everything, where it has none.
std::vector<frontend::Phase> phases_of(const TrainCommand& command, const frontend::Model& model) {
  std::vector<frontend::Phase> phases = model.phases;
  if (phases.size() > 1 && !command.replay.empty()) throw UsageError("--replay repeats a run of one phase, and the model file has several");
  if (phases.empty()) phases.push_back({1.0, 0, {}, {}, {}});
  return phases;
}

/// The options of a phase: what the command line sets stays as it is.
CompileOptions in_phase(CompileOptions options, const frontend::Phase& phase) {
  for (const auto& [name, value] : phase.settings) options.overrides.try_emplace("train." + name, fmt::format("{}", value));
  for (const auto& [name, value] : phase.constants) options.overrides.try_emplace(name, fmt::format("{}", value));
  options.freeze = phase.freeze;
  return options;
}

/// Throws ModelError for a model that must not be trained; returns what must be said of one that may.
std::string audited(const CompileOptions& options) {
  const AuditReport report = audit_model(frontend::find_model(options.model), options.overrides);
  if (const std::string refusal = audit_refusal(report); !refusal.empty()) throw ir::ModelError(refusal);
  const std::string warning = audit_doubts(report);
  if (!warning.empty()) log_line(warning);
  if (const std::string notes = audit_notes(report); !notes.empty()) log_line(notes);
  return warning;
}

/// The data, and the model compiled for its vocabulary.
struct Prepared {
  CompileOptions compile;  // of all phases
  std::vector<frontend::Phase> phases;
  size_t phase = 0;  // that comes first
  Before before;     // what the run had come to when it began
  CompiledModel model;
  TrainingData data;
  std::string warning;  // of the audits, said of everything that is printed
};

/// A run goes on with the precision, the tiles and the lanes that it began with.
void keep_choices(const frontend::Model& own, frontend::Model& now, CompileOptions& compile) {
  const auto keep = [&](const std::string& setting, const std::string& began, const std::string& asked) {
    if (asked != began && asked != "auto") log_line(fmt::format("note: the run goes on with {} = {}, as it began", setting.substr(setting.find('.') + 1), began));
    compile.overrides[setting] = began;
  };
  keep(kPrecisionSetting, own.precision, now.precision);
  keep(kTilesSetting, std::to_string(own.tile_rows), std::to_string(now.tile_rows));
  const auto lanes_of = [](const frontend::Model& model) { return std::to_string(model.train.lanes > 0 ? model.train.lanes : codegen::kLeastLanes); };  // a run that does not say has four
  keep(kLanesSetting, lanes_of(own), lanes_of(now));
  now.precision = own.precision;
}

/// Embeddings are those of the ids that they were trained with: the tokenizer beside the weights is theirs.
void warn_of_other_ids(const std::string& weights, const TrainingData& data) {
  const std::string beside = (std::filesystem::path(weights).parent_path() / "tokenizer.json").string();
  if (weights.empty() || !data.tokenizer || !rt::exists(beside)) return;
  const std::string difference = id_difference(*data.tokenizer, beside);
  if (difference.empty()) return;
  warn(fmt::format("{}: these weights were trained with the ids of {}, and {} has others: {}; --tokenizer {} keeps them", weights, beside, data.tokenizer_name, difference, shell_word(beside)));
}

/// Takes the lock of the folder before anything of a run is read or written.
Prepared prepare(const TrainCommand& command, rt::FolderLock& lock) {
  const bool there = rt::is_folder(command.out);
  if (there) lock.take(command.out);
  rt::check_place(command.out, command.resume);
  CompileOptions compile = command.model->compile_options("train");
  compile.rows = false;
  const bool user_set_v = compile.overrides.contains("V");
  std::string run_tokenizer;
  std::optional<RunRecord> began;
  if (command.resume && holds_run(command.out)) {
    began = read_run(command.out);
    for (const auto& [name, value] : began->settings) compile.overrides.try_emplace(name, value);
    if (began->has_tokenizer && command.sources.tokenizer.empty()) run_tokenizer = tokenizer_path(command.out);
  }
  frontend::Model loaded_model = load(compile);
  if (began) {
    const frontend::Model own = own_model(command.out, *began);
    check_same_equations(command.out, *began, own, compile, loaded_model);
    keep_choices(own, loaded_model, compile);
  }
  rt::batch_shape(loaded_model.B, loaded_model.train);  // before text is read and a tokenizer trained
  const int64_t V = loaded_model.V;
  Prepared out;
  out.phases = phases_of(command, loaded_model);
  out.warning = audited(compile);
  DataSources sources = command.sources;
  sources.text = *command.text;
  out.data = read_training_data(sources, V, run_tokenizer);
  rt::Windows(out.data.train, static_cast<uint32_t>(loaded_model.T));  // enough text for one, or an error
  if (out.data.tokenizer) {
    rt::check_vocabulary(*out.data.tokenizer, out.data.tokenizer_name, static_cast<uint32_t>(V));
    const int64_t ids = out.data.tokenizer->vocab_size();
    if (ids < V && !user_set_v && !command.resume) {
      log_line(fmt::format("vocabulary: {} has {} ids, the model file says V = {}: V is {} here (--set V={} keeps it)",
                           out.data.tokenizer_name, ids, V, ids, V));
      compile.overrides["V"] = std::to_string(ids);
    } else if (ids < V && !command.resume) {
      log_line(fmt::format("note: V is {}, and {} has {} ids: the others stand for no text and are never sampled; --set V={} saves their parameters", V, out.data.tokenizer_name, ids, ids));
    }
  }
  if (command.resume) {
    const rt::CheckpointFolder folder(command.out);
    if (folder.exists()) {
      const rt::TrainState state = folder.open(true).state;
      out.phase = std::min(static_cast<size_t>(state.phase), out.phases.size() - 1);
      out.before = {state.phase_step, state.phase_elapsed_s};
    }
  }
  if (command.resume && !(command.init.empty() && command.warm_start.empty())) log_line("note: no weights are read with --resume: the run goes on from its checkpoint");
  if (!command.resume) warn_of_other_ids(command.init.empty() ? command.warm_start : command.init, out.data);
  if (command.resume && !command.tune.empty()) log_line("note: nothing is measured for --tune: the run goes on as it began");
  measure_choices(compile.overrides, loaded_model.precision, in_phase(compile, out.phases[out.phase]), command.threads, command.tune.empty() || command.resume ? 0 : parse_time("--tune", command.tune));
  CompileOptions first = in_phase(compile, out.phases[out.phase]);
  first.warn_of_unused = !command.resume;
  out.model = compile_and_warn(first);
  note_perplexity(out.model.exe.manifest);
  codegen::Manifest& m = out.model.exe.manifest;
  const auto needed = [&] { return rt::Arrays::bytes(m, true, command.threads > 0 ? command.threads : rt::available_threads()); };
  if (!began && loaded_model.train.lanes == 0) {
    if (m.lanes > codegen::kLeastLanes && needed() > rt::available_memory()) {
      log_line(fmt::format("note: memory does not hold {} copies of the gradient, one for each thread: there are {}", m.lanes, codegen::kLeastLanes));
      m.lanes = codegen::kLeastLanes;
    }
    compile.overrides[kLanesSetting] = std::to_string(m.lanes);
  }
  out.compile = compile;
  rt::require_memory(needed(), rt::available_memory(), "training");
  if (!command.resume) {
    RunRecord record;
    record.model_text = out.model.text;
    record.settings = compile.overrides;
    record.text = *command.text;
    make_folder(command.out);
    if (!there) lock.take(command.out);
    rt::check_place(command.out, false);
    write_run(command.out, record, out.data.tokenizer ? &*out.data.tokenizer : nullptr);
  }
  return out;
}

/// The cross-entropy of a trigram model of the same ids on the same held-out ids, where it was asked for.
std::optional<double> trigram_of(const TrainCommand& command, const codegen::Manifest& m, const TrainingData& data, const rt::TrainResult& result) {
  if (!command.trigram || !result.evaluated) return std::nullopt;
  if (m.cross_entropy < 0) {
    log_line("note: --trigram compares cross-entropies, and no loss is one");
    return std::nullopt;
  }
  return rt::trigram_cross_entropy(data.train.ids, data.valid->ids, static_cast<uint32_t>(m.V));
}

void report(const TrainCommand& command, const codegen::Manifest& m, const rt::TrainResult& result, std::optional<double> trigram, const std::string& warning) {
  const double rate = result.elapsed_s > 0 ? static_cast<double>(result.tokens) / result.elapsed_s : 0;
  if (command.model->json) {
    nlohmann::ordered_json json{{"model", m.model},
                                {"out", command.out},
                                {"steps", result.steps},
                                {"tokens", result.tokens},
                                {"elapsed_s", result.elapsed_s},
                                {"complete", result.stopped_by == 0}};
    for (size_t i = 0; i < result.losses.size(); ++i) json["loss." + m.losses[i]] = result.losses[i];
    if (result.evaluated) {
      for (size_t i = 0; i < m.losses.size(); ++i) json["val." + m.losses[i]] = result.evaluation.losses[i];
      if (result.evaluation.ppl > 0) json["val.ppl"] = result.evaluation.ppl;
      if (result.evaluation.bits_per_byte > 0) json["val.bits_per_byte"] = result.evaluation.bits_per_byte;
    }
    if (trigram) json["val.trigram"] = *trigram;
    if (!warning.empty()) json["warning"] = warning;
    print_out(json.dump(2) + "\n");
    return;
  }
  print_out(fmt::format("{}: {} steps, {} tokens in {:.1f} s ({} tokens/s with evaluation and saving)\n", command.out,
                        with_commas(static_cast<double>(result.steps)), with_commas(static_cast<double>(result.tokens)), result.elapsed_s,
                        with_commas(rate)));
  if (result.evaluated && result.evaluation.ppl > 0) {
    print_out(
        fmt::format("held-out text: perplexity {:.4f}{}\n", result.evaluation.ppl,
                    result.evaluation.bits_per_byte > 0 ? fmt::format(", {:.4f} bits per byte", result.evaluation.bits_per_byte) : ""));
  }
  if (trigram) log_line(fmt::format("held-out cross-entropy: model {:.3f}, trigram {:.3f} nat a token", result.evaluation.losses[static_cast<size_t>(m.cross_entropy)], *trigram));
  if (!warning.empty()) log_line(warning);
  if (result.gradient_norm == 0) log_line("note: the gradient of the last step is 0: nothing but weight decay changes the weights; --set train.lr=.. with a smaller one, or a model whose numbers stay small, may keep it alive");
  if (result.stopped_by == 0) print_out(fmt::format("sample from it: {} sample {}{} \"Once upon a time\"\n", shell_word(program_invocation_name), shell_word(command.out), rt::exists(tokenizer_path(command.out)) ? "" : " --tokenizer FILE"));
}

/// A lane of gradients is added to by one thread at a time.
void note_idle_threads(const TrainCommand& command, const codegen::Manifest& m) {
  const int cpus = rt::available_cpus(), threads = command.threads > 0 ? std::min(command.threads, cpus) : rt::available_threads();
  if (threads <= m.lanes) return;
  const int64_t useful = std::min<int64_t>(threads, m.train.batch);
  const std::string remedy = command.resume       ? ", as the run began"
                             : m.lanes < useful   ? fmt::format("; --set train.lanes={} keeps {} busy", useful, useful < threads ? std::to_string(useful) : "all")
                                                  : fmt::format("; a larger train.batch keeps more busy (it is {})", m.train.batch);
  log_line(fmt::format("note: {} of {} threads train: train.lanes, the copies of the gradient, is {}{}", m.lanes, threads, m.lanes, remedy));
}

void train(const TrainCommand& command, Status& status) {
  check_usage(command);
  rt::FolderLock lock;
  Prepared prepared = prepare(command, lock);
  const codegen::Manifest& m = prepared.model.exe.manifest;
  log_line(prepared.model.header);
  log_line(fmt::format("data: {} ids from {}{}", with_commas(static_cast<double>(prepared.data.train.ids.size())), prepared.data.train.name,
                       prepared.data.valid
                           ? fmt::format("; {} ids to evaluate on", with_commas(static_cast<double>(prepared.data.valid->ids.size())))
                           : ""));
  log_line(prepared.data.rule);
  note_idle_threads(command, m);

  rt::TrainOptions options;
  options.dir = command.out;
  options.seed = command.seed;
  options.order = rt::WindowOrder::parse_kind(command.order);
  options.threads = command.threads;
  options.resume = command.resume;
  options.init_file = command.init;
  options.warm_file = command.warm_start;
  options.eval_every = command.eval_every;
  options.save_seconds = command.save_every;
  if (!command.resume || holds_run(command.out)) options.checkpoint_files = run_files(command.out);
  options.explain_nonfinite = [&](const rt::NonfiniteContext& context) -> std::string {
    if (context.tokens.empty()) return "";
    try {
      return first_nonfinite(prepared.model, context);
    } catch (const std::exception& e) {  // what went wrong is told, also where the operation cannot be
      return fmt::format("the operation could not be found: {}", e.what());
    }
  };
  const rt::StopSignals signals;
  const rt::IgnoredSignal closed_pipe(SIGPIPE);  // who read the progress may go away
  options.stop = &rt::StopSignals::flag();
  rt::TrainResult result;
  for (size_t i = prepared.phase; i < prepared.phases.size() && result.stopped_by == 0; ++i) {
    const frontend::Phase& phase = prepared.phases[i];
    if (i != prepared.phase) {
      prepared.model = compile_and_warn(in_phase(prepared.compile, phase));
      options.resume = true;
    }
    if (prepared.phases.size() > 1) {
      log_line(fmt::format("phase {} of {}{}", i + 1, prepared.phases.size(), phase.freeze.empty() ? "" : fmt::format(": frozen are {}", fmt::join(phase.freeze, ", "))));
    }
    options.phase = static_cast<int64_t>(i);
    options.schedule = schedule_of(command, m.train, prepared.phases, i, i == prepared.phase ? prepared.before : Before{result.steps, result.trained_s});
    if (const int64_t steps = options.schedule.steps(), warm = m.train.warmup_steps; command.replay.empty() && steps > 0 && steps <= warm) {
      log_line(fmt::format("note: the learning rate rises over {} steps (warmup_steps), and {} are trained: it gets to {:.3g} of {:.3g}; --set train.warmup_steps={} reaches it", warm, steps,
                           m.train.lr * static_cast<double>(steps - 1) / static_cast<double>(warm), m.train.lr, steps / 10));
    }
    rt::ProgressText progress(m, rt::Terminal::of(fileno(stderr)), [](std::string_view text) {
      std::fwrite(text.data(), 1, text.size(), stderr);
      std::fflush(stderr);
    });
    result = rt::train(prepared.model.exe, prepared.data.train, prepared.data.valid ? &*prepared.data.valid : nullptr, options, progress);
  }
  report(command, m, result, trigram_of(command, m, prepared.data, result), prepared.warning);
  if (result.stopped_by != 0) {
    log_line(fmt::format("stopped after {} steps and saved; the same command with --resume goes on", result.steps));
    status.code = 128 + result.stopped_by;
  }
}

}  // namespace

void add_train(CLI::App& app, Status& status) {
  CLI::App* sub = app.add_subcommand("train", "Trains a model on text, with checkpoints; Ctrl-C saves and stops.");
  sub->footer(
      "DIR gets metrics.jsonl (one object a step), checkpoint/ (safetensors), tokenizer.json and a copy of the model file.\n\n"
      "Examples:\n"
      "  cpuflowc train v5ln --data stories.txt --out runs/v5ln --budget 10m\n"
      "  cpuflowc train v5ln --data stories.txt --out runs/v5ln --budget 10m --resume\n"
      "  cpuflowc train my.toml --set d=64 train.lr=1e-3 --ids train.bin --valid valid.bin --out runs/my --steps 1000\n");
  auto command = std::make_shared<TrainCommand>();
  command->model = add_model_options(*sub);
  sub->add_option("--data", command->sources.data, "text files")->type_name("FILE");
  sub->add_option("--ids", command->sources.ids, "a file of ids instead of text (tokenize makes one)")->type_name("FILE");
  sub->add_option("--out", command->out, "folder of the run")->type_name("DIR")->required();
  sub->add_option("--budget", command->budget, "train for this long: 90s, 10m, 2h; the learning rate ends when the time does")
      ->type_name("TIME");
  sub->add_option("--tune", command->tune, "measure other schedules for this long before a run begins, 30s: the fastest is taken and recorded")->type_name("TIME");
  sub->add_option("--steps", command->steps, "train for so many steps")->check(whole_number(1, uint64_t{1} << 40));
  sub->add_option("--replay", command->replay, "repeat the learning rates that another run recorded in its metrics.jsonl")
      ->type_name("FILE");
  sub->add_option("--tokenizer", command->sources.tokenizer, "a tokenizer.json; without one, a byte-pair vocabulary is trained on the text")
      ->type_name("FILE");
  sub->add_option("--valid", command->sources.valid, "text or ids to evaluate on, instead of held-out documents")->type_name("FILE");
  sub->add_option("--init", command->init, "weights to begin with: safetensors, or what torch.save wrote (.pt)")->type_name("FILE");
  sub->add_option("--warm-start", command->warm_start, "weights of another model: what has the same name and shape is taken, and the rest is listed")
      ->type_name("FILE")
      ->excludes("--init");
  sub->add_option("--order", command->order, "of the windows of text: sequential | shuffled")->capture_default_str();
  sub->add_flag("--resume", command->resume, "go on from DIR's checkpoint");
  sub->add_flag("--trigram", command->trigram,
                "at the end, also what a smoothed trigram model reaches on the held-out text (loss term ce)");
  sub->add_option("--threads", command->threads, "default: what affinity and the cgroup's quota allow; results do not depend on it")
      ->check(whole_number(1, 1024));
  sub->add_option("--seed", command->seed, "of weights, order and random draws")->capture_default_str()->check(whole_number());
  sub->add_option("--eval-every", command->eval_every, "steps between evaluations; 0: at the end only")
      ->capture_default_str()
      ->check(from_zero_on());
  sub->add_option("--save-every", command->save_every, "seconds between checkpoints")->capture_default_str()->check(from_zero_on());
  command->text = add_text_options(*sub);
  sub->callback([command, &status] { train(*command, status); });
}

}  // namespace cpuflow::cli
