#include "runtime/data/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

namespace cpuflow::rt {
namespace {

constexpr size_t kCachedWord = 64;                // bytes of the longest word that is remembered
constexpr size_t kCachedWords = size_t{1} << 18;  // forget all beyond this many

struct TransparentHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

}  // namespace

/// Ids of words seen before; also guards the regular expressions, whose match state is shared.
struct Tokenizer::Cache {
  struct Entry {
    uint32_t begin, count, dropped;
  };
  std::mutex mutex;
  std::unordered_map<std::string, Entry, TransparentHash, std::equal_to<>> words;
  std::vector<uint32_t> ids;
  std::string buffer;
  std::vector<std::string_view> pieces;
};

Tokenizer::Tokenizer() : cache_(std::make_shared<Cache>()) {}

Tokenizer Tokenizer::from_parts(BpeModel model, std::vector<AddedToken> added, const nlohmann::json& pre_tokenizer) {
  Tokenizer out;
  out.model_ = std::move(model);
  out.added_ = std::move(added);
  out.pre_tokenizer_ = std::make_unique<PreTokenizer>(pre_tokenizer);
  out.kept_["pre_tokenizer"] = pre_tokenizer;
  out.kept_["decoder"] = nlohmann::json{{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  out.model_.build();
  return out;
}

std::optional<uint32_t> Tokenizer::id_of_added(std::string_view content) const {
  for (const AddedToken& token : added_) {
    if (token.content == content) return token.id;
  }
  return std::nullopt;
}

std::optional<uint32_t> Tokenizer::end_of_document() const {
  for (const std::string_view name : {"<|endoftext|>", "<eos>", "</s>", "<|end_of_text|>", "<|eos|>"}) {
    if (const auto id = id_of_added(name)) return id;
    const auto in_vocabulary = model_.id_of.find(std::string(name));
    if (in_vocabulary != model_.id_of.end()) return in_vocabulary->second;
  }
  return std::nullopt;
}

std::vector<uint8_t> Tokenizer::missing_bytes() const {
  std::vector<uint8_t> out;
  for (int byte = 0; byte < 256; ++byte) {
    if (model_.byte_id[byte] < 0) out.push_back(static_cast<uint8_t>(byte));
  }
  return out;
}

size_t Tokenizer::encode_plain(std::string_view text, std::vector<uint32_t>& ids) const {
  Cache& cache = *cache_;
  cache.pieces.clear();
  pre_tokenizer_->split(text, cache.buffer, cache.pieces);
  size_t dropped = 0;
  for (const std::string_view word : cache.pieces) {
    if (word.size() > kCachedWord) {
      dropped += model_.encode(word, ids);
      continue;
    }
    auto at = cache.words.find(word);
    if (at == cache.words.end()) {
      if (cache.words.size() >= kCachedWords) {
        cache.words.clear();
        cache.ids.clear();
      }
      const auto begin = static_cast<uint32_t>(cache.ids.size());
      const auto missing = static_cast<uint32_t>(model_.encode(word, cache.ids));
      at = cache.words.emplace(std::string(word), Cache::Entry{begin, static_cast<uint32_t>(cache.ids.size()) - begin, missing}).first;
    }
    const Cache::Entry entry = at->second;
    const auto first = cache.ids.begin() + entry.begin;
    ids.insert(ids.end(), first, first + entry.count);
    dropped += entry.dropped;
  }
  return dropped;
}

size_t Tokenizer::encode(std::string_view text, std::vector<uint32_t>& ids, bool allow_special) const {
  const std::lock_guard lock(cache_->mutex);
  std::vector<const AddedToken*> recognised;
  for (const AddedToken& token : added_) {
    if (allow_special || !token.special) recognised.push_back(&token);
  }
  size_t dropped = 0;
  size_t done = 0;
  if (!recognised.empty()) {
    // The next place of each token, so that every token is searched for once along the text.
    std::vector<size_t> next(recognised.size());
    for (size_t k = 0; k < recognised.size(); ++k) next[k] = text.find(recognised[k]->content);
    for (;;) {
      size_t best = recognised.size();
      for (size_t k = 0; k < recognised.size(); ++k) {
        if (next[k] != std::string_view::npos && next[k] < done) next[k] = text.find(recognised[k]->content, done);
        if (next[k] == std::string_view::npos) continue;
        const bool better = best == recognised.size() || next[k] < next[best] ||
                            (next[k] == next[best] && recognised[k]->content.size() > recognised[best]->content.size());
        if (better) best = k;
      }
      if (best == recognised.size()) break;
      dropped += encode_plain(text.substr(done, next[best] - done), ids);
      ids.push_back(recognised[best]->id);
      done = next[best] + recognised[best]->content.size();
    }
  }
  return dropped + encode_plain(text.substr(done), ids);
}

std::vector<uint32_t> Tokenizer::encode(std::string_view text, bool allow_special) const {
  std::vector<uint32_t> ids;
  encode(text, ids, allow_special);
  return ids;
}

const std::string& Tokenizer::token_bytes(uint32_t id) const {
  if (id >= model_.tokens.size()) {
    throw DataError(fmt::format("id {} is not in the tokenizer's vocabulary of {} (ids 0 to {})", id, model_.tokens.size(),
                                model_.tokens.empty() ? 0 : model_.tokens.size() - 1));
  }
  return model_.tokens[id];
}

std::string Tokenizer::decode(const std::vector<uint32_t>& ids) const {
  std::string out;
  for (const uint32_t id : ids) out += token_bytes(id);
  return out;
}

}  // namespace cpuflow::rt
