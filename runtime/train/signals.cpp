#include "runtime/train/signals.h"

#include <cstdint>
#include <ctime>

namespace cpuflow::rt {
namespace {

std::atomic<int> stop_signal{0};
std::atomic<int64_t> first_interrupt{0};  // nanoseconds
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free, "the handler may run at any moment");

int64_t nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void take_note(int number) {
  constexpr int64_t kOnePress = 1'000'000'000;  // a shell and a wrapper may both pass one Ctrl-C on
  if (number == SIGINT && stop_signal.load() == SIGINT) {
    if (nanoseconds() - first_interrupt.load() < kOnePress) return;
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
    return;
  }
  if (number == SIGINT) first_interrupt.store(nanoseconds());
  stop_signal.store(number);
}

}  // namespace

StopSignals::StopSignals() {
  stop_signal.store(0);
  struct sigaction action {};
  action.sa_handler = take_note;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, &terminate_);
  sigaction(SIGINT, &action, &interrupt_);
  sigaction(SIGHUP, &action, &hang_up_);
  if (hang_up_.sa_handler == SIG_IGN) sigaction(SIGHUP, &hang_up_, nullptr);  // nohup
}

StopSignals::~StopSignals() {
  sigaction(SIGTERM, &terminate_, nullptr);
  sigaction(SIGINT, &interrupt_, nullptr);
  sigaction(SIGHUP, &hang_up_, nullptr);
}

const std::atomic<int>& StopSignals::flag() { return stop_signal; }

IgnoredSignal::IgnoredSignal(int number) : number_(number) {
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  sigemptyset(&action.sa_mask);
  sigaction(number_, &action, &before_);
}

IgnoredSignal::~IgnoredSignal() { sigaction(number_, &before_, nullptr); }

}  // namespace cpuflow::rt
