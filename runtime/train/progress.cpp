#include "runtime/train/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace cpuflow::rt {
namespace {

std::string value_of(const char* name) {
  const char* text = std::getenv(name);
  return text ? text : "";
}

}  // namespace

std::string short_count(double value) {
  for (const auto& [unit, name] : {std::pair{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}}) {
    if (value >= 0.9995 * unit) return fmt::format("{:.3g}{}", value / unit, name);
  }
  return fmt::format("{:.3g}", value);
}

std::string short_time(double seconds) {
  const int64_t s = std::llround(std::max(0.0, std::min(seconds, 1e15)));
  if (s >= 3600) return fmt::format("{}h {:02}m", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{}m {:02}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

Terminal Terminal::of(int descriptor) {
  Terminal t;
  const std::string term = value_of("TERM");
  t.live = isatty(descriptor) == 1 && term != "dumb" && !term.empty();
  t.colour = t.live && value_of("NO_COLOR").empty();
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) t.columns = size.ws_col;
  if (const int columns = std::atoi(value_of("COLUMNS").c_str()); columns > 0) t.columns = columns;
  return t;
}

ProgressText::ProgressText(const codegen::Manifest& manifest, Terminal terminal, std::function<void(std::string_view)> write,
                           double seconds)
    : terms_(manifest.losses), watch_(manifest.watch), cross_entropy_(manifest.cross_entropy), terminal_(terminal), write_(std::move(write)), seconds_(seconds) {}

ProgressText::~ProgressText() {
  try {
    finish_line();
  } catch (...) {  // nobody reads any more
  }
}

std::string ProgressText::text_of(const StepReport& r) const {
  std::string text = r.steps > 0 ? fmt::format("step {}/{}", r.step + 1, r.steps) : fmt::format("step {}", r.step + 1);
  text += fmt::format("  {}tok/s  ", short_count(r.tokens_per_s).find(' ') == std::string::npos ? short_count(r.tokens_per_s) + " "
                                                                                                : short_count(r.tokens_per_s));
  if (!r.losses.empty()) {
    const size_t shown = cross_entropy_ < 0 ? 0 : static_cast<size_t>(cross_entropy_);
    text += fmt::format("{} {:.4f}  ", terms_[shown], r.losses[shown]);
    if (cross_entropy_ >= 0) text += fmt::format("ppl {:.4g}  ", std::exp(r.losses[shown]));
  }
  text += fmt::format("lr {:.3g}  grad {:.3g}", r.lr, r.grad_norm);
  if (r.seconds_left >= 0) text += fmt::format("  {} left", short_time(r.seconds_left));
  return text;
}

void ProgressText::step(const StepReport& r) {
  std::string text = text_of(r);
  if (terminal_.live) {
    // The last column stays free: a full line would wrap, and a wrapped line cannot be rewritten.
    if (text.size() >= static_cast<size_t>(terminal_.columns)) text.resize(static_cast<size_t>(std::max(1, terminal_.columns - 1)));
    write_(terminal_.colour ? fmt::format("\r\x1b[36m{}\x1b[0m\x1b[K", text) : fmt::format("\r{}\x1b[K", text));
    open_line_ = true;
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  pending_ = std::move(text);
  if (any_ && std::chrono::duration<double>(now - last_).count() < seconds_) return;
  any_ = true;
  last_ = now;
  write_(pending_ + "\n");
  pending_.clear();
}

void ProgressText::finish_line() {
  if (open_line_) write_("\n");
  open_line_ = false;
  if (!pending_.empty()) write_(pending_ + "\n");
  pending_.clear();
}

void ProgressText::evaluation(const EvalReport& r) {
  finish_line();
  std::string text = fmt::format("after {} steps, {} held-out windows:", r.step, r.values.windows);
  for (size_t i = 0; i < terms_.size() && i < r.values.losses.size(); ++i)
    text += fmt::format("  val {} {:.4f}", terms_[i], r.values.losses[i]);
  if (r.values.ppl > 0) text += fmt::format("  val ppl {:.4f}", r.values.ppl);
  if (r.values.bits_per_byte > 0) text += fmt::format("  bits/byte {:.4f}", r.values.bits_per_byte);
  for (size_t i = 0; i < watch_.size() && i < r.values.watch.size(); ++i) text += fmt::format("{}{} {:.4g}", i ? "  " : "\n  watch: ", watch_[i], r.values.watch[i]);
  write_(text + "\n");
}

void ProgressText::note(const std::string& text) {
  finish_line();
  write_(text + "\n");
}

}  // namespace cpuflow::rt
