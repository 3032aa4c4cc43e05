#pragma once
#include <string>
#include <string_view>

namespace cpuflow::rt {

/// Bytes of tokens on their way to a reader: gives out whole UTF-8 characters only.  Bytes that cannot become one are given out as they
/// are, as soon as that is certain.
class Utf8Stream {
 public:
  /// What can be shown after `bytes` arrived.
  std::string feed(std::string_view bytes);
  /// What is left at the end, an unfinished character.
  std::string finish();

 private:
  std::string held_;
};

}  // namespace cpuflow::rt
