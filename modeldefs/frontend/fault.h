#pragma once
#include "ir/diagnostics.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace cpuflow::frontend {

/// An error on its way to the statement that it belongs to; reported there, so that the other statements are still looked at.
struct Fault {
  ir::SourceLoc at;
  std::string message;
  std::vector<std::pair<ir::SourceLoc, std::string>> notes = {};

  void report(ir::Diagnostics& diagnostics) const {
    if (message.empty()) return;  // a consequence of an error that is reported already
    diagnostics.error(at, message);
    for (const auto& [place, text] : notes) diagnostics.note(place, text);
  }
};

using ir::suggestion;

/// For `embed.T`, `x.mean` or `torch.tanh`, as Python writes them: how it is written here; else what may have been meant.
/// `values`: names that members may be asked of, beside those of `known`.
inline std::string hint(const std::string& name, const std::vector<std::string>& known, const std::vector<std::string>& values = {}) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return suggestion(name, known);
  const std::string object = name.substr(0, dot), member = name.substr(dot + 1);
  const auto has = [](const std::vector<std::string>& words, const std::string& word) { return std::find(words.begin(), words.end(), word) != words.end(); };
  const bool of_value = has(known, object) || has(values, object);
  if (of_value && member == "T") return "; write transpose(" + object + ")";
  if (!has(known, member)) return suggestion(name, known);
  return of_value ? "; write " + member + "(" + object + ")" : "; write '" + member + "' without '" + object + ".'";
}

/// The same for keys: where none is near, one that is a word of `name` (batch for batch_size) or its initials (lr for learning_rate).
inline std::string key_suggestion(const std::string& name, const std::vector<std::string>& known) {
  std::string near = suggestion(name, known), initials, word;
  std::vector<std::string> words;
  for (char c : name + "_") {
    if (c != '_') {
      word += c;
      continue;
    }
    initials += word.substr(0, 1);
    words.push_back(std::move(word));
    word.clear();
  }
  words.push_back(initials);
  for (const std::string& key : known) {
    if (near.empty() && words.size() > 2 && std::find(words.begin(), words.end(), key) != words.end()) near = "; did you mean '" + key + "'?";
  }
  return near;
}

}  // namespace cpuflow::frontend
