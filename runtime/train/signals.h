#pragma once
#include <atomic>
#include <csignal>

namespace cpuflow::rt {

/// While one of these exists, SIGINT, SIGTERM and SIGHUP set a flag instead of ending the process.  A second SIGINT, a second later or more, ends it at
/// once.
/// Only one at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  /// The signal that came, or 0.
  static const std::atomic<int>& flag();

 private:
  struct sigaction interrupt_ {
  }, terminate_{}, hang_up_{};  // what was there before
};

/// Ignores a signal while it exists; SIGXFSZ then becomes an error of write().
class IgnoredSignal {
 public:
  explicit IgnoredSignal(int number);
  ~IgnoredSignal();
  IgnoredSignal(const IgnoredSignal&) = delete;
  IgnoredSignal& operator=(const IgnoredSignal&) = delete;

 private:
  int number_;
  struct sigaction before_ {};
};

}  // namespace cpuflow::rt
