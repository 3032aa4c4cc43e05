#pragma once
#include "ir/axis.h"
#include "ir/source_loc.h"

#include <cctype>
#include <charconv>
#include <memory>
#include <string>

namespace cpuflow::ir {

/// The position of the `#` that begins a comment: outside of quotes; npos if there is none.
size_t comment_start(const std::string& line);
std::string trimmed(const std::string& text);
/// The text in quotes, as LineScanner::string() reads it.
std::string quoted(const std::string& text);

/// Reads the words of one line of a text form after the other.  What does not fit throws ModelError with path, line and column.
class LineScanner {
 protected:
  LineScanner(const std::string& text, const std::string& path)
      : source_(std::make_shared<const SourceText>(SourceText{path, text})), text_(source_->text) {}

  /// Calls f for each line, with `rest_` as what stands behind its `#`.
  template <class F>
  void each_line(F f) {
    for (size_t begin = 0; begin < text_.size();) {
      size_t end = std::min(text_.find('\n', begin), text_.size());
      const std::string whole = text_.substr(begin, end - begin);
      const size_t hash = comment_start(whole);
      rest_ = hash == std::string::npos ? "" : trimmed(whole.substr(hash + 1));
      at_ = begin;
      end_ = begin + std::min(hash, whole.size());
      f();
      begin = end + 1;
    }
  }

  [[noreturn]] void fail(size_t offset, const std::string& message, size_t length) const;
  [[noreturn]] void expected(const std::string& what);
  void skip();
  bool at_end() { return skip(), at_ == end_; }
  bool accept(char c);
  void take(char c);
  std::string word(const char* what);
  /// Whether the word stands here; it is read then.
  bool accept_word(const char* word);
  void take_word(const char* word);
  template <class T>
  T number(const char* what) {
    skip();
    T v{};
    auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + end_, v);
    if (error != std::errc()) expected(what);
    at_ = static_cast<size_t>(end - text_.data());
    return v;
  }
  std::string string();
  template <class F>
  void list(F item) {
    take('[');
    if (accept(']')) return;
    do item();
    while (accept(','));
    if (!accept(']')) expected("',' or ']'");
  }
  Axis axis();
  Axes axes();

  std::shared_ptr<const SourceText> source_;
  const std::string& text_;
  size_t at_ = 0, end_ = 0;
  std::string rest_;
};

}  // namespace cpuflow::ir
