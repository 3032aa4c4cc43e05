#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace cpuflow::rt {

/// A compiled Unicode regular expression (PCRE2, with its JIT where there is one) in the dialect of tokenizer files:
/// `\s` is the Unicode property White_Space.  One object may be used by one thread at a time.
class Regex {
 public:
  /// Throws DataError with the position of the mistake in the pattern.
  explicit Regex(const std::string& pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// The first match in `text`, which must be valid UTF-8, that begins at `start` or later.  Throws DataError when matching takes
  /// too many steps.
  bool find(std::string_view text, size_t start, size_t& begin, size_t& end) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

/// Length of the longest prefix that is valid UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
size_t valid_utf8_prefix(std::string_view text);

}  // namespace cpuflow::rt
