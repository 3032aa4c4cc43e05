#include "codegen/emit/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <utility>

namespace cpuflow::codegen {
using namespace ir;

std::string bracketed(const std::string& text) {
  int depth = 0;
  bool compound = text[0] == '-';
  for (char c : text) {
    depth += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
    compound = compound || (depth == 0 && c == ' ');
  }
  return compound ? "(" + text + ")" : text;
}

std::string identifier(const std::string& name) {
  std::string out;
  for (char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c))) out += c;
    else if (!out.empty() && out.back() != '_') out += '_';
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  if (out.empty() || std::isdigit(static_cast<unsigned char>(out[0]))) out = "v" + out;
  return out;
}

std::string float_literal(double value) {
  if (std::isinf(value)) return value < 0 ? "-__builtin_inff()" : "__builtin_inff()";
  if (std::isnan(value)) return "__builtin_nanf(\"\")";
  std::string s = fmt::format("{:.9g}", static_cast<float>(value));  // rounded once
  if (s.find_first_of(".e") == std::string::npos) s += ".0";
  return s + "f";
}

std::string Names::variable(const Axis& axis) const {
  if (region_ && region_->has_rows && axis == region_->row) return row();
  switch (axis.kind) {
    case AxisKind::Batch:
      return "call->sequence";
    case AxisKind::Layer:
      return axis.ordinal ? fmt::format("layer{}", axis.ordinal) : "layer";
    case AxisKind::Position:
      return axis.ordinal ? fmt::format("s{}", axis.ordinal) : "t";
    case AxisKind::Feature:
      return fmt::format("i{}_{}", axis.ordinal, axis.size);
  }
  return "";
}

std::string Names::counter() const { return ranged(region_->row) ? "t" : "u"; }

std::string Names::row() const {
  return in_row_loop_ ? counter() : counter() + "0";
}

std::string Names::buffer(BufferId id) const {
  if (p_.buffers[id].rows == Rows::Block) return "block";
  return fmt::format("{}_{}", identifier(p_.buffers[id].name), id);
}

std::string Names::own_buffer(BufferId id) const {
  const std::string stream = stream_offset(p_.buffers[id]);
  return stream.empty() ? buffer(id) : buffer(id) + " + " + stream;
}

std::string Names::index(const Index& index, const std::map<ExprId, std::string>& computed) const {
  std::string out;
  auto add = [&](const std::string& term) { out += out.empty() ? term : " + " + term; };
  for (auto [axis, c] : index.terms) add(c == 1 ? variable(axis) : fmt::format("{} * {}", c, variable(axis)));
  if (index.computed != kNone) add(computed.at(index.computed));
  if (index.offset != 0 || out.empty()) {
    if (index.offset < 0 && !out.empty()) out += fmt::format(" - {}", -index.offset);
    else add(std::to_string(index.offset));
  }
  return out;
}

std::string Names::stream_offset(const Buffer& b) const {
  if (!of_stream_) return "";
  switch (b.space) {
    case Space::Lane:
      return "lane";
    case Space::Tokens:
      return fmt::format("stream * {}", b.strides[0] * b.axes[0].size);
    case Space::Out:
      return fmt::format("stream * {} * (call->last - call->first)", b.strides[0]);
    default:
      return "";
  }
}

bool Names::counts(const Buffer& buffer, size_t axis) const {
  const bool is_row = region_ && region_->has_rows && buffer.axes[axis] == region_->row;
  return buffer.strides[axis] != 0 && !(is_row && (buffer.rows == Rows::One || !buffer.in_memory()));
}

std::string Names::offset(const Place& place, const Axis* skip, const std::map<ExprId, std::string>& computed) const {
  const Buffer& b = p_.buffers[place.buffer];
  std::map<std::string, int64_t> terms;
  std::vector<std::string> order;
  int64_t constant = 0;
  auto add = [&](const std::string& v, int64_t c) {
    if (c == 0) return;
    if (!terms.count(v)) order.push_back(v);
    terms[v] += c;
  };
  for (size_t d = 0; d < b.axes.size(); ++d) {
    const Index& i = place.indices[d];
    int64_t stride = b.strides[d];
    const bool is_row = region_ && region_->has_rows && b.axes[d] == region_->row;
    if (!counts(b, d)) continue;
    for (auto [axis, c] : i.terms) {
      if (skip && axis == *skip) continue;
      add(variable(axis), c * stride);
    }
    if (is_row && b.rows == Rows::Tile) add(std::string(1, row()[0]) + "0", -stride), constant += b.history * stride;
    if (b.space == Space::Out && b.axes[d].kind == AxisKind::Position && b.axes[d].ordinal == 0) add("call->first", -stride);
    constant += i.offset * stride;
    if (i.computed != kNone) add(bracketed(computed.at(i.computed)), stride);
  }
  if (b.rows == Rows::Block) add("first", -1);
  int64_t reach = 0;  // of the products, which are made with 32 bits where that is enough
  for (size_t d = 0; d < b.axes.size(); ++d) reach += std::abs(b.strides[d]) * b.axes[d].size;
  std::string out;
  for (const std::string& v : order) {
    int64_t c = std::exchange(terms[v], 0);
    if (c == 0) continue;
    std::string factor = v;
    if (const auto other = std::find_if(terms.begin(), terms.end(), [&](const auto& term) { return std::abs(c) > 1 && term.second == -c; }); other != terms.end()) {
      factor = c > 0 ? fmt::format("({} - {})", v, other->first) : fmt::format("({} - {})", other->first, v);
      c = std::abs(c);
      other->second = 0;
    }
    std::string size = std::abs(c) == 1 ? factor : fmt::format("{}{} * {}", std::abs(c), reach > INT32_MAX ? "L" : "", factor);
    out += out.empty() ? (c < 0 ? "-" + size : size) : (c < 0 ? " - " : " + ") + size;
  }
  if (constant != 0 || out.empty()) out += out.empty() ? std::to_string(constant) : fmt::format(" {} {}", constant < 0 ? '-' : '+', std::abs(constant));
  if (const std::string stream = skip ? "" : stream_offset(b); !stream.empty()) out = out == "0" ? stream : out + " + " + stream;
  return out;
}

Names::Trip Names::trip(const Axis& axis, const std::vector<Reach>& reaches) const {
  for (const Reach& r : reaches) {
    if (r.axis != axis) continue;
    const std::string first = row_range_ ? "call->first" : counter() + "0", last = row_range_ ? "call->last" : counter() + "1";
    auto beyond = [&](int64_t rows, const char* nearer, const std::string& end, const std::string& row, char sign) {
      return rows == 0 ? row : rows + 1 >= static_cast<int64_t>(axis.size) ? end : fmt::format("kernel::{}({}, {} {} {})", nearer, end, row, sign, rows);
    };
    return {beyond(r.before, "max", "0", first, '-'), beyond(r.after, "min", std::to_string(axis.size), last, '+'), false};
  }
  return {"0", std::to_string(axis.size), true};
}

int64_t Names::next_row(const Place& place) const {
  if (!in_row_loop_ || !region_) return 0;
  const int64_t step = stride_along(p_, place, region_->row);
  return region_->direction < 0 ? -step : step;
}

}  // namespace cpuflow::codegen
