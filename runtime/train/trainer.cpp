#include "runtime/train/trainer.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <filesystem>
#include <memory>
#include <thread>

#include "runtime/train/arrays.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/init.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/resume.h"
#include "runtime/train/signals.h"
#include "runtime/train/step_runner.h"

namespace cpuflow::rt {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kRemedy = "a smaller train.lr, a longer warm-up or train.clip helps, or the operation needs a guard";

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// The usual duration of a step: the median of the last nine, which one slow step does not move.
class StepTimes {
 public:
  void add(double seconds) {
    last_.push_back(seconds);
    if (last_.size() > 9) last_.pop_front();
  }
  double usual() const {
    std::vector<double> sorted(last_.begin(), last_.end());
    std::sort(sorted.begin(), sorted.end());
    return sorted.empty() ? 0 : sorted[sorted.size() / 2];
  }

 private:
  std::deque<double> last_;
};

class Trainer {
 public:
  Trainer(const codegen::Executable& exe, const TokenData& data, const TokenData* held_out, const TrainOptions& options, ProgressSink& sink)
      : exe_(exe),
        m_(exe.manifest),
        held_out_(held_out),
        options_(options),
        sink_(sink),
        windows_(data, static_cast<uint32_t>(m_.T)),
        order_(options.order, windows_.count(), static_cast<uint64_t>(m_.train.batch), options.seed),
        pool_(options.threads),
        arrays_(m_, true, pool_.size()),
        runner_(exe, arrays_, pool_, windows_, order_, options.seed),
        optimizer_(m_, arrays_.first_moment, arrays_.second_moment),
        folder_(options.dir) {
    check_ids(data, m_.V);
    if (held_out_) {
      check_ids(*held_out_, m_.V);
      if (held_out_->ids.size() < static_cast<uint64_t>(m_.T) + 1) {
        sink_.note(fmt::format("{}: {} ids are too few for a window of T = {}; nothing is evaluated", held_out_->name,
                               held_out_->ids.size(), m_.T));
        held_out_ = nullptr;
      }
    }
    state_ = fresh_state(m_, data, options.seed, options.order == WindowOrder::Kind::Shuffled ? "shuffled" : "sequential");
    state_.schedule = schedule_json(options.schedule);
    state_.phase = options.phase;
  }

  TrainResult run() {
    sink_.note(fmt::format("memory: {}", training_memory(m_, pool_.size()).text()));
    begin();
    MetricsFile metrics(options_.dir + "/metrics.jsonl", m_.losses, m_.watch, state_.step);
    metrics_ = &metrics;
    start_ = Clock::now();
    last_save_ = start_;
    bool done = options_.schedule.steps() > 0 && phase_step() >= options_.schedule.steps();
    const double trained = state_.elapsed_s - state_.phase_elapsed_s;
    if (options_.schedule.kind() == Schedule::Kind::Budget && trained >= options_.schedule.budget()) {
      done = true;
      sink_.note(fmt::format("the budget of {} is used up: the run has trained for {} already; a longer --budget continues it", short_time(options_.schedule.budget()), short_time(trained)));
    } else if (done) {
      sink_.note(fmt::format("the run has done its {} steps already; more steps continue it", state_.step));
    }
    while (!done && !stopped()) {
      const std::optional<bool> last = step();
      if (!last) break;
      done = *last;
      const bool evaluate_now = options_.eval_every > 0 && state_.step % options_.eval_every == 0 && !done;
      if (evaluate_now) evaluate_weights();
      if (!done && seconds_since(last_save_) >= options_.save_seconds) save_on_the_way();
    }
    if (done) {
      result_.evaluated = evaluate_weights();
      if (!result_.evaluated && stopped()) result_.stopped_by = options_.stop->load();
    } else {
      result_.stopped_by = options_.stop->load();
    }
    if (!done) state_.elapsed_s = elapsed();  // the evaluation at the end is no time of training
    save_at_the_end();
    if (done) drop_others();
    result_.steps = state_.step;
    result_.tokens = state_.tokens;
    result_.elapsed_s = elapsed();
    result_.trained_s = state_.elapsed_s;
    result_.checkpoint = options_.dir + "/checkpoint";
    return std::move(result_);
  }

 private:
  bool stopped() const { return options_.stop && options_.stop->load() != 0; }
  double elapsed() const { return elapsed_before_ + seconds_since(start_); }
  int64_t phase_step() const { return state_.step - state_.phase_step; }
  void warn(const std::string& text) {
    if (!text.empty()) sink_.note("warning: " + text);
  }

  /// Weights, moments and state at the first step.
  void begin() {
    if (options_.resume) {
      folder_.recover();
      const Checkpoint checkpoint = open_to_resume(folder_, options_.dir);
      for (const std::string& warning : checkpoint.warnings) warn(warning);
      for (const std::string& change : check_resume(checkpoint.state, state_, options_.dir)) sink_.note(change);
      checkpoint.load_params(m_, arrays_.params);
      state_.step = checkpoint.state.step;
      state_.tokens = checkpoint.state.tokens;
      state_.elapsed_s = checkpoint.state.elapsed_s;
      elapsed_before_ = state_.elapsed_s;
      saved_step_ = state_.step;
      if (checkpoint.state.phase != options_.phase) {
        state_.phase_step = state_.step;
        state_.phase_elapsed_s = state_.elapsed_s;
        sink_.note(fmt::format("phase {} begins after step {} ({} tokens)", options_.phase + 1, state_.step, short_count(static_cast<double>(state_.tokens))));
        return;
      }
      state_.phase_step = checkpoint.state.phase_step;
      state_.phase_elapsed_s = checkpoint.state.phase_elapsed_s;
      checkpoint.load_moments(m_, arrays_.first_moment, arrays_.second_moment);
      sink_.note(fmt::format("resuming after step {} ({} tokens)", state_.step, short_count(static_cast<double>(state_.tokens))));
      return;
    }
    check_place(options_.dir, false);
    if (options_.init_file.empty()) {
      init_params(pool_, m_, options_.seed, arrays_.params);
      if (!options_.warm_file.empty()) sink_.note(warm_start(*open_tensor_file(options_.warm_file), m_, arrays_.params));
    } else {
      std::string left;
      load_params(*open_tensor_file(options_.init_file), m_, arrays_.params, &left);
      warn(left);
    }
    // Now rather than after an hour it shows whether the folder can be written to.
    write_checkpoint();
  }

  /// One step.  Nothing when the run was asked to stop before it was complete; otherwise whether it was the last one.
  std::optional<bool> step() {
    const auto begin = Clock::now();
    const Schedule::Plan plan = options_.schedule.plan(phase_step(), elapsed() - state_.phase_elapsed_s, times_.usual());
    const std::optional<std::vector<double>> losses = runner_.run(state_.step, options_.stop);
    if (!losses) return std::nullopt;
    const float* grads = arrays_.lanes[0].grads;
    const double scale = runner_.gradient_scale();
    const GradientNorm norm = optimizer_.norm(pool_, grads, scale);
    if (!norm.finite() || !std::all_of(losses->begin(), losses->end(), [](double v) { return std::isfinite(v); }))
      diverged(*losses, norm.norm);
    optimizer_.step(pool_, arrays_.params, grads, scale, norm, plan.lr, phase_step() + 1);

    const double seconds = seconds_since(begin);
    times_.add(seconds);
    const uint64_t tokens = static_cast<uint64_t>(m_.train.batch * m_.T);
    state_.tokens += tokens;
    state_.elapsed_s = elapsed();
    StepReport report{state_.step,
                      options_.schedule.steps() > 0 ? state_.phase_step + options_.schedule.steps() : 0,
                      state_.tokens,
                      state_.elapsed_s,
                      plan.lr,
                      *losses,
                      norm.norm,
                      static_cast<double>(tokens) / seconds,
                      -1};
    ++state_.step;
    report.seconds_left = plan.last ? 0 : options_.schedule.seconds_left(phase_step(), state_.elapsed_s - state_.phase_elapsed_s, times_.usual());
    warn(metrics_->step(report));
    sink_.step(report);
    result_.losses = *losses;
    result_.gradient_norm = norm.norm;
    return plan.last;
  }

  [[noreturn]] void diverged(const std::vector<double>& losses, double norm) {
    std::string text = fmt::format("step {} diverged: ", state_.step);
    std::vector<std::string> facts;
    for (size_t i = 0; i < losses.size(); ++i) {
      if (!std::isfinite(losses[i])) facts.push_back(fmt::format("loss.{} is {}", m_.losses[i], std::isnan(losses[i]) ? std::nan("") : losses[i]));
    }
    if (!std::isfinite(norm)) facts.push_back(fmt::format("the gradient's norm is {}", std::isnan(norm) ? std::nan("") : norm));
    text += fmt::format("{}", fmt::join(facts, ", "));
    NonfiniteContext context{state_.step, arrays_.params, {}, {}, options_.seed, 0, 0};
    if (const std::optional<StepRunner::Fault> fault = runner_.first_fault(state_.step)) {
      text += fmt::format("; first in window {} of the text (sequence {} of micro-batch {})", fault->window, fault->sequence, fault->call);
      if (!fault->params.empty()) text += fmt::format(", gradient of {}", fmt::join(fault->params, ", "));
      context.tokens = fault->tokens;
      context.targets = fault->targets;
      context.counter = fault->counter;
      context.sequence = static_cast<uint64_t>(fault->sequence);
    } else {
      text += "; every sequence is finite on its own, their sum is not";
    }
    state_.elapsed_s = elapsed();
    std::string saved = fmt::format("saved in {}/checkpoint", options_.dir);
    try {
      if (weights_are_finite()) save_at_the_end();
      else saved = fmt::format("not finite: the checkpoint of step {} stays", saved_step_);
    } catch (const FileError& error) {
      saved = fmt::format("could not be saved: {}", error.what());
    }
    // After saving: what looks for the operation takes memory and time.
    if (options_.explain_nonfinite) {
      if (const std::string more = options_.explain_nonfinite(context); !more.empty()) text += "; " + more;
    }
    warn(metrics_->event(state_.step, "diverged", text));
    const char* remedy = state_.step == 0 ? "nothing has been learned yet: the operation needs a guard, or the parameters smaller first values"
                                          : kRemedy;
    throw Diverged(state_.step, fmt::format("{}\n{}; the weights before this step are {}", text, remedy, saved));
  }

  bool evaluate_weights() {
    if (!held_out_ || !exe_.eval_sequence) return false;
    EvalReport report{state_.step, state_.tokens, 0, evaluate(exe_, arrays_, pool_, *held_out_, options_.stop)};
    if (!report.values.complete) return false;
    report.elapsed_s = elapsed();
    warn(metrics_->evaluation(report));
    sink_.evaluation(report);
    for (size_t i = 0; i < report.values.losses.size(); ++i) {
      if (!std::isfinite(report.values.losses[i])) warn(fmt::format("on the held-out text '{}' is {}: it says nothing about the model", m_.losses[i], report.values.losses[i]));
    }
    result_.evaluation = report.values;
    return true;
  }

  bool weights_are_finite() const { return all_finite(arrays_.params, m_.param_floats); }

  /// Throws Diverged instead of putting weights that are no numbers in the place of those that are.
  void write_checkpoint() {
    if (!weights_are_finite()) {
      throw Diverged(state_.step, fmt::format("step {} diverged: weights are not finite any more, and are not saved; the checkpoint of step {} stays\n{}", state_.step, saved_step_, kRemedy));
    }
    folder_.write(m_, state_, arrays_.params, arrays_.first_moment, arrays_.second_moment, options_.checkpoint_files);
    saved_step_ = state_.step;
    sink_.saved(state_.step, options_.dir + "/checkpoint");
  }

  void save_on_the_way() {
    try {
      write_checkpoint();
    } catch (const FileError& e) {
      warn(fmt::format("{}\nthe checkpoint of step {} stays; training goes on, and the next save is tried in {}", e.what(), saved_step_,
                       short_time(options_.save_seconds)));
    }
    last_save_ = Clock::now();
  }

  /// Tries for a while: someone may free some space.  A signal ends the waiting.
  void save_at_the_end() {
    if (saved_step_ == state_.step) return;
    const auto begin = Clock::now();
    const int signal = options_.stop ? options_.stop->load() : 0;
    bool told = false;
    for (;;) {
      try {
        return write_checkpoint();
      } catch (const FileError& e) {
        const double left = options_.patience_seconds - seconds_since(begin);
        if (left <= 0 || (options_.stop && options_.stop->load() != signal)) {
          throw FileError(
              fmt::format("{}\nsteps after {} could not be saved; the checkpoint of step {} is whole, --resume continues from it", e.what(),
                          saved_step_, saved_step_));
        }
        if (!told) warn(fmt::format("{}\ntrying again for {}", e.what(), short_time(left)));
        told = true;
        std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left, 0.5)));
      }
    }
  }

  void drop_others() {
    try {
      folder_.drop_others();
    } catch (const FileError& e) {
      warn(e.what());
    }
  }

  const codegen::Executable& exe_;
  const codegen::Manifest& m_;
  const TokenData* held_out_;
  const TrainOptions& options_;
  ProgressSink& sink_;
  Windows windows_;
  WindowOrder order_;
  ThreadPool pool_;
  Arrays arrays_;
  StepRunner runner_;
  AdamW optimizer_;
  CheckpointFolder folder_;
  TrainState state_;
  TrainResult result_;
  MetricsFile* metrics_ = nullptr;
  StepTimes times_;
  Clock::time_point start_, last_save_;
  double elapsed_before_ = 0;
  int64_t saved_step_ = 0;
};

}  // namespace

TrainResult train(const codegen::Executable& exe, const TokenData& data, const TokenData* held_out, const TrainOptions& options,
                  ProgressSink& sink) {
  const IgnoredSignal file_size(SIGXFSZ);  // a limit on file sizes is an error to report, not a reason to die
  return Trainer(exe, data, held_out, options, sink).run();
}

}  // namespace cpuflow::rt
