#pragma once
#include <string>

namespace cpuflow::codegen {

/// Whether a parameter's name matches a pattern in which `*` stands for any characters (dots too) and `?` for one.
inline bool matches_pattern(const std::string& name, const std::string& pattern) {
  size_t n = 0, p = 0, star = std::string::npos, from = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace cpuflow::codegen
