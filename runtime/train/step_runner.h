#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/data/windows.h"
#include "runtime/thread_pool.h"
#include "runtime/train/arrays.h"

namespace cpuflow::rt {

/// Runs a compiled model over the sequences of a step.  Sequence s of a step belongs to lane s modulo lanes; a lane's sequences run one
/// after the other, or some together where the model has recurrences; lanes run on threads: what is computed does not depend on the number of threads.
class StepRunner {
 public:
  /// All must outlive this object.
  StepRunner(const codegen::Executable& exe, const Arrays& arrays, ThreadPool& pool, const Windows& windows, const WindowOrder& order,
             uint64_t seed);

  /// Losses of a step, one a term (means over its calls), or nothing when `stop` became other than 0 on the way.  Afterwards lane 0's
  /// `grads` hold the sum of the gradients of the calls' mean losses.
  std::optional<std::vector<double>> run(int64_t step, const std::atomic<int>* stop);
  /// What run()'s gradients are multiplied with: 1 / (calls of a micro-batch), and 1 / (micro-batches) unless train.accumulate is "sum".
  double gradient_scale() const;

  /// The first sequence of a step whose losses or gradients are not finite on their own.
  struct Fault {
    int64_t call = 0, sequence = 0;  // of the step, of the call
    uint64_t window = 0, counter = 0;
    std::vector<std::string> params;  // whose gradients are not finite, at most three
    std::vector<int32_t> tokens, targets;
  };
  /// Runs every sequence of a step alone; overwrites lane 0's gradients.
  std::optional<Fault> first_fault(int64_t step);

 private:
  /// `kernel` on every sequence of a step; false when `stop` became other than 0 on the way.
  bool run_sequences(cpuflow_kernel* kernel, int64_t step, const std::atomic<int>* stop);
  /// Every call's losses are summed over the lanes into lane 0's.
  void sum_losses();
  /// `place`: among the sequences of the lane that run together.
  cpuflow_call call(size_t lane, int64_t place, int64_t step, int64_t sequence) const;

  const codegen::Executable& exe_;
  const Arrays& arrays_;
  ThreadPool& pool_;
  const Windows& windows_;
  const WindowOrder& order_;
  uint64_t seed_;
  bool others_clear_ = false;  // the gradients of all lanes but the first are zero
};

}  // namespace cpuflow::rt
