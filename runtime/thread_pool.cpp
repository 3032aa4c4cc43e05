#include "runtime/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "runtime/cgroup.h"

namespace cpuflow::rt {
namespace {

int affinity_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));  // more CPUs than cpu_set_t has room for
}

}  // namespace

int available_threads(const std::string& root) {
  int threads = affinity_threads();
  if (const CgroupLimits limits = read_cgroup_limits(root); limits.cpus) {
    threads = static_cast<int>(std::min<double>(threads, std::max(1.0, std::ceil(*limits.cpus))));
  }
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    const long asked = std::strtol(text, nullptr, 10);  // "4" or, for nested regions, "4,2"
    if (asked > 0) threads = static_cast<int>(std::min<long>(threads, asked));
  }
  return threads;
}

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = available_threads();
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { worker(i); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  start_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int thread) {
  auto call = [&](size_t index) {
    try {
      (*work_)(index, thread);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_ || index < failed_index_) {
        failure_ = std::current_exception();
        failed_index_ = index;
      }
    }
  };
  if (assign_ == Assign::Static) {
    for (size_t i = static_cast<size_t>(thread); i < count_; i += static_cast<size_t>(size())) call(i);
  } else {
    std::atomic_ref<size_t> next(next_);
    for (size_t i = next.fetch_add(1); i < count_; i = next.fetch_add(1)) call(i);
  }
}

void ThreadPool::worker(int thread) {
  uint64_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      start_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
    }
    run(thread);
    const std::lock_guard lock(mutex_);
    if (--running_ == 0) done_.notify_one();
  }
}

void ThreadPool::parallel_for(size_t count, const std::function<void(size_t, int)>& work, Assign assign) {
  if (count == 0) return;
  {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    count_ = count;
    next_ = 0;
    assign_ = assign;
    failure_ = nullptr;
    running_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  start_.notify_all();
  run(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return running_ == 0; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace cpuflow::rt
