#include "runtime/train/stop_strings.h"

#include <algorithm>
#include <utility>

namespace cpuflow::rt {

std::string StopStrings::feed(std::string_view text) {
  if (!found_.empty()) return "";
  held_ += text;
  size_t end = std::string::npos;
  for (const std::string& s : strings_) {
    const size_t at = s.empty() ? std::string::npos : held_.find(s);
    if (at == std::string::npos || at >= end) continue;
    end = at;
    found_ = s;
  }
  if (!found_.empty()) {
    held_.resize(end);
    return std::exchange(held_, "");
  }
  size_t keep = 0;  // the longest end of the text that begins a string
  for (const std::string& s : strings_) {
    for (size_t n = std::min(held_.size(), s.empty() ? 0 : s.size() - 1); n > keep; --n) {
      if (held_.ends_with(std::string_view(s).substr(0, n))) keep = n;
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return out;
}

std::string StopStrings::finish() { return std::exchange(held_, ""); }

}  // namespace cpuflow::rt
