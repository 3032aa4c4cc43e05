#include "runtime/data/bpe.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <queue>

namespace cpuflow::rt {
namespace {

constexpr uint64_t kEmpty = ~uint64_t{0};
constexpr size_t kShortWord = 48;  // up to here the quadratic search is faster than a queue

uint64_t pair_key(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }
size_t hash(uint64_t key) { return static_cast<size_t>((key * 0x9e3779b97f4a7c15u) >> 20); }

}  // namespace

void BpeModel::build() {
  byte_id.fill(-1);
  for (int byte = 0; byte < 256; ++byte) {
    const auto at = id_of.find(std::string(1, static_cast<char>(byte)));
    if (at != id_of.end()) byte_id[byte] = static_cast<int32_t>(at->second);
  }
  keys_.assign(std::bit_ceil(std::max<size_t>(16, merges.size() * 2)), kEmpty);
  values_.assign(keys_.size(), Merge{0, 0});
  for (uint32_t rank = 0; rank < merges.size(); ++rank) {
    const auto [left, right] = merges[rank];
    const uint64_t key = pair_key(left, right);
    size_t slot = hash(key) & (keys_.size() - 1);
    while (keys_[slot] != kEmpty && keys_[slot] != key) slot = (slot + 1) & (keys_.size() - 1);
    keys_[slot] = key;
    values_[slot] = {rank, id_of.at(tokens[left] + tokens[right])};
  }
}

const BpeModel::Merge* BpeModel::merge(uint32_t left, uint32_t right) const {
  const uint64_t key = pair_key(left, right);
  for (size_t slot = hash(key) & (keys_.size() - 1); keys_[slot] != kEmpty; slot = (slot + 1) & (keys_.size() - 1)) {
    if (keys_[slot] == key) return &values_[slot];
  }
  return nullptr;
}

size_t BpeModel::encode(std::string_view word, std::vector<uint32_t>& ids) const {
  if (ignore_merges) {
    const auto whole = id_of.find(std::string(word));
    if (whole != id_of.end()) {
      ids.push_back(whole->second);
      return 0;
    }
  }
  std::vector<uint32_t> symbols;
  symbols.reserve(word.size());
  size_t missing = 0;
  bool in_unknown = false;
  for (const char c : word) {
    const int32_t id = byte_id[static_cast<unsigned char>(c)];
    if (id >= 0) symbols.push_back(static_cast<uint32_t>(id));
    if (id < 0) {
      ++missing;
      if (unknown_id >= 0 && !(fuse_unknown && in_unknown)) symbols.push_back(static_cast<uint32_t>(unknown_id));
    }
    in_unknown = id < 0;
  }
  if (symbols.size() > kShortWord) {
    encode_long(symbols);
  } else {
    // The lowest rank first, the leftmost of equal ranks first.
    while (symbols.size() > 1) {
      const Merge* best = nullptr;
      size_t at = 0;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        const Merge* candidate = merge(symbols[i], symbols[i + 1]);
        if (candidate && (!best || candidate->rank < best->rank)) {
          best = candidate;
          at = i;
        }
      }
      if (!best) break;
      symbols[at] = best->id;
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
  return missing;
}

void BpeModel::encode_long(std::vector<uint32_t>& symbols) const {
  struct Candidate {
    uint32_t rank;
    size_t at;
    uint32_t left, right;
    bool operator>(const Candidate& other) const { return std::pair(rank, at) > std::pair(other.rank, other.at); }
  };
  const size_t end = symbols.size();
  std::vector<size_t> next(end), previous(end);
  std::vector<bool> gone(end, false);
  for (size_t i = 0; i < end; ++i) {
    next[i] = i + 1;
    previous[i] = i == 0 ? end : i - 1;
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](size_t at) {
    if (at >= end || next[at] >= end) return;
    const uint32_t left = symbols[at], right = symbols[next[at]];
    if (const Merge* found = merge(left, right)) queue.push({found->rank, at, left, right});
  };
  for (size_t i = 0; i < end; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    // An entry is stale once one of its two symbols has taken part in another merge.
    if (gone[top.at] || next[top.at] >= end || symbols[top.at] != top.left || symbols[next[top.at]] != top.right) continue;
    const size_t removed = next[top.at];
    symbols[top.at] = merge(top.left, top.right)->id;
    gone[removed] = true;
    next[top.at] = next[removed];
    if (next[removed] < end) previous[next[removed]] = top.at;
    consider(top.at);
    consider(previous[top.at]);
  }
  size_t kept = 0;
  for (size_t i = 0; i < end; ++i) {
    if (!gone[i]) symbols[kept++] = symbols[i];
  }
  symbols.resize(kept);
}

const std::array<std::string, 256>& byte_characters() {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> out;
    uint32_t next = 256;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      const uint32_t code = printable ? byte : next++;
      if (code < 0x80) {
        out[byte] = static_cast<char>(code);
      } else {
        out[byte] = {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
      }
    }
    return out;
  }();
  return table;
}

bool bytes_of_characters(std::string_view characters, std::string& bytes) {
  static const std::unordered_map<std::string, char> byte_of = [] {
    std::unordered_map<std::string, char> out;
    for (int byte = 0; byte < 256; ++byte) out[byte_characters()[byte]] = static_cast<char>(byte);
    return out;
  }();
  bytes.clear();
  for (size_t i = 0; i < characters.size();) {
    const size_t length = static_cast<unsigned char>(characters[i]) < 0x80 ? 1 : 2;
    const auto at = byte_of.find(std::string(characters.substr(i, length)));
    if (at == byte_of.end()) return false;
    bytes += at->second;
    i += length;
  }
  return true;
}

std::string characters_of_bytes(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += byte_characters()[static_cast<unsigned char>(c)];
  return out;
}

}  // namespace cpuflow::rt
