#include "runtime/data/bpe_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <unordered_set>

namespace cpuflow::rt {
namespace {

struct Word {
  std::vector<uint32_t> symbols;
  uint64_t count = 0;
};

struct PairState {
  int64_t count = 0;
  std::vector<uint32_t> words;  // where it has occurred, possibly no longer; a word may be listed twice
};

struct Candidate {
  int64_t count;
  uint64_t pair;  // left << 32 | right
  bool operator<(const Candidate& other) const { return count != other.count ? count < other.count : pair > other.pair; }
};

struct ViewHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

std::vector<Word> count_words(const std::vector<std::string_view>& documents, uint32_t first_byte) {
  const PreTokenizer pre_tokenizer(PreTokenizer::default_json());
  std::unordered_map<std::string, uint64_t, ViewHash, std::equal_to<>> counts;
  std::string buffer;
  std::vector<std::string_view> pieces;
  for (const std::string_view document : documents) {
    pieces.clear();
    pre_tokenizer.split(document, buffer, pieces);
    for (const std::string_view piece : pieces) {
      const auto at = counts.find(piece);
      if (at != counts.end()) {
        ++at->second;
      } else {
        counts.emplace(std::string(piece), 1);
      }
    }
  }
  std::vector<std::pair<std::string, uint64_t>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<Word> words;
  words.reserve(sorted.size());
  for (const auto& [text, count] : sorted) {
    Word word{{}, count};
    for (const char c : text) word.symbols.push_back(first_byte + static_cast<unsigned char>(c));
    words.push_back(std::move(word));
  }
  return words;
}

uint64_t key(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

}  // namespace

Tokenizer train_bpe(const std::vector<std::string_view>& documents, const BpeTrainerOptions& options) {
  BpeModel model;
  std::vector<AddedToken> added;
  for (const std::string& special : options.specials) {
    const bool again = std::any_of(added.begin(), added.end(), [&](const AddedToken& token) { return token.content == special; });
    if (special.empty() || again) throw DataError(fmt::format("special token '{}': each must be there once and not be empty", special));
    added.push_back({static_cast<uint32_t>(model.tokens.size()), special, true});
    model.tokens.push_back(special);
  }
  const auto first_byte = static_cast<uint32_t>(model.tokens.size());
  if (options.vocab_size < least_vocabulary(options)) {
    throw DataError(fmt::format("a vocabulary of {} is too small: {} special tokens and 256 bytes need {}", options.vocab_size, first_byte, least_vocabulary(options)));
  }
  for (int byte = 0; byte < 256; ++byte) {
    model.tokens.emplace_back(1, static_cast<char>(byte));
    model.id_of.emplace(model.tokens.back(), static_cast<uint32_t>(model.tokens.size() - 1));
  }

  std::vector<Word> words = count_words(documents, first_byte);
  std::unordered_map<uint64_t, PairState> pairs;
  for (uint32_t w = 0; w < words.size(); ++w) {
    const auto& symbols = words[w].symbols;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      PairState& state = pairs[key(symbols[i], symbols[i + 1])];
      state.count += static_cast<int64_t>(words[w].count);
      if (state.words.empty() || state.words.back() != w) state.words.push_back(w);
    }
  }
  std::priority_queue<Candidate> queue;
  const auto enough = [&](int64_t count) { return count >= static_cast<int64_t>(std::max<uint64_t>(options.min_count, 1)); };
  for (const auto& [pair, state] : pairs) {
    if (enough(state.count)) queue.push({state.count, pair});
  }

  while (model.tokens.size() < options.vocab_size && !queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    const auto current = pairs.find(top.pair);
    if (current == pairs.end() || !enough(current->second.count)) continue;
    if (current->second.count != top.count) {
      queue.push({current->second.count, top.pair});
      continue;
    }
    const auto left = static_cast<uint32_t>(top.pair >> 32), right = static_cast<uint32_t>(top.pair);
    std::string bytes = model.tokens[left] + model.tokens[right];
    if (model.id_of.count(bytes)) {  // two ways to the same bytes: the first one keeps the token
      pairs.erase(current);
      continue;
    }
    const auto merged = static_cast<uint32_t>(model.tokens.size());
    model.id_of.emplace(bytes, merged);
    model.tokens.push_back(std::move(bytes));
    model.merges.emplace_back(left, right);

    std::vector<uint32_t> where = std::move(current->second.words);
    pairs.erase(current);
    std::sort(where.begin(), where.end());
    where.erase(std::unique(where.begin(), where.end()), where.end());
    std::unordered_set<uint64_t> grown;
    for (const uint32_t w : where) {
      auto& symbols = words[w].symbols;
      const auto count = static_cast<int64_t>(words[w].count);
      const auto change = [&](uint32_t a, uint32_t b, int64_t by) {
        const uint64_t pair = key(a, b);
        if (pair == top.pair) return;
        if (by < 0) {
          const auto at = pairs.find(pair);
          if (at != pairs.end()) at->second.count += by;
          return;
        }
        PairState& state = pairs[pair];
        state.count += by;
        if (a != merged && b != merged) return;
        if (state.words.empty() || state.words.back() != w) state.words.push_back(w);
        grown.insert(pair);
      };
      const size_t size = symbols.size();
      const auto is_pair = [&](size_t i) { return i + 1 < size && symbols[i] == left && symbols[i + 1] == right; };
      size_t kept = 0;
      for (size_t i = 0; i < size;) {
        if (!is_pair(i)) {
          symbols[kept++] = symbols[i++];
          continue;
        }
        // Merges that touch are counted as one piece, with a neighbour at each end, so that overlapping pairs ("aaa") stay right.
        size_t end = i;
        while (is_pair(end)) end += 2;
        const size_t merges = (end - i) / 2;
        if (kept > 0) change(symbols[kept - 1], left, -count), change(symbols[kept - 1], merged, count);
        for (size_t k = i; k + 1 < end; ++k) change(symbols[k], symbols[k + 1], -count);
        if (end < size) change(right, symbols[end], -count), change(merged, symbols[end], count);
        if (merges > 1) change(merged, merged, count * static_cast<int64_t>(merges - 1));
        for (size_t k = 0; k < merges; ++k) symbols[kept++] = merged;
        i = end;
      }
      symbols.resize(kept);
    }
    for (const uint64_t pair : grown) {
      const auto at = pairs.find(pair);
      if (at != pairs.end() && enough(at->second.count)) queue.push({at->second.count, pair});
    }
  }
  return Tokenizer::from_parts(std::move(model), std::move(added), PreTokenizer::default_json());
}

}  // namespace cpuflow::rt
