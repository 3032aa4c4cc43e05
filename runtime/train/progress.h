#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/train/metrics.h"

namespace cpuflow::rt {

/// Told what a run does; called from the thread that trains.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  virtual void step(const StepReport&) {}
  virtual void evaluation(const EvalReport&) {}
  virtual void saved(int64_t /*step*/, const std::string& /*folder*/) {}
  /// One line of text for people: memory, resumed, damaged checkpoints, failed saves.
  virtual void note(const std::string&) {}
};

/// How an output shows text.
struct Terminal {
  bool live = false;    // a line can be rewritten: a terminal, and TERM is not "dumb"
  bool colour = false;  // live, and NO_COLOR is not set
  int columns = 80;     // COLUMNS, or the terminal's width
  /// Of a file descriptor and the environment.
  static Terminal of(int descriptor);
};

/// Progress as text.  Live: one line that is rewritten; otherwise a line every `seconds`, the first and the last step included.
class ProgressText : public ProgressSink {
 public:
  /// `write` gets text that is to appear at once.
  ProgressText(const codegen::Manifest& manifest, Terminal terminal, std::function<void(std::string_view)> write, double seconds = 10);
  ~ProgressText() override;
  void step(const StepReport& report) override;
  void evaluation(const EvalReport& report) override;
  void note(const std::string& text) override;

 private:
  std::string text_of(const StepReport& report) const;
  void finish_line();

  std::vector<std::string> terms_, watch_;
  int64_t cross_entropy_ = -1;
  Terminal terminal_;
  std::function<void(std::string_view)> write_;
  double seconds_;
  bool open_line_ = false;  // a live line is on the screen
  std::string pending_;     // the last step's line, where it has not been written
  std::chrono::steady_clock::time_point last_;
  bool any_ = false;
};

/// "1.2 M", "830 k", "95"; powers of 1000.
std::string short_count(double value);
/// "1h 04m", "3m 20s", "12s".
std::string short_time(double seconds);

}  // namespace cpuflow::rt
