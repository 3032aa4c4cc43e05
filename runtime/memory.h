#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

#include "codegen/abi/manifest.h"

namespace cpuflow::rt {

/// More memory is needed than there is; what() says how much of each and what to do.
struct MemoryError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Sequences of a step in the units of the compiled code.
struct BatchShape {
  int64_t sequences = 1;      // of a step: `batch`
  int64_t calls = 1;          // groups of B sequences that the compiled code takes at once: sequences / B
  int64_t micro_batches = 1;  // sequences / `micro`
  int64_t together = 1;       // sequences of a lane that go through recurrences together, at most
};

/// Throws std::invalid_argument when the settings do not divide: micro must be a multiple of B, batch of micro.
BatchShape batch_shape(const codegen::Manifest& manifest);
/// The same before anything is compiled, for groups of B sequences.
BatchShape batch_shape(int64_t B, const codegen::TrainSettings& train);

/// How many copies of the gradient the sequences of a step are added to, each by one thread at a time: train.lanes; where that is 0, one for each of `cpus`,
/// but four at least, so that most machines compute the same numbers, and not more than a step has sequences.
int64_t gradient_lanes(const codegen::TrainSettings& train, int cpus);

/// Bytes of the arrays that training keeps, by use.
struct TrainingMemory {
  uint64_t params = 0, moments = 0;  // float32; AdamW's two moments
  uint64_t scratch = 0;              // of every thread that runs a lane
  uint64_t grads = 0;                // gradient accumulators of every lane
  uint64_t shared = 0;               // values that depend on parameters only
  uint64_t losses = 0, tokens = 0;
  uint64_t total() const { return params + moments + scratch + grads + shared + losses + tokens; }
  /// "61.2 MB: 7.3 MB parameters, 14.6 MB AdamW moments, ...".
  std::string text() const;
};

/// What training on so many threads keeps.
TrainingMemory training_memory(const codegen::Manifest& manifest, int threads);

/// Bytes that this process may still take: what the machine has available (MemAvailable), or what the control group has left if that is
/// less.  `root` is "" except in tests.
uint64_t available_memory(const std::string& root = "");

/// Throws MemoryError when `needed` bytes are more than `available`; `what` names the use ("training").
void require_memory(uint64_t needed, uint64_t available, const std::string& what);

/// One block of memory, zero at first, from which arrays are cut.  It is asked for in huge pages.
class Arena {
 public:
  /// Room for `bytes` in all.  Throws MemoryError when the system refuses.
  explicit Arena(uint64_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Bytes that an array of `count` elements of four bytes takes in an arena.
  static uint64_t bytes_for(uint64_t count) { return (4 * count + kAlign - 1) / kAlign * kAlign; }
  /// An array aligned to 64 bytes; throws std::logic_error when the arena is used up.
  float* floats(uint64_t count) { return static_cast<float*>(take(count)); }
  int32_t* ints(uint64_t count) { return static_cast<int32_t*>(take(count)); }

 private:
  static constexpr uint64_t kAlign = 64;
  void* take(uint64_t count);

  char* base_ = nullptr;
  void* mapping_ = nullptr;
  uint64_t mapped_ = 0, size_ = 0, used_ = 0;
};

}  // namespace cpuflow::rt
