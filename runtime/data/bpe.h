#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cpuflow::rt {

/// The vocabulary and merges of a byte-level BPE.  Tokens are kept as the bytes that they stand for.
struct BpeModel {
  std::vector<std::string> tokens;                    // by id; ids of added tokens that are not in the vocabulary are ""
  std::vector<std::pair<uint32_t, uint32_t>> merges;  // by rank
  std::unordered_map<std::string, uint32_t> id_of;    // bytes -> id
  std::array<int32_t, 256> byte_id{};                 // -1: this byte has no token
  bool ignore_merges = false;                         // a word that is a token is that token, whatever the merges say
  int32_t unknown_id = -1;                            // for a byte without a token; -1: it is dropped
  bool fuse_unknown = false;                          // one unknown_id for a run of such bytes

  /// Fills what encode() looks up.  Every merge must name tokens whose concatenation is a token.
  void build();
  /// Appends the ids of one word; returns the number of its bytes that have no token.
  size_t encode(std::string_view word, std::vector<uint32_t>& ids) const;

 private:
  struct Merge {
    uint32_t rank, id;
  };
  /// Rank and result of merging two neighbours, or null.
  const Merge* merge(uint32_t left, uint32_t right) const;
  void encode_long(std::vector<uint32_t>& symbols) const;

  std::vector<uint64_t> keys_;  // open addressing over left << 32 | right; ~0: empty
  std::vector<Merge> values_;
};

/// Byte-level alphabet: each byte as one printable character (a space is U+0120), in UTF-8.
const std::array<std::string, 256>& byte_characters();
/// The bytes that a token of a tokenizer.json stands for; false if a character is not of the alphabet.
bool bytes_of_characters(std::string_view characters, std::string& bytes);
std::string characters_of_bytes(std::string_view bytes);

}  // namespace cpuflow::rt
