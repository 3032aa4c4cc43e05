#include "ir/line_scanner.h"

#include "ir/diagnostics.h"

#include <fmt/format.h>

namespace cpuflow::ir {

size_t comment_start(const std::string& line) {
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (quoted && line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == '#' && !quoted) {
      return i;
    }
  }
  return std::string::npos;
}

std::string trimmed(const std::string& s) {
  const size_t a = s.find_first_not_of(" \t\r"), b = s.find_last_not_of(" \t\r");
  return a == std::string::npos ? "" : s.substr(a, b - a + 1);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? "\\n" : std::string(1, c);
  }
  return out + '"';
}

void LineScanner::fail(size_t offset, const std::string& message, size_t length) const {
  Diagnostics d;
  SourceLoc loc;
  loc.source = source_;
  loc.offset = static_cast<uint32_t>(offset);
  loc.length = static_cast<uint32_t>(length);
  d.error(loc, message);
  throw ModelError(d.format());
}

void LineScanner::expected(const std::string& what) {
  skip();
  size_t end = at_;
  while (end < end_ && (std::isalnum(static_cast<unsigned char>(text_[end])) || text_[end] == '_')) ++end;
  if (end == at_ && at_ < end_) ++end;
  const std::string found = at_ == end_ ? "the end of the line" : "'" + text_.substr(at_, end - at_) + "'";
  fail(at_, fmt::format("expected {}, found {}", what, found), std::max<size_t>(1, end - at_));
}


void LineScanner::skip() {
  while (at_ < end_ && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
}

bool LineScanner::accept(char c) {
  skip();
  if (at_ >= end_ || text_[at_] != c) return false;
  ++at_;
  return true;
}

void LineScanner::take(char c) {
  if (!accept(c)) expected(fmt::format("'{}'", c));
}

std::string LineScanner::word(const char* what) {
  skip();
  const size_t begin = at_;
  while (at_ < end_ && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) ++at_;
  if (begin == at_) expected(what);
  return text_.substr(begin, at_ - begin);
}

bool LineScanner::accept_word(const char* word) {
  skip();
  const std::string wanted = word;
  if (at_ + wanted.size() > end_ || text_.compare(at_, wanted.size(), wanted) != 0) return false;
  const size_t behind = at_ + wanted.size();
  if (behind < end_ && (std::isalnum(static_cast<unsigned char>(text_[behind])) || text_[behind] == '_')) return false;
  at_ = behind;
  return true;
}

void LineScanner::take_word(const char* word) {
  if (!accept_word(word)) expected(fmt::format("'{}'", word));
}

std::string LineScanner::string() {
  take('"');
  std::string out;
  while (at_ < end_ && text_[at_] != '"') {
    if (text_[at_] == '\\' && at_ + 1 < end_) {
      ++at_;
      out += text_[at_] == 'n' ? '\n' : text_[at_];
    } else {
      out += text_[at_];
    }
    ++at_;
  }
  take('"');
  return out;
}

Axis LineScanner::axis() {
  skip();
  const std::string_view letters = "bltf";
  const size_t kind = at_ < end_ ? letters.find(text_[at_]) : std::string_view::npos;
  if (kind == std::string_view::npos) expected("an axis such as t0:256 (b, l, t or f; ordinal; size)");
  ++at_;
  Axis a;
  a.kind = static_cast<AxisKind>(kind);
  a.ordinal = number<uint16_t>("the ordinal of an axis");
  take(':');
  a.size = number<uint32_t>("the size of an axis");
  return a;
}

Axes LineScanner::axes() {
  Axes all;
  list([&] { all.push_back(axis()); });
  return all;
}

}  // namespace cpuflow::ir
