#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cpuflow::rt {

/// Threads that this process should use: CPUs of its affinity mask, bounded by the CPU quota of its control group (rounded up) and by
/// OMP_NUM_THREADS where that is set; at least 1.  `root` is "" except in tests.
int available_threads(const std::string& root = "");

/// Threads that stay alive between pieces of work.  The calling thread is one of them.
class ThreadPool {
 public:
  /// How indices go to threads.  Static: index i to thread i modulo size().  Dynamic: to whichever thread is free.
  enum class Assign { Static, Dynamic };

  /// `threads` >= 1; 0: available_threads().
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  /// Calls work(index, thread) for every index < count, thread < size(), and waits for all.  Work on different indices must not depend on
  /// each other; which thread takes which index must not change the result.  When calls throw, the rest still runs and the exception of the
  /// lowest index is thrown.  Not to be called from within work.
  void parallel_for(size_t count, const std::function<void(size_t index, int thread)>& work, Assign assign = Assign::Dynamic);

 private:
  void run(int thread);
  void worker(int thread);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_, done_;
  uint64_t generation_ = 0;
  int running_ = 0;
  bool stop_ = false;

  const std::function<void(size_t, int)>* work_ = nullptr;
  size_t count_ = 0, next_ = 0;
  Assign assign_ = Assign::Dynamic;
  size_t failed_index_ = 0;
  std::exception_ptr failure_;
};

}  // namespace cpuflow::rt
