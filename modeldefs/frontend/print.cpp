#include "modeldefs/frontend/syntax.h"

namespace cpuflow::frontend {

namespace {

using Kind = Expr::Kind;

// How tightly an expression binds; an operand that binds less than its place needs brackets.
enum Level { kComparison, kSum, kProduct, kSign, kPower, kAtom };

Level level_of(const Expr& e) {
  switch (e.kind) {
    case Kind::In:
    case Kind::Compare:
    case Kind::Tuple:
    case Kind::Range:
      return kComparison;
    case Kind::Negate:
      return kSign;
    case Kind::Binary:
      if (e.name == "+" || e.name == "-") return kSum;
      return e.name == "^" ? kPower : kProduct;
    default:
      return kAtom;
  }
}

std::string at_least(const Expr& e, Level level) {
  std::string text = print(e);
  return level_of(e) < level ? "(" + text + ")" : text;
}

std::string joined(const std::vector<Expr>& items, size_t first = 0) {
  std::string out;
  for (size_t i = first; i < items.size(); ++i) out += (i > first ? ", " : "") + print(items[i]);
  return out;
}

std::string quoted(const std::string& text) {
  const char* quote = text.find('\'') == std::string::npos ? "'" : "\"";
  return quote + text + quote;
}

}  // namespace

std::string print(const Expr& e) {
  switch (e.kind) {
    case Kind::Number:
    case Kind::Name:
      return e.name;
    case Kind::String:
      return quoted(e.name);
    case Kind::List:
      return "[" + joined(e.args) + "]";
    case Kind::Tuple:
      return joined(e.args);
    case Kind::Index:
      return at_least(e.args[0], kAtom) + "[" + joined(e.args, 1) + "]";
    case Kind::Range:
      return at_least(e.args[0], kSum) + ".." + at_least(e.args[1], kSum);
    case Kind::In:
      return at_least(e.args[0], kSum) + " in " + (e.args[1].is(Kind::Range) ? print(e.args[1]) : at_least(e.args[1], kSum));
    case Kind::Compare:
      return at_least(e.args[0], kSum) + " " + e.name + " " + at_least(e.args[1], kSum);
    case Kind::Negate:
      return "-" + at_least(e.args[0], kSign);
    case Kind::Binary: {
      if (e.name == "^") return at_least(e.args[0], kAtom) + "^" + at_least(e.args[1], kSign);
      Level level = level_of(e);
      return at_least(e.args[0], level) + " " + e.name + " " + at_least(e.args[1], static_cast<Level>(level + 1));
    }
    case Kind::Call: {
      std::string out = e.name + "(" + joined(e.args);
      bool first = e.args.empty();
      for (const auto& [key, value] : e.named) {
        out += (first ? "" : ", ") + key + " = " + print(value);
        first = false;
      }
      return out + ")";
    }
    case Kind::Reduce:
      return e.name + "(" + joined(e.bound) + (e.bar ? " | " + joined(e.conditions) : "") + ": " + print(e.args[0]) + ")";
  }
  return "";
}

std::string print(const Statement& s) {
  std::string out;
  for (size_t i = 0; i < s.targets.size(); ++i) out += (i > 0 ? ", " : "") + print(s.targets[i]);
  if (!s.targets.empty()) out += " = ";
  out += print(s.value);
  if (!s.when.empty()) out += " if " + print(s.when[0]);
  return out;
}

}  // namespace cpuflow::frontend
