#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cli/aligned_floats.h"
#include "runtime/cli/compile.h"
#include "runtime/thread_pool.h"

namespace cpuflow::cli {

/// One of the things that are timed, on all threads.  ForwardBackward adds to the gradients, which the update of a Step clears.  Decode: one sequence; DecodeTogether: kTogether sequences at once.
enum class Work { Forward, ForwardBackward, Step, Decode, DecodeTogether };
inline constexpr int64_t kTogether = 16;
const char* work_name(Work work);
/// Whether it makes one token of a sequence after the other, with the kernel `rows`.
bool decodes(Work work);

/// A compiled model with buffers, example parameters and random tokens, ready to be timed.
class BenchProgram {
 public:
  BenchProgram(CompiledModel model, int threads, uint64_t seed);
  ~BenchProgram();
  /// Runs `work` once; returns its tokens.  Decoding uses the weights that were packed before.
  int64_t run(Work work);
  /// Tokens a second of one run.  A training step packs the weights each time, decoding once, before its time begins.
  double speed(Work work);
  const CompiledModel& model() const;
  /// Ticks of each region, in the order of model().costs; all zero unless compiled with profiling.
  const std::vector<uint64_t>& profile() const;

 private:
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

/// What this machine can do with a target's instructions, on `threads` threads at once.
class PeakMeter {
 public:
  /// `bf16`: of the operands of products; else they are float32.  `weights`: bytes that a decoded token reads.
  PeakMeter(const ir::CpuTarget& target, bool bf16, int threads, uint64_t weights);
  /// Operations a second of multiply-adds (each two) in registers: one measurement of about 0.1 s.
  double flops_per_second();
  /// Bytes a second that threads read of so many bytes, each a part of its own, again and again: from the caches that hold them.  0 if there are too few to share.  One measurement of about 0.05 s.
  double bytes_per_second();

 private:
  std::unique_ptr<codegen::Library> library_;
  long iterations_ = 0;
  float (*run_)(long) = nullptr;
  long (*flops_)() = nullptr;
  float (*read_)(const float*, long) = nullptr;
  rt::ThreadPool pool_;
  AlignedFloats weights_;
  uint64_t floats_of_thread_ = 0;
};

}  // namespace cpuflow::cli
