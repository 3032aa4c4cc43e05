#include "modeldefs/frontend/syntax.h"

#include <algorithm>
#include <array>
#include <optional>

namespace cpuflow::frontend {

namespace {

using Kind = Expr::Kind;

// Hostile texts must not overflow the stack: brackets and operators nest no deeper than this.
constexpr int kMaxDepth = 150;
constexpr int kMaxHeight = 400;

constexpr std::array<std::string_view, 7> kReductions = {"sum", "prod", "mean", "max", "min", "softmax", "logsumexp"};
constexpr std::array<std::string_view, 6> kCompare = {"==", "!=", "<=", ">=", "<", ">"};

struct Token {
  enum class Type : uint8_t { Name, Number, String, Operator, Newline, End, Invalid };
  Type type = Type::End;
  std::string text;
  uint32_t offset = 0, length = 0;  // in the file
  int depth = 0;                    // Newline: open brackets
};

/// What to write instead of an operator or word of another language.
std::string instead_of(std::string_view word) {
  if (word == "**") return "; a power is written a^b";
  if (word == "and" || word == "&&") return "; conditions of a reduction are joined by a comma, sum(s | s <= t, s > 0: ..), others by a product, (a) * (b)";
  if (word == "or" || word == "||") return "; where one of two conditions is enough, write max(a, b)";
  if (word == "if" || word == "else") return "; a choice between two values is where(condition, a, b), and 'if' ends a statement";
  if (word == "+=" || word == "-=" || word == "*=" || word == "/=") return "; write x = x " + std::string(1, word[0]) + " ..";
  if (word == "=") return "; that two values are equal is written a == b";
  return "";
}

/// What to write instead of a statement that begins with a word of Python, or nothing.
std::string instead_of_statement(std::string_view word) {
  if (word == "return") return "; a block or layer gives what its 'x' is at the end, a model its 'logits'";
  if (word == "for" || word == "while") return "; an equation holds at every position and index, sum(s | s < t: ..) adds over them, and a block with 'repeat' is run that often";
  if (word == "def" || word == "lambda" || word == "class") return "; functions stand in [functions], layers in [layers.NAME], blocks in [blocks.NAME]";
  if (word == "import" || word == "from") return "; what there is to call is listed in modeldefs/README.md, and `cpuflowc explain NAME` prints it";
  return "";
}

bool name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool name_char(char c) { return name_start(c) || digit(c); }

class Lexer {
 public:
  Lexer(const ir::SourceLoc& text, ir::Diagnostics& diagnostics)
      : source_(text.source), all_(source_->text), at_(text.offset), end_(text.offset + text.length), diagnostics_(diagnostics) {}

  std::vector<Token> run() {
    while (at_ < end_) step();
    push(Token::Type::Newline, at_, "the end of the line");
    push(Token::Type::End, at_, "the end");
    return std::move(out_);
  }

 private:
  char peek(uint32_t ahead = 0) const { return at_ + ahead < end_ ? all_[at_ + ahead] : '\0'; }

  void push(Token::Type type, uint32_t begin, std::string text = "") {
    Token token{type, std::move(text), begin, at_ - begin, depth_};
    if (token.text.empty()) token.text = std::string(all_.substr(begin, at_ - begin));
    out_.push_back(std::move(token));
  }

  void step() {
    char c = peek();
    uint32_t begin = at_;
    if (c == ' ' || c == '\t' || c == '\r') {
      ++at_;
    } else if (c == '#') {
      while (at_ < end_ && peek() != '\n') ++at_;
    } else if (c == '\n' || c == ';') {
      ++at_;
      push(Token::Type::Newline, begin, "the end of the line");
    } else if (name_start(c)) {
      while (name_char(peek()) || (peek() == '.' && name_start(peek(1)))) ++at_;
      push(Token::Type::Name, begin);
    } else if (digit(c)) {
      number();
      push(Token::Type::Number, begin);
    } else if (c == '\'' || c == '"') {
      string(c);
    } else {
      operation(begin);
    }
  }

  void number() {
    while (digit(peek())) ++at_;
    if (peek() == '.' && peek(1) != '.') {
      ++at_;
      while (digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      uint32_t sign = peek(1) == '+' || peek(1) == '-';
      if (digit(peek(1 + sign))) {
        at_ += 1 + sign;
        while (digit(peek())) ++at_;
      }
    }
  }

  void string(char quote) {
    uint32_t begin = at_++;
    while (at_ < end_ && peek() != quote && peek() != '\n') ++at_;
    if (peek() != quote) {
      diagnostics_.error({source_, begin, at_ - begin}, "this text has no closing quote");
      push(Token::Type::Invalid, begin);
      return;
    }
    ++at_;
    push(Token::Type::String, begin, "");
    out_.back().text = std::string(all_.substr(begin + 1, at_ - begin - 2));
  }

  void operation(uint32_t begin) {
    // The last three are no operators here: errors name them whole.
    static constexpr std::array<std::string_view, 13> two = {"..", "//", "==", "!=", "<=", ">=", "**", "&&", "||", "+=", "-=", "*=", "/="};
    for (std::string_view word : two) {
      if (peek() == word[0] && peek(1) == word[1]) {
        at_ += 2;
        push(Token::Type::Operator, begin);
        return;
      }
    }
    if (std::string_view("-+*/%^@()[],:|<>=").find(peek()) != std::string_view::npos) {
      char c = peek();
      if (c == ')' || c == ']') depth_ = std::max(0, depth_ - 1);
      ++at_;
      push(Token::Type::Operator, begin);
      if (c == '(' || c == '[') ++depth_;
      return;
    }
    ++at_;
    while (at_ < end_ && (all_[at_] & 0xC0) == 0x80) ++at_;
    diagnostics_.error({source_, begin, at_ - begin}, "unexpected character '" + std::string(all_.substr(begin, at_ - begin)) + "'");
    push(Token::Type::Invalid, begin);
  }

  std::shared_ptr<const ir::SourceText> source_;
  std::string_view all_;
  uint32_t at_, end_;
  int depth_ = 0;
  ir::Diagnostics& diagnostics_;
  std::vector<Token> out_;
};

/// Unwinds to the statement; the error is reported already.
struct Failed {};

class Parser {
 public:
  Parser(const ir::SourceLoc& text, ir::Diagnostics& diagnostics)
      : source_(text.source), diagnostics_(diagnostics), tokens_(Lexer(text, diagnostics).run()) {}

  std::vector<Statement> statements() {
    std::vector<Statement> out;
    while (tokens_[i_].type != Token::Type::End) {
      if (separator()) {
        ++i_;
        continue;
      }
      const size_t before = i_;
      try {
        out.push_back(statement());
      } catch (const Failed&) {
        recover();
        if (i_ == before) ++i_;  // what no statement begins with
      }
    }
    return out;
  }

  Expr alone() {
    try {
      Expr value = expression();
      skip_newlines();
      while (tokens_[i_].type == Token::Type::Newline) ++i_;
      if (tokens_[i_].type != Token::Type::End) fail("expected the end of the expression, found " + found() + between_values());
      return value;
    } catch (const Failed&) {
      return {};
    }
  }

 private:
  // Tokens.  Newlines inside brackets are skipped.

  bool separator() const { return tokens_[i_].type == Token::Type::Newline && tokens_[i_].depth <= base_depth_; }
  void skip_newlines() {
    while (tokens_[i_].type == Token::Type::Newline && !separator()) ++i_;
  }
  const Token& now() {
    skip_newlines();
    return tokens_[i_];
  }
  bool see(std::string_view word) {
    const Token& token = now();
    return (token.type == Token::Type::Operator || token.type == Token::Type::Name) && token.text == word;
  }
  bool take(std::string_view word) {
    if (!see(word)) return false;
    ++i_;
    return true;
  }
  template <typename Words>
  std::optional<std::string> take_any(const Words& words) {
    for (std::string_view word : words) {
      if (take(word)) return std::string(word);
    }
    return std::nullopt;
  }
  std::string found() {
    const Token& token = now();
    return token.type == Token::Type::Newline || token.type == Token::Type::End ? token.text : "'" + token.text + "'";
  }
  /// What is missing where a value follows another.
  std::string between_values() {
    const Token& token = now();
    if (see("(") && i_ > 0 && (tokens_[i_ - 1].text == ")" || tokens_[i_ - 1].text == "]")) return "; only a name can be called, as in W(x); a product is written as a * b";
    const bool value = token.type == Token::Type::Name || token.type == Token::Type::Number || see("(");
    return value && instead_of(token.text).empty() ? "; between two values stands an operator, as in a * b" : "";
  }
  ir::SourceLoc loc(const Token& token) const { return {source_, token.offset, token.length}; }
  /// From the first byte of `begin` to the last token taken.
  ir::SourceLoc since(uint32_t begin) const {
    size_t last = i_;
    while (last > 0 && tokens_[--last].type == Token::Type::Newline) {
    }
    uint32_t end = tokens_[last].offset + tokens_[last].length;
    return {source_, begin, end > begin ? end - begin : 0};
  }
  [[noreturn]] void fail(const std::string& message) {
    // The lexer has spoken of invalid tokens.
    if (now().type != Token::Type::Invalid) diagnostics_.error(loc(now()), message + (now().type == Token::Type::String ? "" : instead_of(now().text)));
    throw Failed();
  }
  void close(std::string_view word, uint32_t opened) {
    if (take(word)) return;
    if (now().type == Token::Type::Invalid) throw Failed();
    diagnostics_.error(loc(now()), "expected '" + std::string(word) + "', found " + found() + (word == "]" && see(":") ? "; there are no slices: an index names an axis, as t and i do in x[t,i]" : between_values() + instead_of(now().text)));
    diagnostics_.note({source_, opened, 1}, "to close this bracket");
    throw Failed();
  }

  /// To the end of the broken statement: the next line end outside brackets, or just the next where a bracket is never closed.
  void recover() {
    depth_ = 0;
    size_t end = i_;
    while (tokens_[end].type != Token::Type::End && !(tokens_[end].type == Token::Type::Newline && tokens_[end].depth <= base_depth_))
      ++end;
    if (tokens_[end].type != Token::Type::End && end + 1 < tokens_.size() && tokens_[end + 1].type != Token::Type::End) {
      i_ = end;
      return;
    }
    // The token that failed may begin the next line already.
    if (i_ > 0 && tokens_[i_ - 1].type == Token::Type::Newline) {
      base_depth_ = tokens_[i_ - 1].depth;
      return;
    }
    while (tokens_[i_].type != Token::Type::End && tokens_[i_].type != Token::Type::Newline) ++i_;
    base_depth_ = std::max(base_depth_, tokens_[i_].depth);
  }

  // Nodes

  Expr make(Kind kind, uint32_t begin, std::string name, std::vector<Expr> args) {
    Expr e;
    e.kind = kind;
    e.at = since(begin);
    e.name = std::move(name);
    e.args = std::move(args);
    measure(e);
    return e;
  }
  void measure(Expr& e) {
    int below = 0;
    for (const Expr& a : e.args) below = std::max(below, a.height);
    for (const auto& [key, a] : e.named) below = std::max(below, a.height);
    for (const Expr& a : e.bound) below = std::max(below, a.height);
    for (const Expr& a : e.conditions) below = std::max(below, a.height);
    e.height = below + 1;
    if (e.height > kMaxHeight) fail("this expression has too many parts; give a part of it a name");
  }
  template <typename... Es>
  static std::vector<Expr> list_of(Es&&... es) {
    std::vector<Expr> out;
    (out.push_back(std::forward<Es>(es)), ...);
    return out;
  }

  struct Nest {
    Parser& p;
    explicit Nest(Parser& parser) : p(parser) {
      if (++p.depth_ > kMaxDepth) p.fail("brackets nest too deeply here; give a part of it a name");
    }
    ~Nest() { --p.depth_; }
  };

  // Grammar

  Statement statement() {
    Statement s;
    uint32_t begin = now().offset;
    const std::string_view first = now().type == Token::Type::Name ? std::string_view(now().text) : "";
    s.value = tuple();
    if (take("=")) {
      if (s.value.is(Kind::Tuple)) {
        s.targets = std::move(s.value.args);
      } else {
        s.targets = list_of(std::move(s.value));
      }
      for (const Expr& t : s.targets) check_target(t);
      s.value = tuple();
    }
    if (take("if")) s.when.push_back(expression());
    s.at = since(begin);
    if (!separator()) {
      const std::string instead = instead_of_statement(first);
      fail("expected the end of the statement, found " + found() + (instead.empty() ? between_values() : instead));
    }
    return s;
  }

  void check_target(const Expr& t) {
    bool index = t.is(Kind::Index) && t.args[0].is(Kind::Name);
    if (t.is(Kind::Name) || index || t.is(Kind::Call)) return;
    diagnostics_.error(t.at, "the left side of '=' must be a name or a name with indices");
    throw Failed();
  }

  Expr tuple() {
    uint32_t begin = now().offset;
    Expr first = expression();
    if (!see(",")) return first;
    std::vector<Expr> items = list_of(std::move(first));
    while (take(",")) items.push_back(expression());
    return make(Kind::Tuple, begin, "", std::move(items));
  }

  Expr expression() {
    Nest nest(*this);
    uint32_t begin = now().offset;
    Expr left = additive();
    if (take("in")) {
      Expr low = additive();
      if (take("..")) {
        Expr high = additive();
        uint32_t from = low.at.offset;
        low = make(Kind::Range, from, "", list_of(std::move(low), std::move(high)));
      }
      return make(Kind::In, begin, "", list_of(std::move(left), std::move(low)));
    }
    if (auto word = take_any(kCompare)) {
      Expr right = additive();
      for (std::string_view again : kCompare) {
        if (see(again)) fail("comparisons do not chain: write (a < b) * (b < c), or two conditions with a comma between them where conditions stand, as in sum(s | a < s, s < b: ..)");
      }
      return make(Kind::Compare, begin, *word, list_of(std::move(left), std::move(right)));
    }
    return left;
  }

  Expr additive() {
    uint32_t begin = now().offset;
    Expr left = term();
    while (auto word = take_any(std::array<std::string_view, 2>{"+", "-"})) {
      Expr right = term();
      left = make(Kind::Binary, begin, *word, list_of(std::move(left), std::move(right)));
    }
    return left;
  }

  Expr term() {
    uint32_t begin = now().offset;
    Expr left = unary();
    while (auto word = take_any(std::array<std::string_view, 5>{"*", "/", "//", "%", "@"})) {
      Expr right = unary();
      left = make(Kind::Binary, begin, *word, list_of(std::move(left), std::move(right)));
    }
    return left;
  }

  Expr unary() {
    Nest nest(*this);
    uint32_t begin = now().offset;
    if (take("-")) {
      Expr inner = unary();
      return make(Kind::Negate, begin, "", list_of(std::move(inner)));
    }
    Expr base = postfix();
    if (!take("^")) return base;
    Expr exponent = unary();
    return make(Kind::Binary, begin, "^", list_of(std::move(base), std::move(exponent)));
  }

  Expr postfix() {
    Token token = now();
    uint32_t begin = token.offset;
    Expr node;
    if (token.type == Token::Type::Number) {
      ++i_;
      node = make(Kind::Number, begin, token.text, {});
    } else if (token.type == Token::Type::String) {
      ++i_;
      node = make(Kind::String, begin, token.text, {});
    } else if (take("(")) {
      node = expression();
      close(")", begin);
      node.at = since(begin);
    } else if (take("[")) {
      Expr list;
      items(list, "]", false);
      close("]", begin);
      node = make(Kind::List, begin, "", std::move(list.args));
    } else if (token.type == Token::Type::Name && token.text != "if" && token.text != "in") {
      ++i_;
      node = see("(") ? call(token) : make(Kind::Name, begin, token.text, {});
    } else {
      fail("expected a value, found " + found());
    }
    while (see("[")) {
      uint32_t opened = now().offset;
      take("[");
      Expr list;
      items(list, "]", false);
      close("]", opened);
      std::vector<Expr> args = list_of(std::move(node));
      for (Expr& e : list.args) args.push_back(std::move(e));
      if (args.size() == 1) {
        diagnostics_.error(since(opened), "an index is missing between the brackets");
        throw Failed();
      }
      node = make(Kind::Index, begin, "", std::move(args));
    }
    return node;
  }

  /// Up to `closing`, `|` or `:`.
  void items(Expr& into, std::string_view closing, bool keywords) {
    while (!see(closing) && !see("|") && !see(":")) {
      Expr item = expression();
      if (keywords && item.is(Kind::Name) && take("=")) {
        for (const auto& [key, value] : into.named) {
          if (key == item.name) {
            diagnostics_.error(item.at, "'" + key + "' is given twice");
            throw Failed();
          }
        }
        into.named.emplace_back(item.name, expression());
      } else {
        into.args.push_back(std::move(item));
      }
      if (!take(",")) break;
    }
  }

  Expr call(const Token& name) {
    uint32_t opened = now().offset;
    take("(");
    Expr node = make(Kind::Call, name.offset, name.text, {});
    items(node, ")", true);
    bool bar = take("|");
    Expr conditions;
    if (bar) items(conditions, ":", false);
    if (take(":")) {
      if (!is_reduction(name.text)) {
        diagnostics_.error(loc(name), "'" + name.text + "' does not bind indices; these do: sum, prod, mean, max, min, softmax, logsumexp");
        throw Failed();
      }
      if (node.args.empty() || !node.named.empty()) {
        diagnostics_.error(loc(name), "an index is missing before the ':', as in " + name.text + "(i: x[i])");
        throw Failed();
      }
      node.kind = Kind::Reduce;
      node.bound = std::move(node.args);
      node.args = list_of(expression());
      node.conditions = std::move(conditions.args);
      node.bar = bar;
    } else if (bar) {
      fail("expected ':' and an expression after the conditions, found " + found());
    }
    close(")", opened);
    node.at = since(name.offset);
    measure(node);
    return node;
  }

  std::shared_ptr<const ir::SourceText> source_;
  ir::Diagnostics& diagnostics_;
  std::vector<Token> tokens_;
  size_t i_ = 0;
  int depth_ = 0, base_depth_ = 0;
};

}  // namespace

bool is_reduction(std::string_view name) { return std::find(kReductions.begin(), kReductions.end(), name) != kReductions.end(); }

bool Expr::operator==(const Expr& other) const {
  return kind == other.kind && name == other.name && bar == other.bar && args == other.args && bound == other.bound &&
         conditions == other.conditions && named == other.named;
}

bool Statement::operator==(const Statement& other) const { return targets == other.targets && value == other.value && when == other.when; }

std::vector<Statement> parse_statements(const ir::SourceLoc& text, ir::Diagnostics& diagnostics) {
  return Parser(text, diagnostics).statements();
}

Expr parse_expression(const ir::SourceLoc& text, ir::Diagnostics& diagnostics) { return Parser(text, diagnostics).alone(); }

}  // namespace cpuflow::frontend
