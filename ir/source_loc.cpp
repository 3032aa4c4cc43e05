#include "ir/source_loc.h"

#include <algorithm>
#include <string_view>

namespace cpuflow::ir {

namespace {

/// The source's bytes before `offset`.
std::string_view before(const SourceLoc& loc) {
  std::string_view text = loc.source->text;
  return text.substr(0, std::min<size_t>(loc.offset, text.size()));
}

}  // namespace

uint32_t SourceLoc::line() const {
  if (!known()) return 0;
  std::string_view head = before(*this);
  return 1 + static_cast<uint32_t>(std::count(head.begin(), head.end(), '\n'));
}

uint32_t SourceLoc::column() const {
  if (!known()) return 0;
  std::string_view head = before(*this);
  size_t newline = head.rfind('\n');
  if (newline != std::string_view::npos) head.remove_prefix(newline + 1);
  // Continuation bytes of UTF-8 (10xxxxxx) do not start a code point.
  return 1 + static_cast<uint32_t>(std::count_if(head.begin(), head.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string SourceLoc::str() const {
  if (!known()) return "?";
  return source->path + ":" + std::to_string(line()) + ":" + std::to_string(column());
}

std::string SourceLoc::text() const {
  if (!known() || offset >= source->text.size()) return "";
  return source->text.substr(offset, length);
}

std::string SourceLoc::first_line(size_t most) const {
  std::string line = text();
  line.resize(std::min(line.find('\n'), line.size()));
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line.size() > most) {
    size_t cut = most - 3;
    while (cut > 0 && (line[cut] & 0xC0) == 0x80) --cut;
    line = line.substr(0, cut) + "...";
  }
  return printable(std::move(line));
}

std::string printable(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f; }, '?');
  return text;
}

}  // namespace cpuflow::ir
