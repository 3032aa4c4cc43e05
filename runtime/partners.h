#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

#include "codegen/abi/kernel_abi.h"
#include "runtime/thread_pool.h"

namespace cpuflow::rt {

/// Whether the next call is for partners together or for one thread alone.  Where other processes want the same CPUs, a partner that has none keeps the others
/// waiting for milliseconds in the place of microseconds.
class Pace {
 public:
  bool together() const { return together_; }
  /// Tells of a call how long it took, and whether a partner slept while it waited for another.
  void took(double seconds, bool slept);

 private:
  bool together_ = true;
  int alone_calls_ = 0;           // how many followed each other; fewer after partners were fast
  double alone_ = 0;              // seconds of the shortest of them
  int calls_ = 0;                 // since the last decision, and what was told of them
  double seconds_ = 0, shortest_ = 0;
  bool slept_ = false;
};

/// Threads of a team as partners that continue one text together: each runs `rows` in a lane of its own, and of a row that takes long to read for, each
/// computes some columns and gets the others'.  What is cheap is computed by all, so that they wait for columns only, and once a call for each other.
class Partners {
 public:
  /// `count`: at least one, at most the threads of the team.  `row_floats`: of the widest row that is passed on; `kept_floats`: of a lane, the first, that `rows`
  /// keeps from call to call.  `team` must outlive this object, and nobody else may use it during run().
  Partners(Team& team, int count, uint64_t row_floats, uint64_t kept_floats);

  /// How many of so many threads are of use: one where no row is worth passing on.
  static int most(int threads, uint64_t row_floats);
  int size() const { return static_cast<int>(places_.size()); }
  /// Bytes that so many partners take beside their lanes.
  static uint64_t bytes(int partners, uint64_t row_floats);
  /// `rows` by all partners, or by the first alone while that is faster: its lane and `out` are those of the call, and become the same.  Lane and `out` of another
  /// lie so many floats behind those of the one before.
  void run(cpuflow_kernel* rows, const cpuflow_call& call, int64_t lane_step, int64_t out_step);
  /// The caller has changed what the first lane keeps.
  void first_lane_changed() { behind_ = true; }

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
  void run_together(cpuflow_kernel* rows, const cpuflow_call& call, int64_t lane_step, int64_t out_step);
  static void pass_on(void* place, float* row, int first, int last, int columns);

  Team& team_;
  std::vector<Row> rows_;
  std::vector<Place> places_;
  uint64_t row_floats_, kept_floats_;
  Pace pace_;
  bool behind_ = false;             // the other lanes do not have what the first one keeps
  std::atomic<bool> slept_{false};  // one of them, in the call at hand
  std::vector<float> columns_;  // [2][row_floats], written in turn: who still reads one row has not given the next
};

}  // namespace cpuflow::rt
