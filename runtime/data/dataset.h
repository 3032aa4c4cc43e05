#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/tokenizer.h"

namespace cpuflow::rt {

inline constexpr std::string_view kDefaultSeparator = "<|endoftext|>";

/// The documents of text files: what stands between separators, stripped of ASCII white space at both ends, empty ones dropped.
/// A file's end also ends a document.  Bytes are bytes: text need not be valid UTF-8.
struct Documents {
  std::vector<std::shared_ptr<const std::string>> files;  // what the views point into: all bytes of each
  std::vector<std::string_view> texts;
  uint64_t bytes = 0;  // of all texts
};

/// Throws FileError (missing, a folder, no permission), or DataError when there is no document at all or the separator is empty; `use` says
/// there what the text is for.
Documents read_documents(const std::vector<std::string>& paths, std::string_view separator = kDefaultSeparator, std::string_view use = "to train on");
/// The same for text that is in memory; `name` stands for the file in messages.
Documents split_documents(std::string text, std::string_view separator, const std::string& name);

/// Documents to train on and documents to evaluate on, with the rule that told them apart, to be printed.
struct HeldOut {
  std::vector<std::string_view> train, valid;
  std::string rule;
};

/// Holds out the documents whose text hashes (XXH64) to less than 5 modulo 100: a document's side depends on its text only, so it
/// stays where it is when data is added, and copies of it stay together.  From 20 documents on at least one is held out.  Of fewer, none of
/// which would be, the end of the largest is, if that has 20,000 bytes.
HeldOut hold_out(const Documents& documents);

/// Token ids, two bytes each where they fit.
class TokenIds {
 public:
  uint64_t size() const { return wide_.empty() ? narrow_.size() : wide_.size(); }
  uint32_t operator[](uint64_t i) const { return wide_.empty() ? narrow_[i] : wide_[i]; }
  void append(uint32_t id);
  void append(const std::vector<uint32_t>& ids) {
    for (const uint32_t id : ids) append(id);
  }
  /// Copies ids begin .. begin + count - 1.
  void copy(uint64_t begin, uint64_t count, int32_t* out) const;

 private:
  std::vector<uint16_t> narrow_;
  std::vector<uint32_t> wide_;  // all of them, once one does not fit into 16 bits
};

/// One stream of ids and what is known of the text it came from.
struct TokenData {
  std::string name;  // the file or files, for messages
  TokenIds ids;
  uint64_t documents = 0;      // 0: unknown
  uint64_t bytes = 0;          // of the documents' text, without separators; 0: unknown.  bits per byte = nats * ids / (ln 2 * bytes)
  uint64_t dropped_bytes = 0;  // bytes for which the tokenizer has no token
};

/// Encodes every document on its own and puts `end_id` after each.
TokenData encode_documents(const std::vector<std::string_view>& texts, const Tokenizer& tokenizer, uint32_t end_id, const std::string& name,
                           bool allow_special = false);

/// Reads a file of ids: raw little-endian uint16 (or uint32 with `wide`), a one-dimensional .npy of uint16 or uint32, or a file
/// with the 1024-byte header of llm.c (magic 20240520, versions 1 and 2).  Throws FileError, or DataError that names the first id that is
/// not below `vocab` and its position (`vocab` 0: any id is allowed).
TokenData read_token_file(const std::string& path, uint32_t vocab, bool wide = false);
/// Whether raw files of the ids of so large a vocabulary hold uint32.
constexpr bool has_wide_ids(uint32_t vocab) { return vocab > 0x10000; }
/// Writes raw little-endian ids, uint16 where `vocab` allows it, uint32 otherwise.
void write_token_file(const std::string& path, const TokenIds& ids, uint32_t vocab);

/// Text bytes that the ids stand for, end-of-document tokens left out: TokenData::bytes for ids that were read from a file.
uint64_t count_text_bytes(const TokenIds& ids, const Tokenizer& tokenizer);

/// Throws DataError when the model's vocabulary `V` has no room for the tokenizer's ids.
void check_vocabulary(const Tokenizer& tokenizer, const std::string& tokenizer_name, uint32_t V);

}  // namespace cpuflow::rt
