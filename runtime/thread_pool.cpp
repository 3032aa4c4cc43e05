#include "runtime/thread_pool.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <system_error>

#include "codegen/abi/kernel_abi.h"
#include "runtime/cgroup.h"
#include "runtime/wait.h"

namespace cpuflow::rt {
namespace {

int affinity_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));  // more CPUs than cpu_set_t has room for
}

}  // namespace

int available_cpus(const std::string& root) {
  const int cpus = affinity_cpus();
  const CgroupLimits limits = read_cgroup_limits(root);
  return limits.cpus ? static_cast<int>(std::min<double>(cpus, std::max(1.0, std::ceil(*limits.cpus)))) : cpus;
}

int available_threads(const std::string& root) {
  int threads = available_cpus(root);
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    const long asked = std::strtol(text, nullptr, 10);  // "4" or, for nested regions, "4,2"
    if (asked > 0) threads = static_cast<int>(std::min<long>(threads, asked));
  }
  return threads;
}

Team::Team(int threads) : watch_(threads <= available_threads()) {
  try {
    for (int part = 1; part < threads; ++part) workers_.emplace_back([this, part] { work(part); });
  } catch (const std::system_error& e) {
    const size_t started = workers_.size() + 1;
    stop();
    throw std::runtime_error(fmt::format("the system starts only {} of {} threads ({}); --threads asks for fewer", started, threads, e.code().message()));
  }
}

Team::~Team() { stop(); }

void Team::stop() {
  stop_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Team::work(int part) {
  for (uint32_t seen = 0;; ++seen) {
    wait_while(round_, seen, watch_);
    if (stop_) return;
    body_(context_, part, size());
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

void Team::fork(void* team, void (*body)(void*, int, int), void* context) {
  Team& t = *static_cast<Team*>(team);
  const int others = t.size() - 1;
  if (others > 0) {
    t.body_ = body;
    t.context_ = context;
    t.running_.store(others, std::memory_order_relaxed);
    t.round_.fetch_add(1, std::memory_order_release);
    t.round_.notify_all();
  }
  body(context, 0, others + 1);
  for (int left = t.running_.load(std::memory_order_acquire); left > 0; left = t.running_.load(std::memory_order_acquire)) wait_while(t.running_, left, t.watch_);
}

void Team::lend_to(cpuflow_call& call) {
  if (size() == 1) return;
  call.fork = fork;
  call.team = this;
}

ThreadPool::ThreadPool(int threads) : team_(threads > 0 ? threads : available_threads()) {}

void ThreadPool::parallel_for(size_t count, const std::function<void(size_t, int)>& work, Assign assign) {
  struct Loop {
    size_t count;
    const std::function<void(size_t, int)>& work;
    Assign assign;
    std::atomic<size_t> next{0};
    std::mutex failing{};
    size_t failed_index = 0;
    std::exception_ptr failure{};

    void call(size_t index, int thread) {
      try {
        work(index, thread);
      } catch (...) {
        const std::lock_guard lock(failing);
        if (failure && failed_index < index) return;
        failure = std::current_exception();
        failed_index = index;
      }
    }
  } loop{count, work, assign};
  Team::fork(
      &team_,
      [](void* context, int part, int parts) {
        Loop& l = *static_cast<Loop*>(context);
        if (l.assign == Assign::Static) {
          for (size_t i = static_cast<size_t>(part); i < l.count; i += static_cast<size_t>(parts)) l.call(i, part);
        } else {
          for (size_t i = l.next.fetch_add(1); i < l.count; i = l.next.fetch_add(1)) l.call(i, part);
        }
      },
      &loop);
  if (loop.failure) std::rethrow_exception(loop.failure);
}

}  // namespace cpuflow::rt
