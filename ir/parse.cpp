#include "ir/parse.h"

#include "ir/diagnostics.h"
#include "ir/line_scanner.h"
#include "ir/op.h"
#include "ir/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <set>

namespace cpuflow::ir {

namespace {

/// `name @ path:line:column` after the `#` of a line.
struct Comment {
  std::string name, path;
  uint32_t line = 0, column = 0;
};

Comment read_comment(const std::string& text) {
  Comment c;
  const std::string s = trimmed(text);
  const size_t at = s.starts_with("@ ") ? 0 : s.find(" @ ");
  c.name = trimmed(s.substr(0, at));
  if (at == std::string::npos) return c;
  const std::string place = trimmed(s.substr(s.find('@', at) + 1));
  const size_t column = place.rfind(':'),
               line = column == std::string::npos || column == 0 ? std::string::npos : place.rfind(':', column - 1);
  if (line == std::string::npos) return c;
  auto number = [&](size_t from, size_t to) {
    uint32_t v = 0;
    auto [end, error] = std::from_chars(place.data() + from, place.data() + to, v);
    return error == std::errc() && end == place.data() + to ? v : 0;
  };
  c.line = number(line + 1, column);
  c.column = number(column + 1, place.size());
  if (c.line > 0 && c.column > 0) c.path = place.substr(0, line);
  return c;
}

/// Stands in for the files that comments name: only their lines and columns are known, so blanks fill them.
class Places {
 public:
  void announce(const Comment& c) {
    if (c.path.empty()) return;
    auto& [lines, columns] = sizes_[c.path];
    lines = std::max(lines, c.line);
    columns = std::max(columns, c.column);
  }
  SourceLoc find(const Comment& c) {
    SourceLoc loc;
    if (c.path.empty()) return loc;
    const auto& [lines, columns] = sizes_[c.path];
    std::shared_ptr<const SourceText>& source = texts_[c.path];
    if (!source) {
      std::string text;
      for (uint32_t i = 0; i < lines; ++i) text += std::string(columns, ' ') + '\n';
      source = std::make_shared<const SourceText>(SourceText{c.path, text});
    }
    loc.source = source;
    loc.offset = (c.line - 1) * (columns + 1) + (c.column - 1);
    loc.length = 1;
    return loc;
  }

 private:
  std::map<std::string, std::pair<uint32_t, uint32_t>> sizes_;
  std::map<std::string, std::shared_ptr<const SourceText>> texts_;
};

class Parser : LineScanner {
 public:
  Parser(const std::string& text, const std::string& path) : LineScanner(text, path) {}

  Graph run() {
    each_line([&] { places_.announce(read_comment(rest_)); });
    each_line([&] {
      comment_ = read_comment(rest_);
      line();
    });
    for (const auto& [carry, input] : open_) {
      auto it = ids_.find(input.first);
      if (it == ids_.end()) fail(input.second, fmt::format("%{} is not defined", input.first), 1);
      try {
        graph_.close(carry, it->second);
      } catch (const InternalError& e) {
        fail(input.second, e.what(), 1);
      }
    }
    return std::move(graph_);
  }

 private:
  uint32_t label() {
    take('%');
    return number<uint32_t>("the number of a node");
  }
  NodeId known(uint32_t number, size_t offset) {
    auto it = ids_.find(number);
    if (it == ids_.end())
      fail(offset, fmt::format("%{} is not defined before this line (only the first input of a carry may follow)", number), at_ - offset);
    return it->second;
  }

  void attributes(Node& n) {
    if (!accept('{')) return;
    do {
      skip();
      const size_t begin = at_;
      const std::string key = word("an attribute");
      take('=');
      if (key == "text") {
        n.text = string();
      } else if (key == "value") {
        n.value = number<double>("a number");
      } else if (key == "from") {
        n.from = axes();
      } else if (key == "to") {
        n.to = axes();
      } else if (key == "ints") {
        list([&] { n.ints.push_back(number<int64_t>("a whole number")); });
      } else if (key == "values") {
        list([&] { n.values.push_back(number<double>("a number")); });
      } else {
        fail(begin, fmt::format("expected the attribute text, value, from, to, ints or values, found '{}'", key), key.size());
      }
    } while (accept(','));
    if (!accept('}')) expected("',' or '}'");
  }

  void line() {
    skip();
    if (at_ == end_) return;
    if (text_[at_] != '%') return output();
    const size_t begin = at_;
    const uint32_t number = label();
    if (ids_.count(number)) fail(begin, fmt::format("%{} is defined twice", number), at_ - begin);
    take('=');
    skip();
    const size_t op_at = at_;
    const std::string name = word("an operation");
    Node n;
    if (!op_by_name(name, n.op)) {
      std::vector<std::string> names;
#define OP(enumerator, text) names.push_back(text);
#include "ir/ops.def"
#undef OP
      fail(op_at, fmt::format("there is no operation '{}'{}", name, suggestion(name, names)), name.size());
    }
    skip();
    size_t forward_at = 0;
    uint32_t forward = 0;
    bool has_forward = false;
    if (at_ < end_ && text_[at_] == '%') {
      do {
        skip();
        const size_t offset = at_;
        const uint32_t input = label();
        if (n.op == Op::Carry && n.inputs.empty() && !ids_.count(input)) {
          has_forward = true;
          forward = input;
          forward_at = offset;
          n.inputs.push_back(kNoNode);
        } else {
          n.inputs.push_back(known(input, offset));
        }
      } while (accept(','));
    }
    attributes(n);
    take(':');
    skip();
    const size_t type_at = at_;
    const std::string type = word("real, int or bool");
    if (type == "real") {
      n.dtype = DType::Real;
    } else if (type == "int") {
      n.dtype = DType::Int;
    } else if (type == "bool") {
      n.dtype = DType::Bool;
    } else {
      fail(type_at, fmt::format("expected real, int or bool, found '{}'", type), type.size());
    }
    n.axes = axes();
    skip();
    if (at_ != end_) expected("the end of the line");
    n.loc = places_.find(comment_);
    const DType dtype = n.dtype;
    const Axes wanted = n.axes;
    NodeId id;
    try {
      id = add(std::move(n), has_forward);
    } catch (const InternalError& e) {
      fail(op_at, e.what(), name.size());
    }
    if (graph_[id].dtype != dtype || graph_[id].axes != wanted) {
      const std::string found = text_.substr(type_at, at_ - type_at);
      std::string expected_text = print_node(graph_, id);
      expected_text = expected_text.substr(expected_text.rfind(" : ") + 3);
      fail(type_at, fmt::format("the operation gives {}, found {}", expected_text, trimmed(found)), type.size());
    }
    ids_[number] = id;
    if (has_forward) open_.push_back({id, {forward, forward_at}});
    if (!comment_.name.empty() && graph_[id].name.empty()) graph_.set_name(id, comment_.name, graph_[id].loc);
  }

  NodeId add(Node n, bool open) {
    graph_.at = n.loc;
    if (n.op != Op::Carry) return graph_.add(std::move(n));
    if (n.from.size() != 1 || n.ints.size() != 1 || n.inputs.empty() || n.inputs.size() > 2) {
      throw InternalError("carry: x and perhaps init, from and ints are needed");
    }
    const NodeId init = n.inputs.size() > 1 ? n.inputs[1] : kNoNode;
    if (!open) {
      const size_t before = graph_.size();
      const NodeId id = graph_.carry(n.inputs[0], n.from[0], n.ints[0], init);
      // A carry that was opened once is not merged with an equal one; neither is its text.
      if (graph_.size() > before) return id;
    }
    const NodeId id = graph_.carry_open(n.axes, n.dtype, n.from[0], n.ints[0], init);
    if (!open) graph_.close(id, n.inputs[0]);
    return id;
  }

  void output() {
    const size_t begin = at_;
    const std::string keyword = word("a node such as '%1 = ..' or an output");
    if (keyword != "output")
      fail(begin, fmt::format("expected a node such as '%1 = ..' or an output, found '{}'", keyword), keyword.size());
    const std::string name = string();
    take('=');
    skip();
    const size_t offset = at_;
    graph_.outputs.push_back({name, known(label(), offset)});
    skip();
    if (at_ != end_) expected("the end of the line");
  }

  Comment comment_;
  Places places_;
  Graph graph_;
  std::map<uint32_t, NodeId> ids_;
  std::vector<std::pair<NodeId, std::pair<uint32_t, size_t>>> open_;
};

}  // namespace

Graph parse(const std::string& text, const std::string& path) { return Parser(text, path).run(); }

}  // namespace cpuflow::ir
