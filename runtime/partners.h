#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

#include "codegen/abi/kernel_abi.h"
#include "runtime/thread_pool.h"

namespace cpuflow::rt {

/// Threads of a team as partners that continue one text together: each runs `rows` in a lane of its own, and of a row that takes long to read for, each
/// computes some columns and gets the others'.  What is cheap is computed by all, so that they wait for columns only, and once a call for each other.
class Partners {
 public:
  /// `count`: at least one, at most the threads of the team.  `row_floats`: of the widest row that is passed on.  `team` must outlive this object, and
  /// nobody else may use it during run().
  Partners(Team& team, int count, uint64_t row_floats);

  /// How many of so many threads are of use: one where no row is worth passing on.
  static int most(int threads, uint64_t row_floats);
  int size() const { return static_cast<int>(places_.size()); }
  /// Bytes that so many partners take beside their lanes.
  static uint64_t bytes(int partners, uint64_t row_floats);
  /// `rows` by all partners.  The first has the lane and `out` of the call; lane and `out` of another lie so many floats behind those of the one before.
  void run(cpuflow_kernel* rows, const cpuflow_call& call, int64_t lane_step, int64_t out_step);

 private:
  /// What the others see of a partner.
  struct alignas(64) Row {
    std::atomic<uint32_t> given{0};  // how many rows it has passed on
    alignas(64) uint32_t own = 0;    // the same, where no other thread looks
  };
  struct Place {
    Partners* all;
    int part;
  };
  static void pass_on(void* place, float* row, int first, int last, int columns);

  Team& team_;
  std::vector<Row> rows_;
  std::vector<Place> places_;
  uint64_t row_floats_;
  std::vector<float> columns_;  // [2][row_floats], written in turn: who still reads one row has not given the next
};

}  // namespace cpuflow::rt
