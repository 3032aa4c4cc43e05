#include "runtime/team.h"

namespace cpuflow::rt {
namespace {

/// Returns when `value` is no longer `old`: first watches it, then sleeps.
template <class T>
void wait_while(const std::atomic<T>& value, T old) {
  constexpr int kWatched = 4000;  // some ten microseconds: longer than what lies between two products
  for (int i = 0; i < kWatched; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    __builtin_ia32_pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

Team::Team(int threads) {
  for (int part = 1; part < threads; ++part) workers_.emplace_back([this, part] { work(part); });
}

Team::~Team() {
  stop_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Team::work(int part) {
  for (uint32_t seen = 0;; ++seen) {
    wait_while(round_, seen);
    if (stop_) return;
    body_(context_, part, size());
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

void Team::fork(void* team, void (*body)(void*, int, int), void* context) {
  Team& t = *static_cast<Team*>(team);
  const int others = static_cast<int>(t.workers_.size());
  t.body_ = body;
  t.context_ = context;
  t.running_.store(others, std::memory_order_relaxed);
  t.round_.fetch_add(1, std::memory_order_release);
  if (others > 0) t.round_.notify_all();
  body(context, 0, others + 1);
  for (int left = t.running_.load(std::memory_order_acquire); left > 0; left = t.running_.load(std::memory_order_acquire)) wait_while(t.running_, left);
}

}  // namespace cpuflow::rt
