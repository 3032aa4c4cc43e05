#include "ir/diagnostics.h"

#include <algorithm>
#include <cctype>

namespace cpuflow::ir {

namespace {

size_t code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

constexpr size_t kMostShown = 160;  // bytes of a line

/// The line that `loc` begins on (what is near, if it is long) and carets under the part of the range that lies there.
std::string excerpt(const SourceLoc& loc) {
  std::string_view text = loc.source->text;
  size_t at = std::min<size_t>(loc.offset, text.size());
  size_t newline = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
  size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
  size_t end = std::min(text.find('\n', at), text.size());
  while (end > at && text[end - 1] == '\r') --end;
  std::string before, behind, margin;
  if (end - begin > kMostShown) {
    const auto inside_character = [&](size_t i) { return i < text.size() && (text[i] & 0xC0) == 0x80; };
    const size_t first = at - begin > kMostShown / 2 ? at - kMostShown / 2 : begin, last = std::min(end, first + kMostShown);
    if (first > begin) before = "... ", margin = "    ";
    if (last < end) behind = " ...";
    begin = first, end = last;
    while (begin < at && inside_character(begin)) ++begin;
    while (inside_character(end)) --end;
  }
  const std::string line = before + printable(std::string(text.substr(begin, end - begin))) + behind;
  // Tabs stay tabs, so that the carets stand under their characters at any tab width.
  for (char c : text.substr(begin, at - begin)) {
    if ((c & 0xC0) != 0x80) margin += c == '\t' ? '\t' : ' ';
  }
  size_t carets = std::max<size_t>(1, code_points(text.substr(at, std::min<size_t>(loc.length, end - at))));
  return "    " + line + "\n    " + margin + std::string(carets, '^') + "\n";
}

/// Insertions, deletions, substitutions and exchanges of neighbours (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, last, row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::move(last);
    last = row;
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

void Diagnostics::error(const SourceLoc& loc, std::string message) {
  all_.push_back({Diagnostic::Kind::Error, loc, std::move(message)});
  ++errors_;
}

void Diagnostics::warning(const SourceLoc& loc, std::string message) {
  all_.push_back({Diagnostic::Kind::Warning, loc, std::move(message)});
}

void Diagnostics::note(const SourceLoc& loc, std::string message) { all_.push_back({Diagnostic::Kind::Note, loc, std::move(message)}); }

std::string Diagnostics::format() const {
  std::string out;
  for (const Diagnostic& d : all_) {
    const char* kind = d.kind == Diagnostic::Kind::Error ? "error" : d.kind == Diagnostic::Kind::Warning ? "warning" : "note";
    if (d.loc.known()) out += d.loc.str() + ": ";
    out += std::string(kind) + ": " + d.message + "\n";
    if (d.loc.known()) out += excerpt(d.loc);
  }
  return out;
}

void Diagnostics::stop_if_errors() const {
  if (has_errors()) throw ModelError(format());
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(1, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    if (candidate == name) continue;
    size_t distance = lower(candidate) == lower(name) ? 0 : edit_distance(name, candidate);
    // A name of which nothing is left is not near.
    bool something_left = distance < std::max(name.size(), candidate.size());
    if (something_left && distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  const std::string near = nearest_name(name, known);
  return near.empty() ? "" : "; did you mean '" + near + "'?";
}

}  // namespace cpuflow::ir
