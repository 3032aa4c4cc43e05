#include "modeldefs/frontend/toml_reader.h"

#include "modeldefs/frontend/fault.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace cpuflow::frontend {

void toml_fault() { throw TomlFault(); }

namespace {

bool before(const toml::source_position& a, const toml::source_position& b) {
  return a.line != b.line ? a.line < b.line : a.column < b.column;
}

std::string kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::integer:
    case toml::node_type::floating_point:
      return "a number";
    default:
      return "a date or time";
  }
}

/// Where the last ''' or """ stands that nothing closes.
std::optional<uint32_t> unclosed_text(std::string_view text) {
  std::optional<uint32_t> opened;
  std::string_view quotes;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view here = text.substr(i, 3);
    if (opened ? here == quotes : here == "\"\"\"" || here == "'''") {
      if (opened) opened.reset();
      else opened = static_cast<uint32_t>(i), quotes = here;
      i += 2;
    } else if (!opened && text[i] == '#') {
      i = std::min(text.find('\n', i), text.size());
    }
  }
  return opened;
}

/// The first header of a section that has no name, `[ #x]`.
uint32_t nameless_section(std::string_view text) {
  for (size_t line = 0; line < text.size(); line = std::min(text.find('\n', line), text.size() - 1) + 1) {
    const size_t opened = text.find_first_not_of(" \t", line);
    if (opened == std::string_view::npos || text[opened] != '[') continue;
    const size_t name = text.find_first_not_of(" \t[", opened);
    const char c = name == std::string_view::npos ? '\n' : text[name];
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '-' && c != '"' && c != '\'') return static_cast<uint32_t>(opened);
  }
  return 0;
}

}  // namespace

TomlReader::TomlReader(std::shared_ptr<const ir::SourceText> source, ir::Diagnostics& diagnostics)
    : source_(std::move(source)), diagnostics_(diagnostics), lines_{0} {
  const std::string& text = source_->text;
  for (uint32_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') lines_.push_back(i + 1);
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    diagnostics_.error({source_, 0, 0}, "this file is UTF-16: save it as UTF-8");
    return;
  }
  try {
    root_ = toml::parse(std::string_view(text));
  } catch (const TomlFault&) {
    diagnostics_.error({source_, nameless_section(text), 1}, "this is not TOML: a section is named by letters, digits, _ and -, as in [params], or in quotes");
  } catch (const toml::parse_error& e) {
    if (const std::optional<uint32_t> opened = unclosed_text(text)) {
      const std::string quotes = text.substr(*opened, 3);
      diagnostics_.error({source_, *opened, 3}, "this text is never closed: " + quotes + " ends it");
      return;
    }
    const std::string what(e.description());
    const bool bare = what.find("could not determine value type") != std::string::npos;
    diagnostics_.error({source_, offset(e.source().begin), 1}, "this is not TOML: " + what + (bare ? "; texts stand in quotes, as in W = \"linear(d, d)\"" : ""));
  }
}

uint32_t TomlReader::offset(const toml::source_position& position) const {
  if (position.line == 0) return 0;
  const std::string& text = source_->text;
  uint32_t at = lines_[std::min<size_t>(position.line, lines_.size()) - 1];
  for (uint32_t column = 1; column < position.column && at < text.size(); ++column) {
    ++at;
    while (at < text.size() && (text[at] & 0xC0) == 0x80) ++at;
  }
  return at;
}

Entries TomlReader::entries(const toml::table& table) {
  Entries out;
  for (auto it = table.cbegin(); it != table.cend(); ++it) out.emplace_back(&it->first, &it->second);
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return before(a.first->source().begin, b.first->source().begin); });
  return out;
}

ir::SourceLoc TomlReader::at(const toml::key& key) const {
  uint32_t begin = offset(key.source().begin), end = offset(key.source().end);
  return {source_, begin, std::max(begin + 1, end) - begin};
}

ir::SourceLoc TomlReader::at(const toml::node& node) const {
  uint32_t begin = offset(node.source().begin), end = offset(node.source().end);
  return {source_, begin, std::max(begin + 1, end) - begin};
}

ir::SourceLoc TomlReader::content(const toml::node& node) const {
  const toml::value<std::string>* value = node.as_string();
  if (value == nullptr) {
    diagnostics_.error(at(node), "expected equations in quotes, found " + kind_of(node));
    return {source_, offset(node.source().begin), 0};
  }
  std::string_view text = source_->text;
  uint32_t begin = offset(node.source().begin);
  char quote = begin < text.size() ? text[begin] : '\0';
  bool triple = text.substr(begin, 3) == std::string(3, quote);
  uint32_t first = begin + (triple ? 3 : 1);
  if (triple && text.substr(first, 2) == "\r\n") {
    first += 2;
  } else if (triple && text.substr(first, 1) == "\n") {
    first += 1;
  }
  const std::string& string = value->get();
  // Content with CRLF line ends may be normalised, so its end is found by the closing quotes.
  size_t end = text.find(triple ? std::string(3, quote) : std::string(1, quote), first);
  uint32_t length = static_cast<uint32_t>((end == std::string_view::npos ? text.size() : end) - first);
  std::string raw(text.substr(first, length));
  raw.erase(std::remove(raw.begin(), raw.end(), '\r'), raw.end());
  std::string plain = string;
  plain.erase(std::remove(plain.begin(), plain.end(), '\r'), plain.end());
  if (raw != plain) {
    diagnostics_.error(at(node), "equations stand in single quotes ('..' or '''..'''), where nothing is escaped");
    return {source_, first, 0};
  }
  return {source_, first, length};
}

std::string TomlReader::string(const toml::key& key, const toml::node& node) const {
  if (const auto* value = node.as_string()) {
    if (ir::printable(value->get()) != value->get()) diagnostics_.error(at(node), "'" + std::string(key.str()) + "' holds a control character");
    return value->get();
  }
  diagnostics_.error(at(node), "'" + std::string(key.str()) + "' must be a text in quotes, not " + kind_of(node));
  return "";
}

double TomlReader::number(const toml::key& key, const toml::node& node) const {
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_integer()) return static_cast<double>(value->get());
  diagnostics_.error(at(node), "'" + std::string(key.str()) + "' must be a number, not " + kind_of(node));
  return 0;
}

int64_t TomlReader::integer(const toml::key& key, const toml::node& node, int64_t least) const {
  const auto* value = node.as_integer();
  if (value != nullptr && value->get() >= least) return value->get();
  diagnostics_.error(at(node), "'" + std::string(key.str()) + "' must be a whole number of at least " + std::to_string(least));
  return least;
}

bool TomlReader::boolean(const toml::key& key, const toml::node& node) const {
  if (const auto* value = node.as_boolean()) return value->get();
  diagnostics_.error(at(node), "'" + std::string(key.str()) + "' must be true or false, not " + kind_of(node));
  return false;
}

std::vector<std::string> TomlReader::strings(const toml::key& key, const toml::node& node) const {
  std::vector<std::string> out;
  if (const auto* value = node.as_string()) return {value->get()};
  if (const auto* list = node.as_array()) {
    for (const toml::node& item : *list) out.push_back(string(key, item));
    return out;
  }
  diagnostics_.error(at(node), "'" + std::string(key.str()) + "' must be a list of texts, not " + kind_of(node));
  return out;
}

const toml::table* TomlReader::table(const toml::key& key, const toml::node& node) const {
  if (const auto* value = node.as_table()) return value;
  diagnostics_.error(at(key), "'" + std::string(key.str()) + "' must be a table, not " + kind_of(node));
  return nullptr;
}

void TomlReader::unknown(const toml::key& key, const std::string& where, const std::vector<std::string>& known) const {
  std::string name(key.str());
  std::string list;
  for (const std::string& k : known) list += (list.empty() ? "" : ", ") + k;
  std::string near = key_suggestion(name, known);
  diagnostics_.error(at(key), "unknown key '" + name + "' in " + where + (near.empty() ? "; known are: " + list : near));
}

}  // namespace cpuflow::frontend
