#pragma once
#include "ir/diagnostics.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cpuflow::frontend {
/// An assertion of toml++ that a text has failed: it asserts what it expects of texts, and would end the process.
struct TomlFault {};
[[noreturn]] void toml_fault();
}  // namespace cpuflow::frontend

#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expr) ((expr) ? void() : ::cpuflow::frontend::toml_fault())
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace cpuflow::frontend {

/// A TOML table with its entries in the order of the file.
using Entries = std::vector<std::pair<const toml::key*, const toml::node*>>;

/// TOML with exact places: where keys and values stand in the file's bytes.
class TomlReader {
 public:
  /// Parses the text; reports the first TOML error, if any.
  TomlReader(std::shared_ptr<const ir::SourceText> source, ir::Diagnostics& diagnostics);

  const toml::table& root() const { return root_; }
  static Entries entries(const toml::table& table);
  ir::SourceLoc at(const toml::key& key) const;
  ir::SourceLoc at(const toml::node& node) const;
  /// The bytes of a string's content.  Equations must stand in the file as they read: a string with escapes is an error.
  ir::SourceLoc content(const toml::node& node) const;
  /// A string's value; an error for control characters, an error and "" for anything else.
  std::string string(const toml::key& key, const toml::node& node) const;
  /// A number's value; an error and 0 for anything else.
  double number(const toml::key& key, const toml::node& node) const;
  int64_t integer(const toml::key& key, const toml::node& node, int64_t least) const;
  /// True or false; an error and false for anything else.
  bool boolean(const toml::key& key, const toml::node& node) const;
  std::vector<std::string> strings(const toml::key& key, const toml::node& node) const;
  /// The table; an error and null for anything else.
  const toml::table* table(const toml::key& key, const toml::node& node) const;
  /// Reports a key that is not known.
  void unknown(const toml::key& key, const std::string& where, const std::vector<std::string>& known) const;
  void error(const ir::SourceLoc& loc, const std::string& message) const { diagnostics_.error(loc, message); }
  ir::Diagnostics& diagnostics() const { return diagnostics_; }

 private:
  uint32_t offset(const toml::source_position& position) const;

  std::shared_ptr<const ir::SourceText> source_;
  ir::Diagnostics& diagnostics_;
  std::vector<uint32_t> lines_;  // offsets of their first bytes
  toml::table root_;
};

}  // namespace cpuflow::frontend
