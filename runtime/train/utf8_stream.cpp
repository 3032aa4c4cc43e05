#include "runtime/train/utf8_stream.h"

#include <utility>

namespace cpuflow::rt {
namespace {

/// Length of the character that `lead` begins; 0 when no character begins with it.
size_t character_bytes(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  return lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
}

/// Bytes at the end of `text` that may be the beginning of a character.
size_t unfinished(const std::string& text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const unsigned char byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    return character_bytes(byte) > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::string Utf8Stream::feed(std::string_view bytes) {
  held_ += bytes;
  const size_t keep = unfinished(held_);
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string Utf8Stream::finish() { return std::exchange(held_, ""); }

}  // namespace cpuflow::rt
