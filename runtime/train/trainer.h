#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/data/windows.h"
#include "runtime/train/errors.h"
#include "runtime/train/progress.h"
#include "runtime/train/schedule.h"

namespace cpuflow::rt {

/// The place of a number that is not finite, for whoever can say which operation made it.
struct NonfiniteContext {
  int64_t step = 0;
  const float* params = nullptr;         // [param_floats], before the step
  std::vector<int32_t> tokens, targets;  // of the sequence; empty when no single sequence is at fault
  uint64_t seed = 0, counter = 0, sequence = 0;  // of its random draws: of the run, the number of the micro-batch, the place in that
};

struct TrainOptions {
  std::string dir;  // of the run; it must exist
  Schedule schedule = Schedule::by_steps({}, 1);
  uint64_t seed = 0;  // initialisation, order of windows, random draws
  WindowOrder::Kind order = WindowOrder::Kind::Shuffled;
  int threads = 0;  // 0: available_threads()
  bool resume = false;
  int64_t phase = 0;  // of the training; where the checkpoint is of an earlier one, this phase begins with fresh moments and a schedule of its own
  std::string init_file;                                                  // .safetensors or .pt to begin from; "": the model's initialisation
  std::string warm_file;                                                  // the same of another model: what has the same name and shape is taken
  int64_t eval_every = 0;                                                 // steps; 0: at the end only
  double save_seconds = 60;                                               // between checkpoints; 0: after every step
  double patience_seconds = 60;                                           // how long the last save is tried again while it fails
  std::map<std::string, std::string> checkpoint_files;                    // name -> content, put into every checkpoint
  const std::atomic<int>* stop = nullptr;                                 // becomes a signal's number: save and return
  std::function<std::string(const NonfiniteContext&)> explain_nonfinite;  // names the first operation that is not finite
};

struct TrainResult {
  int stopped_by = 0;  // 0: the run is complete; otherwise the value of `stop`
  int64_t steps = 0;   // done in all
  uint64_t tokens = 0;
  double elapsed_s = 0;        // with the evaluation at the end
  double trained_s = 0;        // without
  std::vector<double> losses;  // of the last step
  double gradient_norm = -1;   // of the last step, before clipping; -1: none was done here
  bool evaluated = false;
  Evaluation evaluation;   // of the final weights, where there is held-out data and the run is complete
  std::string checkpoint;  // folder of the last one
};

/// Trains from DIR's checkpoint (`resume`) or from the beginning; writes DIR/metrics.jsonl and DIR/checkpoint.  The result is a function of
/// the model, the data, the seed and the schedule: neither the number of threads nor stopping and resuming changes a bit of it (with a
/// schedule by the clock, of the learning rates that it came to).  A checkpoint is written before the first step, then every save_seconds,
/// and at the end; one that fails on the way is reported and tried again, training goes on. Throws RunError (DIR holds a run and resume is
/// false, or none and it is true, or it is another model's or other data), MemoryError, DataError (data shorter than T + 1, an id not below
/// V), FileError, std::invalid_argument (settings that do not divide), Diverged (after saving the weights before the step).
TrainResult train(const codegen::Executable& exe, const TokenData& data, const TokenData* held_out, const TrainOptions& options,
                  ProgressSink& sink);

/// XXH64 of the ids as little-endian 32-bit numbers, in hexadecimal.
std::string hash_ids(const TokenIds& ids);

}  // namespace cpuflow::rt
