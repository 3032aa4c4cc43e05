#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace cpuflow::rt {

/// Text on its way to a reader that ends before the first of some strings: what may be the beginning of one is held back.
class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {}
  /// What can be shown after `text` arrived; nothing any more once found() holds.
  std::string feed(std::string_view text);
  /// What is left at the end.
  std::string finish();
  /// The string that ended the text, or "".
  const std::string& found() const { return found_; }

 private:
  std::vector<std::string> strings_;
  std::string held_, found_;
};

}  // namespace cpuflow::rt
