#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace cpuflow::rt {

/// Threads that share one product of a few microseconds: they wait for the next one awake.  The calling thread is one of them.  After some
/// ten microseconds without work they sleep.
class Team {
 public:
  /// `threads` >= 1.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  /// body(context, part, size()) for every part, one on each thread, and waits for all.  Of a Team, as cpuflow_call::fork wants it.
  static void fork(void* team, void (*body)(void* context, int part, int parts), void* context);

 private:
  void work(int part);

  std::vector<std::thread> workers_;
  void (*body_)(void*, int, int) = nullptr;
  void* context_ = nullptr;
  // On cache lines of their own: the threads watch them.
  alignas(64) std::atomic<uint32_t> round_{0};
  alignas(64) std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace cpuflow::rt
