#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

struct cpuflow_call;

namespace cpuflow::rt {

/// CPUs that this process may use: those of its affinity mask, bounded by the CPU quota of its control group (rounded up); at least 1.
/// `root` is "" except in tests.
int available_cpus(const std::string& root = "");
/// Threads that it should use: as many, bounded by OMP_NUM_THREADS where that is set.
int available_threads(const std::string& root = "");

/// Threads that run one piece of work each and come together again: within a microsecond where pieces follow each other, since they watch for
/// the next one for a while before they sleep.  The calling thread is one of them.
class Team {
 public:
  /// `threads` >= 1.  Throws std::runtime_error where the system does not start so many.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  /// body(context, part, size()) for every part, one on each thread, and waits for all.  `team` is a Team; the form is that of cpuflow_call::fork.
  /// The body must not throw, nor call this.
  static void fork(void* team, void (*body)(void* context, int part, int parts), void* context);
  /// Whether threads that wait look for a while before they sleep: where there is a CPU for each.
  bool watches() const { return watch_; }
  /// Lets a kernel use these threads, if there are several.
  void lend_to(cpuflow_call& call);

 private:
  void work(int part);
  void stop();

  std::vector<std::thread> workers_;
  bool watch_;
  // What a thread reads when its work begins comes with one cache line, and what it writes when it ends is on another.
  alignas(64) std::atomic<uint32_t> round_{0};
  bool stop_ = false;
  void (*body_)(void*, int, int) = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<int> running_{0};
};

/// Threads for loops over independent indices.  The calling thread is one of them.
class ThreadPool {
 public:
  /// How indices go to threads.  Static: index i to thread i modulo size().  Dynamic: to whichever thread is free.
  enum class Assign { Static, Dynamic };

  /// `threads` >= 1; 0: available_threads().
  explicit ThreadPool(int threads = 0);

  int size() const { return team_.size(); }
  /// The same threads, for pieces of work that come one after the other.
  Team& team() { return team_; }
  /// Calls work(index, thread) for every index < count, thread < size(), and waits for all.  Work on different indices must not depend on
  /// each other; which thread takes which index must not change the result.  When calls throw, the rest still runs and the exception of the
  /// lowest index is thrown.  Not to be called from within work.
  void parallel_for(size_t count, const std::function<void(size_t index, int thread)>& work, Assign assign = Assign::Dynamic);

 private:
  Team team_;
};

}  // namespace cpuflow::rt
