#include "runtime/data/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include "runtime/data/data_error.h"

namespace cpuflow::rt {
namespace {

/// Characters of words to Oniguruma, whose expressions tokenizer.json holds: with marks and connectors.
constexpr std::string_view kWord = "\\p{L}\\p{M}\\p{N}\\p{Pc}";

/// What an escape means where it means something else to PCRE2; "" elsewhere.
std::string meaning_of(char escaped, bool in_class, const std::string& pattern) {
  switch (escaped) {
    case 's':  // without U+180E
      return "\\p{White_Space}";
    case 'S':
      return "\\P{White_Space}";
    case 'w':
      return in_class ? std::string(kWord) : fmt::format("[{}]", kWord);
    case 'W':
      if (in_class) throw DataError(fmt::format("regular expression '{}': \\W within [..] is not supported", pattern));
      return fmt::format("[^{}]", kWord);
    case 'h':
      return in_class ? "0-9a-fA-F" : "[0-9a-fA-F]";
    case 'b':
    case 'B':
      if (in_class) return "";
      return fmt::format("(?{0}(?<=[{1}])(?![{1}])|(?<![{1}])(?=[{1}]))", escaped == 'b' ? ":" : "!", kWord);
    default:
      return "";
  }
}

/// An expression of Oniguruma (Ruby's syntax) as one of PCRE2.  Throws DataError for what has no counterpart here.
std::string translate(const std::string& pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      const std::string meaning = meaning_of(escaped, in_class, pattern);
      out += meaning.empty() ? std::string{'\\', escaped} : meaning;
      continue;
    }
    if (const size_t end = pattern.find(":]", i); in_class && pattern.compare(i, 2, "[:") == 0 && end != std::string::npos) {
      out += pattern.substr(i, end + 2 - i);
      i = end + 1;
      continue;
    }
    if (in_class && (c == '[' || pattern.compare(i, 2, "&&") == 0)) {
      throw DataError(fmt::format("regular expression '{}', byte {}: a class within a class, or the common part of two, is not supported", pattern, i));
    }
    out += c;
    if (c == '[' && !in_class) {
      in_class = true;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += "\\]", ++i;
    } else if (c == ']') {
      in_class = false;
    }
  }
  return out;
}

std::string pcre_message(int code) {
  PCRE2_UCHAR text[200];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Regex::Compiled {
  pcre2_code* code = nullptr;
  pcre2_match_data* match = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;
  ~Compiled() {
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
    pcre2_code_free(code);
  }
};

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Regex::Regex(const std::string& pattern) : compiled_(std::make_unique<Compiled>()) {
  Compiled& c = *compiled_;
  const std::string translated = translate(pattern);
  int error = 0;
  PCRE2_SIZE position = 0;
  c.code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                         PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &position, nullptr);
  if (!c.code) throw DataError(fmt::format("regular expression '{}', byte {}: {}", translated, position, pcre_message(error)));
  c.match = pcre2_match_data_create_from_pattern(c.code, nullptr);
  c.context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(c.context, 50'000'000);
  pcre2_set_heap_limit(c.context, 256 << 10);  // kilobytes
  // Without a JIT in this PCRE2 the interpreter does the same, slower.
  if (pcre2_jit_compile(c.code, PCRE2_JIT_COMPLETE) == 0) {
    c.stack = pcre2_jit_stack_create(32 << 10, 64 << 20, nullptr);
    pcre2_jit_stack_assign(c.context, nullptr, c.stack);
  }
}

bool Regex::find(std::string_view text, size_t start, size_t& begin, size_t& end) const {
  const Compiled& c = *compiled_;
  const int found =
      pcre2_match(c.code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start, PCRE2_NO_UTF_CHECK, c.match, c.context);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) throw DataError(fmt::format("splitting text into words failed at byte {}: {}", start, pcre_message(found)));
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(c.match);
  begin = range[0];
  end = range[1];
  return true;
}

size_t valid_utf8_prefix(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const size_t size = text.size();
  size_t i = 0;
  while (i < size) {
    const unsigned char lead = p[i];
    if (lead < 0x80) {
      ++i;
      continue;
    }
    size_t more;
    unsigned char low = 0x80, high = 0xbf;  // bounds of the second byte
    if (lead >= 0xc2 && lead <= 0xdf) {
      more = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return i;
    }
    if (i + more >= size) return i;
    if (p[i + 1] < low || p[i + 1] > high) return i;
    for (size_t k = 2; k <= more; ++k) {
      if ((p[i + k] & 0xc0) != 0x80) return i;
    }
    i += more + 1;
  }
  return i;
}

}  // namespace cpuflow::rt
