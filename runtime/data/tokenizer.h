#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/data/bpe.h"
#include "runtime/data/data_error.h"
#include "runtime/data/pretokenizer.h"

namespace cpuflow::rt {

/// A string that is one id wherever it is recognised, such as `<|endoftext|>`.
struct AddedToken {
  uint32_t id = 0;
  std::string content;
  bool special = true;  // recognised in text only where encode() is told so; the others always are
};

/// Byte-level BPE with the meaning of a Hugging Face tokenizer.json.
class Tokenizer {
 public:
  /// Throws FileError, or DataError that names the file and the JSON path of what is wrong or not supported.
  static Tokenizer load(const std::string& path);
  /// `name` stands for the file in messages.
  static Tokenizer from_json(const nlohmann::json& json, const std::string& name);
  /// A new vocabulary: `tokens[i]` has id i, the added tokens come first; used by train_bpe().
  static Tokenizer from_parts(BpeModel model, std::vector<AddedToken> added, const nlohmann::json& pre_tokenizer);

  nlohmann::ordered_json to_json() const;
  /// Writes a tokenizer.json that Hugging Face tokenizers loads, atomically.
  void save(const std::string& path) const;

  /// Largest id + 1: the smallest V of a model that uses this tokenizer.
  uint32_t vocab_size() const { return static_cast<uint32_t>(model_.tokens.size()); }
  /// Whether a space is put before text that does not begin with one; decode() then gives that space back.
  bool adds_prefix_space() const { return pre_tokenizer_->adds_prefix_space(); }
  const std::vector<AddedToken>& added_tokens() const { return added_; }
  std::optional<uint32_t> id_of_added(std::string_view content) const;
  /// The id that ends a document: of `<|endoftext|>`, `<eos>`, `</s>`, `<|end_of_text|>` or `<|eos|>`, in this order.
  std::optional<uint32_t> end_of_document() const;
  /// The bytes for which there is no token; encode() drops them.
  std::vector<uint8_t> missing_bytes() const;

  /// Appends the ids of `text` (any bytes; what is not UTF-8 becomes byte tokens).  With `allow_special`, special strings in it become
  /// their ids; otherwise they are plain text.  Returns how many bytes had no token and were dropped.  Thread safe.
  size_t encode(std::string_view text, std::vector<uint32_t>& ids, bool allow_special = false) const;
  std::vector<uint32_t> encode(std::string_view text, bool allow_special = false) const;

  /// The bytes of one token; throws DataError for an id outside the vocabulary.
  const std::string& token_bytes(uint32_t id) const;
  /// Concatenated bytes; a token may end inside a UTF-8 character.
  std::string decode(const std::vector<uint32_t>& ids) const;

 private:
  struct Cache;
  Tokenizer();
  size_t encode_plain(std::string_view text, std::vector<uint32_t>& ids) const;

  BpeModel model_;
  std::vector<AddedToken> added_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  nlohmann::ordered_json kept_;  // the parts of the file that encode() does not need, and pre_tokenizer, to be written again
  std::shared_ptr<Cache> cache_;
};

}  // namespace cpuflow::rt
