#pragma once
#include <cstdint>
#include <vector>

#include "codegen/abi/manifest.h"

namespace cpuflow::rt {

/// Sequences of a lane that a function takes in one call: their calls follow each other, each with a scratch of its own.
class CallGroup {
 public:
  /// At most `together` sequences, in `scratch` of Manifest::scratch_floats(together) floats.
  CallGroup(const codegen::Manifest& manifest, int64_t together, float* scratch) : step_(static_cast<int64_t>(manifest.sequence_step())), together_(together), scratch_(scratch) {}

  int64_t size() const { return static_cast<int64_t>(calls_.size()); }
  bool full() const { return size() == together_; }
  void add(const cpuflow_call& call) {
    calls_.push_back(call);
    calls_.back().lane = scratch_ + (size() - 1) * step_;
  }
  /// Runs what there is, and is empty then.
  void run(cpuflow_kernel* kernel) {
    if (calls_.empty()) return;
    calls_[0].streams = static_cast<int32_t>(calls_.size());
    calls_[0].lane_step = step_;
    kernel(calls_.data());
    calls_.clear();
  }

 private:
  int64_t step_, together_;
  float* scratch_;
  std::vector<cpuflow_call> calls_;
};

}  // namespace cpuflow::rt
