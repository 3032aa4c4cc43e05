#include "runtime/data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <limits>

#include "runtime/atomic_file.h"

namespace cpuflow::rt {
namespace {

constexpr uint64_t kHeldOutPercent = 5;
constexpr size_t kHoldOutFrom = 20;      // documents
constexpr size_t kHoldOutBytes = 20000;  // of one of fewer documents

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// Returns how many bytes of text there are: a byte-order mark is none.
size_t add_documents(const std::shared_ptr<const std::string>& file, std::string_view separator, Documents& out) {
  if (separator.empty()) throw DataError("the separator between documents must not be empty");
  std::string_view text = *file;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    std::string_view document = text.substr(begin, end - begin);
    while (!document.empty() && is_space(document.front())) document.remove_prefix(1);
    while (!document.empty() && is_space(document.back())) document.remove_suffix(1);
    if (!document.empty()) {
      out.texts.push_back(document);
      out.bytes += document.size();
    }
    begin = end + separator.size();
  }
  out.files.push_back(file);
  return text.size();
}

}  // namespace

Documents read_documents(const std::vector<std::string>& paths, std::string_view separator, std::string_view use) {
  Documents out;
  uint64_t bytes = 0;
  for (const std::string& path : paths) {
    bytes += add_documents(std::make_shared<const std::string>(read_file(path)), separator, out);
  }
  if (out.texts.empty()) {
    throw DataError(fmt::format("{}: no text {}: {} bytes, and nothing but white space and '{}' in them; give a file with text",
                                fmt::join(paths, ", "), use, bytes, separator));
  }
  return out;
}

Documents split_documents(std::string text, std::string_view separator, const std::string& name) {
  Documents out;
  add_documents(std::make_shared<const std::string>(std::move(text)), separator, out);
  if (out.texts.empty()) throw DataError(fmt::format("{}: no text in it; give a file with text", name));
  return out;
}

namespace {

/// Of few documents the end of the largest, from where a line (a word, where there is no line) begins behind 95 of its 100 parts on.
HeldOut hold_out_end(const std::vector<std::string_view>& texts) {
  HeldOut out;
  out.train = texts;
  std::string_view& largest = *std::max_element(out.train.begin(), out.train.end(), [](std::string_view a, std::string_view b) { return a.size() < b.size(); });
  const size_t least = largest.size() / 100 * (100 - kHeldOutPercent), line = largest.find('\n', least);
  const auto space = std::find_if(largest.begin() + static_cast<std::ptrdiff_t>(least), largest.end(), is_space);
  const size_t begin = line != std::string_view::npos ? line + 1 : space != largest.end() ? static_cast<size_t>(space - largest.begin()) + 1 : largest.size();
  const std::string of = texts.size() == 1 ? "the one document" : fmt::format("the largest of {} documents", texts.size());
  if (begin == largest.size()) {
    out.rule = fmt::format("held out: nothing of {}, whose end is one word; evaluate on a file of your own (--valid FILE)", of);
    return out;
  }
  out.rule = fmt::format("held out: the end of {}, from byte {} of {} on", of, begin, largest.size());
  out.valid.push_back(largest.substr(begin));
  largest = largest.substr(0, begin);
  return out;
}

}  // namespace

HeldOut hold_out(const Documents& documents) {
  HeldOut out;
  std::string_view smallest;
  uint64_t smallest_hash = std::numeric_limits<uint64_t>::max();
  for (const std::string_view text : documents.texts) {
    const uint64_t hash = XXH64(text.data(), text.size(), 0);
    const bool held = hash % 100 < kHeldOutPercent;
    (held ? out.valid : out.train).push_back(text);
    if (hash < smallest_hash) {
      smallest_hash = hash;
      smallest = text;
    }
  }
  const bool few = documents.texts.size() < kHoldOutFrom, enough = std::any_of(documents.texts.begin(), documents.texts.end(), [](std::string_view text) { return text.size() >= kHoldOutBytes; });
  if (few && enough && (out.valid.empty() || out.train.empty())) return hold_out_end(documents.texts);
  out.rule = fmt::format("held out: documents whose XXH64 modulo 100 is below {}", kHeldOutPercent);
  if (out.train.empty()) {
    out.train.swap(out.valid);
    out.rule += fmt::format("; all {} would be, so none is", out.train.size());
  } else if (out.valid.empty() && documents.texts.size() >= kHoldOutFrom) {
    out.train.erase(std::remove(out.train.begin(), out.train.end(), smallest), out.train.end());
    if (out.train.empty()) {
      out.train = documents.texts;
      out.rule += "; all documents are the same, so none is";
    } else {
      out.valid.push_back(smallest);
      out.rule += "; there is none, so the one with the smallest hash is taken";
    }
  }
  out.rule += fmt::format(" ({} of {})", out.valid.size(), documents.texts.size());
  if (out.valid.empty()) out.rule += "; evaluate on a file of your own (--valid FILE)";
  return out;
}

void TokenIds::append(uint32_t id) {
  if (wide_.empty() && id <= 0xffff) {
    narrow_.push_back(static_cast<uint16_t>(id));
    return;
  }
  if (wide_.empty()) {
    wide_.assign(narrow_.begin(), narrow_.end());
    narrow_ = {};
  }
  wide_.push_back(id);
}

void TokenIds::copy(uint64_t begin, uint64_t count, int32_t* out) const {
  for (uint64_t i = 0; i < count; ++i) out[i] = static_cast<int32_t>((*this)[begin + i]);
}

TokenData encode_documents(const std::vector<std::string_view>& texts, const Tokenizer& tokenizer, uint32_t end_id, const std::string& name,
                           bool allow_special) {
  TokenData out;
  out.name = name;
  std::vector<uint32_t> ids;
  for (const std::string_view text : texts) {
    ids.clear();
    out.dropped_bytes += tokenizer.encode(text, ids, allow_special);
    ids.push_back(end_id);
    out.ids.append(ids);
    out.bytes += text.size();
  }
  out.documents = texts.size();
  return out;
}

uint64_t count_text_bytes(const TokenIds& ids, const Tokenizer& tokenizer) {
  const auto end = tokenizer.end_of_document();
  uint64_t bytes = 0;
  bool starts = true;
  for (uint64_t i = 0; i < ids.size(); ++i) {
    if (end && ids[i] == *end) {
      starts = true;
      continue;
    }
    const std::string& token = tokenizer.token_bytes(ids[i]);
    bytes += token.size();
    // The space that the tokenizer put before the document is not text.
    if (starts && tokenizer.adds_prefix_space() && !token.empty() && token[0] == ' ') --bytes;
    starts = false;
  }
  return bytes;
}

void check_vocabulary(const Tokenizer& tokenizer, const std::string& tokenizer_name, uint32_t V) {
  if (tokenizer.vocab_size() > V) {
    throw DataError(
        fmt::format("{}: the tokenizer has {} ids, and the model's vocabulary V is {}; set V = {} in the model file (or --set V={}), "
                    "or train a tokenizer of at most {}",
                    tokenizer_name, tokenizer.vocab_size(), V, tokenizer.vocab_size(), tokenizer.vocab_size(), V));
  }
}

}  // namespace cpuflow::rt
