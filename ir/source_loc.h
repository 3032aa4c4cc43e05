#pragma once
#include <cstdint>
#include <memory>
#include <string>

namespace cpuflow::ir {

/// The text of a file that errors point into.
struct SourceText {
  std::string path;
  std::string text;
  bool library = false;  // of cpuflowc itself, not of the model
};

/// A range of bytes in a source text.  `line` and `column` count from 1; columns count Unicode code points.
struct SourceLoc {
  std::shared_ptr<const SourceText> source;  // null: the place is unknown
  uint32_t offset = 0;                       // first byte
  uint32_t length = 0;                       // bytes
  bool known() const { return source != nullptr; }
  uint32_t line() const;
  uint32_t column() const;
  /// `path:line:column`
  std::string str() const;
  /// The bytes of the range.
  std::string text() const;
  /// The first line of the range, printable; of more than `most` bytes, at most as many with `...` at the end.
  std::string first_line(size_t most = std::string::npos) const;
};

/// The text with `?` for control characters but tabs: a terminal would obey them, and compilers end a comment at some.
std::string printable(std::string text);

}  // namespace cpuflow::ir
