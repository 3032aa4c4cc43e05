#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "codegen/abi/manifest.h"

namespace cpuflow::rt {

/// How long a run lasts and its learning rate: by a number of steps, by the clock, or as another run recorded it.
class Schedule {
 public:
  enum class Kind { Steps, Budget, Replay };
  struct Plan {
    double lr = 0;
    bool last = false;  // no step after this one
  };

  /// `steps` steps: linear warm-up from 0 over warmup_steps, then a cosine from lr to min_lr that ends at the setting cosine_steps (0: at `steps`).
  /// Throws std::invalid_argument when steps < 1.
  static Schedule by_steps(const codegen::TrainSettings& train, int64_t steps);
  /// `seconds` of training: warm-up over warmup_share of them, then the cosine, as functions of the time that has passed.  The step that
  /// is planned to end with the budget gets min_lr exactly; evaluations and checkpoints count as time.  Throws when seconds <= 0.
  static Schedule by_budget(const codegen::TrainSettings& train, double seconds);
  /// The rates of another run, one a step.  Throws when there is none.
  static Schedule by_record(std::vector<double> rates);

  Kind kind() const { return kind_; }
  /// Steps in all; 0 when the clock decides.
  int64_t steps() const { return steps_; }
  double budget() const { return budget_; }
  /// For step `step` (from 0) that begins `elapsed` seconds after the training's start, when a step takes about `step_seconds` (0:
  /// unknown). By the clock, a step is the last one when no second one fits behind it.
  Plan plan(int64_t step, double elapsed, double step_seconds) const;
  /// Seconds until the end, estimated; negative when unknown.
  double seconds_left(int64_t next_step, double elapsed, double step_seconds) const;

 private:
  Kind kind_ = Kind::Steps;
  codegen::TrainSettings train_;
  int64_t steps_ = 0, cosine_steps_ = 0;
  double budget_ = 0;
  std::vector<double> rates_;
};

/// The learning rates that a run wrote into its metrics.jsonl, in step order and to the last bit; the last line of a step counts.
/// Throws FileError: no such file, a step is missing, damaged.
std::vector<double> recorded_rates(const std::string& metrics_path);

}  // namespace cpuflow::rt
