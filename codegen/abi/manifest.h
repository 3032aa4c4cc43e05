#pragma once
#include "codegen/abi/cache_lines.h"
#include "codegen/abi/kernel_abi.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace cpuflow::codegen {

/// One parameter tensor as the checkpoint names it.
struct ParamInfo {
  std::string name;              // `blocks.0.W_proj.weight`
  std::vector<int64_t> shape;    // [out, in] for linear layers
  uint64_t offset = 0;           // in floats, within the parameter array
  uint64_t count = 0;            // elements
  enum class Init { Normal, Uniform, Constant } init = Init::Normal;
  double init_a = 0, init_b = 0.02;  // Normal: mean, deviation.  Uniform: low, high.  Constant: init_a
  double low = -1e300, high = 1e300; // clamped to this range after each step
  bool trainable = true;
};

/// Copies of the gradient where nothing is said: as many, however few CPUs there are and sequences a step has.
inline constexpr int64_t kLeastLanes = 4;

/// [train] of the model file, with its defaults.
struct TrainSettings {
  int64_t batch = 32;            // sequences of a step
  int64_t micro = 0;             // sequences of a micro-batch; 0: the size B
  int64_t lanes = 0;             // copies of the gradient that sequences are added to; 0: as many as this machine can use
  bool accumulate_sum = false;   // "sum": micro-batches' gradients are added; "mean": averaged
  double lr = 5e-4, min_lr = 1e-5;
  int64_t warmup_steps = 50;
  int64_t cosine_steps = 0;      // where the cosine ends when steps are counted; 0: with the training
  double warmup_share = 0.02;    // of the budget, when the clock drives the schedule
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  double clip = 1.0;             // of the gradient's norm; 0: none
  std::vector<std::pair<std::string, std::map<std::string, double>>> groups;  // name pattern -> settings that differ (lr, weight_decay)
};

/// Everything the runtime needs to know of a compiled model.
struct Manifest {
  std::string model;                       // `name` of the model file
  std::map<std::string, int64_t> dims;     // every size
  int64_t B = 1, T = 1, V = 1;
  int64_t lanes = kLeastLanes;             // copies of the gradient: sequence b is added to that of lane b % lanes
  uint64_t param_floats = 0, shared_floats = 0, lane_floats = 0, grad_floats = 0, loss_floats = 0, rows_lane_floats = 0;
  int64_t together = 1;                    // sequences that train_sequence and its like take in one call, at most
  uint64_t row_floats = 0;                 // the widest row that threads which run `rows` together pass on to each other; 0: none is worth it
  std::vector<ParamInfo> params;
  std::vector<std::string> losses;         // terms in order; "total" is what is trained
  int64_t cross_entropy = -1;              // the term that is the cross-entropy of the next token, in nats; -1: none is
  std::vector<std::string> watch;          // names of [watch]
  TrainSettings train;
  bool head = false;                       // `rows` gives a number beside the logits
  int64_t columns() const { return V + (head ? 1 : 0); }  // of what `rows` gives
  /// Floats from the lane of a stream of `rows`, or of a sequence, to that of the next.
  uint64_t lane_step() const { return odd_cache_lines(rows_lane_floats); }
  uint64_t sequence_step() const { return odd_cache_lines(lane_floats); }
  /// How many sequences of a lane run together where lanes share so many: not more than a lane has.
  int64_t together_of(int64_t sequences) const { return std::clamp<int64_t>(sequences / lanes, 1, together); }
  /// Scratch of so many sequences that run together.
  uint64_t scratch_floats(int64_t sequences) const { return lane_floats + static_cast<uint64_t>(sequences - 1) * sequence_step(); }
  bool causal = true;                      // `rows` may be called position by position
  uint64_t kept_floats = 0;                // of a lane of `rows`, the first: all that it keeps from call to call
  uint64_t carried_floats = 0;             // of those, what a later position reads
};

/// A model ready to run.  Null entries were not asked for.
struct Executable {
  Manifest manifest;
  cpuflow_kernel* prepare = nullptr;
  std::vector<cpuflow_kernel*> batch_sums;  // in order; empty unless sequences of a micro-batch read sums over all of them
  cpuflow_kernel* train_sequence = nullptr;
  cpuflow_kernel* finish = nullptr;
  cpuflow_kernel* eval_sequence = nullptr;
  cpuflow_kernel* loss_terms = nullptr;
  std::vector<cpuflow_kernel*> eval_sums;  // as batch_sums, for what evaluations alone need; before eval_sequence
  cpuflow_kernel* eval_terms = nullptr;    // losses of an evaluation, then what is watched
  cpuflow_kernel* rows = nullptr;
};

}  // namespace cpuflow::codegen
