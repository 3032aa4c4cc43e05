#include <fmt/format.h>

#include <algorithm>

#include "runtime/atomic_file.h"
#include "runtime/data/strict_json.h"
#include "runtime/data/tokenizer.h"

namespace cpuflow::rt {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxId = (uint64_t{1} << 24) - 1;

[[noreturn]] void fail(const std::string& path, const std::string& what) { throw DataError(path + ": " + what); }

bool absent(const Json& json, const char* key) { return !json.contains(key) || json[key].is_null(); }

bool flag(const Json& json, const char* key, const std::string& path) {
  if (absent(json, key)) return false;
  if (!json[key].is_boolean()) fail(path + "." + key, fmt::format("expected true or false, found {}", json[key].dump()));
  return json[key].get<bool>();
}

uint32_t id_value(const Json& json, const std::string& path) {
  if (!json.is_number_integer() || json.get<int64_t>() < 0 || json.get<uint64_t>() > kMaxId) {
    fail(path, fmt::format("expected an id from 0 to {}, found {}", kMaxId, json.dump().substr(0, 40)));
  }
  return json.get<uint32_t>();
}

std::vector<AddedToken> read_added(const Json& json) {
  std::vector<AddedToken> out;
  if (absent(json, "added_tokens")) return out;
  if (!json["added_tokens"].is_array()) fail("added_tokens", "expected a list");
  for (size_t i = 0; i < json["added_tokens"].size(); ++i) {
    const Json& entry = json["added_tokens"][i];
    const std::string path = fmt::format("added_tokens[{}]", i);
    if (!entry.is_object() || !entry.contains("id") || !entry.contains("content") || !entry["content"].is_string()) {
      fail(path, "expected an object with \"id\" and \"content\"");
    }
    for (const char* key : {"single_word", "lstrip", "rstrip"}) {
      if (flag(entry, key, path)) fail(path + "." + key, "true is not supported");
    }
    AddedToken token{id_value(entry["id"], path + ".id"), entry["content"].get<std::string>(), flag(entry, "special", path)};
    if (token.content.empty()) fail(path + ".content", "must not be empty");
    out.push_back(std::move(token));
  }
  return out;
}

/// Nothing, or a Sequence of nothing.
void check_normalizer(const Json& json, const std::string& path) {
  if (json.is_null()) return;
  const std::string type = json.is_object() && json.contains("type") && json["type"].is_string() ? json["type"].get<std::string>() : "?";
  if (type == "Sequence" && json.contains("normalizers") && json["normalizers"].is_array()) {
    for (size_t i = 0; i < json["normalizers"].size(); ++i)
      check_normalizer(json["normalizers"][i], fmt::format("{}.normalizers[{}]", path, i));
    return;
  }
  fail(path, fmt::format("type {} is not supported; train a tokenizer without a normalizer, or normalize the text before", type));
}

BpeModel read_model(const Json& json) {
  if (!json.contains("model") || !json["model"].is_object()) fail("model", "expected an object of type BPE");
  const Json& model = json["model"];
  const std::string type = model.contains("type") && model["type"].is_string() ? model["type"].get<std::string>() : "BPE";
  if (type != "BPE") fail("model.type", fmt::format("'{}' is not supported, only BPE is", type));
  if (!absent(model, "dropout") && !(model["dropout"].is_number() && model["dropout"].get<double>() == 0)) {
    fail("model.dropout", "is not supported; set it to null");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!absent(model, key) && model[key] != "") fail(std::string("model.") + key, "is not supported");
  }
  if (flag(model, "byte_fallback", "model")) fail("model.byte_fallback", "true is not supported: the tokenizer must be byte-level");
  BpeModel out;
  out.ignore_merges = flag(model, "ignore_merges", "model");
  out.fuse_unknown = flag(model, "fuse_unk", "model");
  if (!model.contains("vocab") || !model["vocab"].is_object()) fail("model.vocab", "expected an object of tokens and their ids");

  std::unordered_map<std::string, uint32_t> ids;  // by the text in the file
  std::vector<bool> taken;
  std::string bytes;
  for (const auto& [text, value] : model["vocab"].items()) {
    const std::string path = fmt::format("model.vocab[{}]", Json(text).dump());
    const uint32_t id = id_value(value, path);
    if (id >= taken.size()) {
      taken.resize(id + 1, false);
      out.tokens.resize(id + 1);
    }
    if (taken[id]) fail(path, fmt::format("the id {} is used twice", id));
    taken[id] = true;
    ids[text] = id;
    if (bytes_of_characters(text, bytes)) {
      out.tokens[id] = bytes;
      out.id_of[bytes] = id;
    } else {
      out.tokens[id] = text;  // only an added token can reach it
    }
  }
  if (ids.empty()) fail("model.vocab", "has no tokens");
  if (!absent(model, "unk_token")) {
    const Json& unknown = model["unk_token"];
    if (!unknown.is_string() || !ids.count(unknown.get<std::string>()))
      fail("model.unk_token", fmt::format("{} is not in model.vocab", unknown.dump()));
    out.unknown_id = static_cast<int32_t>(ids[unknown.get<std::string>()]);
  }
  if (!model.contains("merges") || !model["merges"].is_array()) fail("model.merges", "expected a list");
  for (size_t i = 0; i < model["merges"].size(); ++i) {
    const Json& entry = model["merges"][i];
    const auto path = [&] { return fmt::format("model.merges[{}]", i); };
    std::string left, right;
    if (entry.is_string()) {
      const std::string& text = entry.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
        fail(path(), "expected two tokens with a space between them");
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
      left = entry[0].get<std::string>();
      right = entry[1].get<std::string>();
    } else {
      fail(path(), "expected \"a b\" or [\"a\", \"b\"]");
    }
    for (const std::string& token : {left, right, left + right}) {
      if (!ids.count(token)) fail(path(), fmt::format("the token {} is not in model.vocab", Json(token).dump()));
    }
    // Bytes never merge into what is not written in the byte alphabet.
    if (bytes_of_characters(left, bytes) && bytes_of_characters(right, bytes)) out.merges.emplace_back(ids[left], ids[right]);
  }
  return out;
}

}  // namespace

Tokenizer Tokenizer::from_json(const nlohmann::json& json, const std::string& name) {
  try {
    if (!json.is_object()) fail("(top)", "expected the object of a tokenizer.json");
    Tokenizer out;
    if (json.contains("normalizer")) check_normalizer(json["normalizer"], "normalizer");
    out.model_ = read_model(json);
    out.model_.build();  // merges are between texts, which added tokens may replace below
    out.added_ = read_added(json);
    for (size_t i = 0; i < out.added_.size(); ++i) {
      const AddedToken& token = out.added_[i];
      if (token.id >= out.model_.tokens.size()) out.model_.tokens.resize(token.id + 1);
      std::string& bytes = out.model_.tokens[token.id];
      if (!bytes.empty() && bytes != token.content) {
        const auto same = out.model_.id_of.find(bytes);
        const bool is_text = same != out.model_.id_of.end() && characters_of_bytes(bytes) == token.content;
        if (!is_text) fail(fmt::format("added_tokens[{}]", i), fmt::format("its id {} belongs to another token of model.vocab", token.id));
      }
      bytes = token.content;
    }
    if (!json.contains("pre_tokenizer") || json["pre_tokenizer"].is_null())
      fail("pre_tokenizer", "is missing; a byte-level tokenizer has one of type ByteLevel");
    out.pre_tokenizer_ = std::make_unique<PreTokenizer>(json["pre_tokenizer"]);
    for (const auto& [key, value] : json.items()) {
      if (key != "model" && key != "added_tokens" && key != "version") out.kept_[key] = value;
    }
    return out;
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", name, error.what()));
  }
}

Tokenizer Tokenizer::load(const std::string& path) {
  const std::string text = read_file(path);
  Json json;
  try {
    json = parse_strict_json(text);
  } catch (const std::runtime_error& error) {
    throw DataError(fmt::format("{}: {}; a tokenizer.json of Hugging Face tokenizers is needed", path, error.what()));
  }
  return from_json(json, path);
}

nlohmann::ordered_json Tokenizer::to_json() const {
  using Ordered = nlohmann::ordered_json;
  Ordered out;
  out["version"] = "1.0";
  const auto kept = [&](const char* key) { return kept_.contains(key) ? kept_[key] : Ordered(nullptr); };
  for (const char* key : {"truncation", "padding"}) out[key] = kept(key);
  out["added_tokens"] = Ordered::array();
  for (const AddedToken& token : added_) {
    out["added_tokens"].push_back({{"id", token.id},
                                   {"content", token.content},
                                   {"single_word", false},
                                   {"lstrip", false},
                                   {"rstrip", false},
                                   {"normalized", false},
                                   {"special", token.special}});
  }
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) out[key] = kept(key);
  Ordered model;
  model["type"] = "BPE";
  model["dropout"] = nullptr;
  model["unk_token"] = nullptr;
  model["continuing_subword_prefix"] = nullptr;
  model["end_of_word_suffix"] = nullptr;
  model["fuse_unk"] = model_.fuse_unknown;
  model["byte_fallback"] = false;
  model["ignore_merges"] = model_.ignore_merges;
  std::vector<bool> is_added(model_.tokens.size(), false);
  for (const AddedToken& token : added_) is_added[token.id] = true;
  const auto text_of = [&](uint32_t id) {
    if (is_added[id]) return model_.tokens[id];
    const auto at = model_.id_of.find(model_.tokens[id]);
    return at != model_.id_of.end() && at->second == id ? characters_of_bytes(model_.tokens[id]) : model_.tokens[id];
  };
  if (model_.unknown_id >= 0) model["unk_token"] = text_of(static_cast<uint32_t>(model_.unknown_id));
  // Looking a key up in an ordered_json is linear: the vocabulary is collected in its underlying vector.
  Ordered vocabulary = Ordered::object();
  auto& entries = vocabulary.get_ref<Ordered::object_t&>();
  for (uint32_t id = 0; id < model_.tokens.size(); ++id) {
    if (!model_.tokens[id].empty()) static_cast<Ordered::object_t::Container&>(entries).emplace_back(text_of(id), Ordered(id));
  }
  model["vocab"] = std::move(vocabulary);
  model["merges"] = Ordered::array();
  for (const auto& [left, right] : model_.merges) model["merges"].push_back(text_of(left) + " " + text_of(right));
  out["model"] = std::move(model);
  return out;
}

void Tokenizer::save(const std::string& path) const { write_file_atomically(path, to_json().dump(1) + "\n"); }

}  // namespace cpuflow::rt
