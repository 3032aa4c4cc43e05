#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cli/compile.h"
#include "runtime/thread_pool.h"

namespace cpuflow::cli {

/// One of the things that are timed, on all threads.  Decode: one sequence; DecodeTogether: kTogether sequences at once.
enum class Work { Forward, ForwardBackward, Step, Decode, DecodeTogether };
inline constexpr int64_t kTogether = 16;
const char* work_name(Work work);

/// A compiled model with buffers, example parameters and random tokens, ready to be timed.
class BenchProgram {
 public:
  BenchProgram(CompiledModel model, int threads, uint64_t seed);
  ~BenchProgram();
  /// Runs `work` once; returns its tokens.
  int64_t run(Work work);
  /// Tokens a second of one run.
  double speed(Work work);
  const CompiledModel& model() const;
  /// Ticks of each region, in the order of model().costs; all zero unless compiled with profiling.
  const std::vector<uint64_t>& profile() const;

 private:
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

/// Multiply-adds a second (each two operations) of this machine with a target's instructions, on `threads` threads at once: of float32
/// numbers, or of bf16 ones.
class PeakMeter {
 public:
  PeakMeter(const ir::CpuTarget& target, bool bf16, int threads);
  /// One measurement of about 0.1 s.
  double flops_per_second();

 private:
  std::unique_ptr<codegen::Library> library_;
  long iterations_ = 0;
  float (*run_)(long) = nullptr;
  long (*flops_)() = nullptr;
  rt::ThreadPool pool_;
};

}  // namespace cpuflow::cli
