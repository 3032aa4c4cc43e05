#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/memory.h"

namespace cpuflow::rt {

/// The arrays of a compiled model that trains or is evaluated, in one arena, all zero at first.
class Arrays {
 public:
  /// What one lane works with.
  struct Lane {
    float* scratch = nullptr;    // [scratch_floats(together)]; null where there are more lanes than threads: a thread has one
    float* grads = nullptr;      // [grad_floats]; null unless training
    float* sums = nullptr;       // [loss_floats]; used by evaluation, where a lane runs whole micro-batches
    float* terms = nullptr;      // [loss terms, watched numbers]
    int32_t* tokens = nullptr;   // [together][T]
    int32_t* targets = nullptr;  // [together][T]
  };

  /// Throws MemoryError when `manifest` needs more than available_memory(), std::invalid_argument as batch_shape().
  Arrays(const codegen::Manifest& manifest, bool training, int threads);

  float* params = nullptr;                                  // [param_floats]
  float *first_moment = nullptr, *second_moment = nullptr;  // [param_floats]; null unless training
  float* shared = nullptr;                                  // [shared_floats]
  std::vector<Lane> lanes;
  BatchShape shape;
  /// Loss accumulators of a call of a step and a lane [loss_floats].
  float* losses(int64_t call, size_t lane) const { return losses_[static_cast<size_t>(call) * lanes.size() + lane]; }
  static uint64_t bytes(const codegen::Manifest& manifest, bool training, int threads);

 private:
  Arena arena_;
  std::vector<float*> losses_;
};

/// Whether all are numbers.
inline bool all_finite(const float* x, uint64_t count) {
  return std::all_of(x, x + count, [](float v) { return std::isfinite(v); });
}

/// The lane whose scratch a thread works in.  A sequence leaves nothing behind there, so a thread keeps to one scratch, which then stays in its
/// caches, as long as there is one for each thread.
inline size_t scratch_lane(size_t lane, size_t lanes, int thread, int threads) { return static_cast<size_t>(threads) <= lanes ? static_cast<size_t>(thread) : lane; }

}  // namespace cpuflow::rt
