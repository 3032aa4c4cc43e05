#pragma once
#include <atomic>
#include <chrono>

namespace cpuflow::rt {

/// Returns when `value` is no longer `old`; with `watch` it looks for 50 microseconds before it sleeps.  Who changes the value notifies.
/// Returns whether it slept.
template <class T>
bool wait_while(const std::atomic<T>& value, T old, bool watch) {
  constexpr auto kWatched = std::chrono::microseconds(50);
  constexpr int kLooks = 20;  // between two looks at the clock
  auto changed = [&] {
    for (int i = 0; i < kLooks; ++i) {
      if (value.load(std::memory_order_acquire) != old) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    return false;
  };
  if (watch) {
    if (changed()) return false;
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < kWatched) {
      if (changed()) return false;
    }
  }
  bool slept = false;
  for (; value.load(std::memory_order_acquire) == old; slept = true) value.wait(old, std::memory_order_acquire);
  return slept;
}

}  // namespace cpuflow::rt
