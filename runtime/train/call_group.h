#pragma once
#include <cstdint>
#include <vector>

#include "codegen/abi/manifest.h"

namespace cpuflow::rt {

/// Runs a kernel on the sequences of a lane, so many in a call: their calls follow each other, each with a scratch of its own.
class CallGroup {
 public:
  /// At most `together` sequences, in `scratch` of Manifest::scratch_floats(together) floats.
  CallGroup(cpuflow_kernel* kernel, const codegen::Manifest& manifest, int64_t together, float* scratch)
      : kernel_(kernel), step_(static_cast<int64_t>(manifest.sequence_step())), together_(together), scratch_(scratch) {}

  /// Sequences that wait for others.
  int64_t size() const { return static_cast<int64_t>(calls_.size()); }
  /// Takes a sequence, and runs when there are enough.
  void add(const cpuflow_call& call) {
    calls_.push_back(call);
    calls_.back().lane = scratch_ + (size() - 1) * step_;
    if (size() == together_) run();
  }
  /// Runs those that wait.
  void run() {
    if (calls_.empty()) return;
    calls_[0].streams = static_cast<int32_t>(calls_.size());
    calls_[0].lane_step = step_;
    kernel_(calls_.data());
    calls_.clear();
  }

 private:
  cpuflow_kernel* kernel_;
  int64_t step_, together_;
  float* scratch_;
  std::vector<cpuflow_call> calls_;
};

}  // namespace cpuflow::rt
