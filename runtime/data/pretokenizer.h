#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/regex.h"

namespace cpuflow::rt {

/// Splits text into the words inside which byte pairs may merge: the `pre_tokenizer` of a tokenizer.json.
/// Known are ByteLevel, Split, Digits and a Sequence of them.
class PreTokenizer {
 public:
  /// Throws DataError that begins with the JSON path of what is not supported.
  explicit PreTokenizer(const nlohmann::json& json);

  /// Appends the words of `text` in order; together they are `text` (after the space that add_prefix_space puts before it), less
  /// what a Split removes.  Bytes that are not UTF-8 form words of their own.  The views point into `text` or `buffer`.
  void split(std::string_view text, std::string& buffer, std::vector<std::string_view>& words) const;

  bool adds_prefix_space() const { return prefix_space_; }
  /// The pre-tokenizer that a new tokenizer gets: ByteLevel with GPT-2's expression, no prefix space.
  static nlohmann::json default_json();

 private:
  enum class Behavior { Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous };
  struct Step {
    Regex regex;
    Behavior behavior = Behavior::Isolated;
    bool invert = false;
  };
  void add(const nlohmann::json& json, const std::string& path, bool first);
  static void apply(const Step& step, std::string_view text, std::vector<std::string_view>& out);

  std::vector<Step> steps_;
  bool prefix_space_ = false;
  bool byte_level_ = false;
};

}  // namespace cpuflow::rt
