#include "runtime/data/pretokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/data/data_error.h"

namespace cpuflow::rt {
namespace {

constexpr const char* kByteLevelPattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

bool flag(const nlohmann::json& json, const char* key, bool missing, const std::string& path) {
  const auto at = json.find(key);
  if (at == json.end()) return missing;
  if (!at->is_boolean()) throw DataError(fmt::format("{}.{}: expected true or false, found {}", path, key, at->dump()));
  return at->get<bool>();
}

std::string text_of(const nlohmann::json& json, const char* key, const std::string& path) {
  const auto at = json.find(key);
  if (at == json.end() || !at->is_string()) throw DataError(fmt::format("{}.{}: expected a string", path, key));
  return at->get<std::string>();
}

/// Every character that could mean something in an expression behind a backslash.
std::string quoted(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80 && !std::isalnum(static_cast<unsigned char>(c))) out += '\\';
    out += c;
  }
  return out;
}

/// The length of the character at `at` of valid UTF-8.
size_t character_bytes(std::string_view text, size_t at) {
  size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
  return end - at;
}

}  // namespace

nlohmann::json PreTokenizer::default_json() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
}

PreTokenizer::PreTokenizer(const nlohmann::json& json) {
  add(json, "pre_tokenizer", true);
  if (!byte_level_) {
    throw DataError("pre_tokenizer: only byte-level tokenizers are supported, and none of its parts is of type ByteLevel");
  }
}

void PreTokenizer::add(const nlohmann::json& json, const std::string& path, bool first) {
  if (!json.is_object()) throw DataError(fmt::format("{}: expected an object of type ByteLevel, Split, Digits or Sequence", path));
  const std::string type = text_of(json, "type", path);
  if (byte_level_) throw DataError(fmt::format("{}: ByteLevel must be the last part", path));
  if (type == "Sequence") {
    const auto parts = json.find("pretokenizers");
    if (parts == json.end() || !parts->is_array()) throw DataError(fmt::format("{}.pretokenizers: expected a list", path));
    for (size_t i = 0; i < parts->size(); ++i) add((*parts)[i], fmt::format("{}.pretokenizers[{}]", path, i), first && i == 0);
    return;
  }
  const auto compile = [&](const std::string& pattern, const char* key) {
    try {
      return Regex(pattern);
    } catch (const DataError& error) {
      throw DataError(fmt::format("{}{}: {}", path, key, error.what()));
    }
  };
  if (type == "ByteLevel") {
    byte_level_ = true;
    prefix_space_ = flag(json, "add_prefix_space", true, path);
    if (prefix_space_ && !first) throw DataError(fmt::format("{}.add_prefix_space: true is supported in the first part only", path));
    if (flag(json, "use_regex", true, path)) steps_.push_back({compile(kByteLevelPattern, "")});
  } else if (type == "Digits") {
    steps_.push_back({compile(flag(json, "individual_digits", false, path) ? "\\p{N}" : "\\p{N}+", "")});
  } else if (type == "Split") {
    const auto pattern = json.find("pattern");
    const bool is_regex = pattern != json.end() && pattern->is_object() && pattern->contains("Regex");
    if (!is_regex && (pattern == json.end() || !pattern->is_object() || !pattern->contains("String"))) {
      throw DataError(fmt::format("{}.pattern: expected {{\"Regex\": ...}} or {{\"String\": ...}}", path));
    }
    const std::string text = text_of(*pattern, is_regex ? "Regex" : "String", path + ".pattern");
    const std::string name = text_of(json, "behavior", path);
    static constexpr std::pair<std::string_view, Behavior> kBehaviors[] = {{"Isolated", Behavior::Isolated},
                                                                           {"Removed", Behavior::Removed},
                                                                           {"MergedWithPrevious", Behavior::MergedWithPrevious},
                                                                           {"MergedWithNext", Behavior::MergedWithNext},
                                                                           {"Contiguous", Behavior::Contiguous}};
    const auto* known = std::find_if(std::begin(kBehaviors), std::end(kBehaviors), [&](const auto& b) { return b.first == name; });
    if (known == std::end(kBehaviors)) throw DataError(fmt::format("{}.behavior: '{}' is not known", path, name));
    steps_.push_back({compile(is_regex ? text : quoted(text), ".pattern"), known->second, flag(json, "invert", false, path)});
  } else {
    throw DataError(fmt::format("{}.type: '{}' is not supported (ByteLevel, Split, Digits and Sequence are)", path, type));
  }
}

void PreTokenizer::apply(const Step& step, std::string_view text, std::vector<std::string_view>& out) {
  struct Part {
    size_t begin, end;
    bool match;
  };
  if (step.behavior == Behavior::Isolated) {
    size_t done = 0, search = 0, begin = 0, end = 0;
    while (search < text.size() && step.regex.find(text, search, begin, end)) {
      if (end == begin) {
        if (begin >= text.size()) break;
        search = begin + character_bytes(text, begin);
        continue;
      }
      if (begin > done) out.push_back(text.substr(done, begin - done));
      out.push_back(text.substr(begin, end - begin));
      done = search = end;
    }
    if (done < text.size()) out.push_back(text.substr(done));
    return;
  }
  std::vector<Part> parts;
  size_t done = 0, search = 0, begin = 0, end = 0;
  while (search < text.size() && step.regex.find(text, search, begin, end)) {
    if (end == begin) {
      if (begin >= text.size()) break;
      search = begin + character_bytes(text, begin);
      continue;
    }
    if (begin > done) parts.push_back({done, begin, step.invert});
    parts.push_back({begin, end, !step.invert});
    done = search = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), step.invert});
  std::vector<Part> merged;
  if (step.behavior == Behavior::MergedWithNext) std::reverse(parts.begin(), parts.end());
  bool previous_match = false;
  for (const Part& part : parts) {
    const bool join =
        !merged.empty() && (step.behavior == Behavior::Contiguous ? part.match == previous_match : part.match && !previous_match);
    previous_match = part.match;
    if (step.behavior == Behavior::Removed) {
      if (!part.match) merged.push_back(part);
    } else if (join) {
      merged.back().begin = std::min(merged.back().begin, part.begin);
      merged.back().end = std::max(merged.back().end, part.end);
    } else {
      merged.push_back(part);
    }
  }
  if (step.behavior == Behavior::MergedWithNext) std::reverse(merged.begin(), merged.end());
  for (const Part& part : merged) out.push_back(text.substr(part.begin, part.end - part.begin));
}

void PreTokenizer::split(std::string_view text, std::string& buffer, std::vector<std::string_view>& words) const {
  if (text.empty()) return;
  if (prefix_space_ && text[0] != ' ') {
    buffer.assign(1, ' ');
    buffer.append(text);
    text = buffer;
  }
  std::vector<std::string_view> now, next;
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    if (valid > 0 && steps_.size() == 1) {
      apply(steps_[0], text.substr(0, valid), words);
    } else if (valid > 0) {
      now.assign(1, text.substr(0, valid));
      for (const Step& step : steps_) {
        next.clear();
        for (const std::string_view word : now) apply(step, word, next);
        now.swap(next);
      }
      words.insert(words.end(), now.begin(), now.end());
    }
    text.remove_prefix(valid);
    if (!text.empty()) {
      words.push_back(text.substr(0, 1));
      text.remove_prefix(1);
    }
  }
}

}  // namespace cpuflow::rt
