#include "modeldefs/frontend/sizes.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

namespace cpuflow::frontend {

namespace {

using Kind = Expr::Kind;

Number whole(double v) { return {v, true}; }
Number real(double v) { return {v, false}; }

Number binary(const Expr& e, const Number& a, const Number& b) {
  bool integer = a.integer && b.integer;
  double x = a.value, y = b.value;
  const std::string& op = e.name;
  if (op == "+") return {x + y, integer};
  if (op == "-") return {x - y, integer};
  if (op == "*") return {x * y, integer};
  if (op == "^") return {std::pow(x, y), integer && y >= 0};
  if ((op == "/" || op == "//" || op == "%") && y == 0) throw Fault{e.at, "division by zero"};
  if (op == "/") return real(x / y);
  if (op == "//") return {std::floor(x / y), integer};
  if (op == "%") return {x - std::floor(x / y) * y, integer};
  if (op == "==") return whole(x == y);
  if (op == "!=") return whole(x != y);
  if (op == "<") return whole(x < y);
  if (op == "<=") return whole(x <= y);
  if (op == ">") return whole(x > y);
  if (op == ">=") return whole(x >= y);
  throw Fault{e.at, "'" + op + "' is not for sizes"};
}

Number call(const Expr& e, const std::vector<Number>& args) {
  static const std::map<std::string, double (*)(double)> functions = {{"sqrt", std::sqrt}, {"exp", std::exp}, {"log", std::log},
                                                                      {"sin", std::sin},   {"cos", std::cos}, {"tanh", std::tanh}};
  auto need = [&](size_t n) {
    if (args.size() != n) throw Fault{e.at, "'" + e.name + "' takes " + std::to_string(n) + " values, not " + std::to_string(args.size())};
  };
  if (auto it = functions.find(e.name); it != functions.end()) {
    need(1);
    return real(it->second(args[0].value));
  }
  if (e.name == "floor" || e.name == "ceil" || e.name == "round" || e.name == "abs") {
    need(1);
    double v = args[0].value;
    if (e.name == "abs") return {std::abs(v), args[0].integer};
    return whole(e.name == "floor" ? std::floor(v) : e.name == "ceil" ? std::ceil(v) : std::nearbyint(v));
  }
  if (e.name == "max" || e.name == "min") {
    need(2);
    bool first = e.name == "max" ? args[0].value >= args[1].value : args[0].value <= args[1].value;
    return {(first ? args[0] : args[1]).value, args[0].integer && args[1].integer};
  }
  if (e.name == "where") {
    need(3);
    return args[0].value != 0 ? args[1] : args[2];
  }
  static const std::vector<std::string> known = {"sqrt", "exp",   "log", "sin", "cos", "tanh",  "floor",
                                                 "ceil", "round", "abs", "max", "min", "where", "size"};
  throw Fault{e.at, "'" + e.name + "' is not a function of sizes" + suggestion(e.name, known)};
}

Number element(const Expr& e, const SizeMap& sizes, const SizeHook& hook) {
  if (e.args[0].is(Kind::Name)) {
    auto it = sizes.find(e.args[0].name);
    if (it != sizes.end() && it->second.list && e.args.size() == 2) {
      int64_t i = evaluate_integer(e.args[1], sizes, hook);
      if (i >= 0 && i < static_cast<int64_t>(it->second.values.size())) return it->second.values[static_cast<size_t>(i)];
      throw Fault{e.at, "'" + it->first + "' has " + std::to_string(it->second.values.size()) + " elements; index " + std::to_string(i) +
                            " is outside"};
    }
  }
  throw Fault{e.at, "this is not known when the model is compiled; only sizes, constants and numbers are"};
}

}  // namespace

SizeValue single_size(int64_t value) { return {false, {whole(static_cast<double>(value))}, {}, false}; }

Number evaluate_number(const Expr& e, const SizeMap& sizes, const SizeHook& hook) {
  if (hook && (e.is(Kind::Name) || e.is(Kind::Call) || e.is(Kind::Index))) {
    if (std::optional<Number> known = hook(e)) return *known;
  }
  switch (e.kind) {
    case Kind::Number:
      return {std::strtod(e.name.c_str(), nullptr), e.name.find_first_of(".eE") == std::string::npos};
    case Kind::Name: {
      auto it = sizes.find(e.name);
      if (it == sizes.end()) {
        std::vector<std::string> known;
        for (const auto& [name, value] : sizes) known.push_back(name);
        throw Fault{e.at, "unknown size '" + e.name + "'" + suggestion(e.name, known)};
      }
      if (it->second.list) throw Fault{e.at, "'" + e.name + "' is a list, a number is needed here"};
      return it->second.values[0];
    }
    case Kind::Negate: {
      Number v = evaluate_number(e.args[0], sizes, hook);
      return {-v.value, v.integer};
    }
    case Kind::Binary:
    case Kind::Compare:
      return binary(e, evaluate_number(e.args[0], sizes, hook), evaluate_number(e.args[1], sizes, hook));
    case Kind::Call: {
      if (e.name == "size" && e.args.size() == 1 && e.args[0].is(Kind::Name)) {
        auto it = sizes.find(e.args[0].name);
        if (it != sizes.end() && it->second.list) return whole(static_cast<double>(it->second.values.size()));
      }
      if (e.name == "token") throw Fault{e.at, "ids belong to a tokenizer, and a model is compiled without one: write the token's number"};
      std::vector<Number> args;
      for (const Expr& a : e.args) args.push_back(evaluate_number(a, sizes, hook));
      return call(e, args);
    }
    case Kind::Index:
      return element(e, sizes, hook);
    default:
      throw Fault{e.at, "a number is needed here"};
  }
}

int64_t evaluate_integer(const Expr& e, const SizeMap& sizes, const SizeHook& hook) {
  Number v = evaluate_number(e, sizes, hook);
  if (v.value != std::floor(v.value) || std::abs(v.value) > 9e15) {
    std::string text = std::to_string(v.value);
    throw Fault{e.at, "a whole number is needed here, this is " + text};
  }
  return static_cast<int64_t>(v.value);
}

bool holds(const Expr& when, const SizeMap& sizes) {
  return evaluate_integer(when, sizes, [&](const Expr& part) -> std::optional<Number> {
    if (!part.is(Kind::Name) || sizes.count(part.name) > 0) return std::nullopt;
    throw Fault{part.at, "'if' decides once whether a statement is there, by sizes and 'layer', and '" + part.name + "' is none; to choose between values, write where(condition, a, b)"};
  }) != 0;
}

namespace {

class SizeEvaluator {
 public:
  SizeEvaluator(const std::vector<SizeEntry>& entries, ir::Diagnostics& diagnostics) : diagnostics_(diagnostics) {
    for (const SizeEntry& e : entries) entries_[e.name] = &e;
  }

  SizeMap run() {
    for (const auto& [name, entry] : entries_) {
      try {
        resolve(*entry);
      } catch (const Fault&) {  // reported where it was found
      }
    }
    return std::move(done_);
  }

 private:
  void resolve(const SizeEntry& entry) {
    if (done_.count(entry.name) > 0) return;
    if (failed_.count(entry.name) > 0) throw Fault{entry.at, ""};
    if (!running_.insert(entry.name).second) throw Fault{entry.at, "size '" + entry.name + "' is defined by itself"};
    try {
      done_[entry.name] = evaluate(entry);
    } catch (const Fault& fault) {
      fault.report(diagnostics_);
      failed_.insert(entry.name);
      throw Fault{entry.at, ""};
    }
    running_.erase(entry.name);
  }

  SizeValue evaluate(const SizeEntry& entry) {
    SizeValue value{entry.list, {}, entry.at, entry.constant};
    for (const Expr& e : entry.values) {
      e.walk([&](const Expr& part) {
        auto it = part.is(Kind::Name) ? entries_.find(part.name) : entries_.end();
        if (it != entries_.end()) resolve(*it->second);
      });
      value.values.push_back(one(e));
    }
    double v = entry.list ? 1 : value.values[0].value;
    if (!entry.constant && (v < 1 || v > 2147483647.0 || v != std::floor(v))) {
      throw Fault{entry.at, "size '" + entry.name + "' is " + text(v) + "; a size is a whole number from 1 to 2147483647"};
    }
    if (!entry.constant) value.values[0].integer = true;
    return value;
  }

  Number one(const Expr& e) {
    return evaluate_number(e, done_, [&](const Expr& part) -> std::optional<Number> {
      if (part.is(Kind::Name) && entries_.count(part.name) == 0) {
        std::vector<std::string> known;
        for (const auto& [name, entry] : entries_) known.push_back(name);
        throw Fault{part.at, "unknown size '" + part.name + "'" + suggestion(part.name, known)};
      }
      return std::nullopt;
    });
  }

  static std::string text(double v) {
    return v == std::floor(v) && std::abs(v) < 9e15 ? std::to_string(static_cast<int64_t>(v)) : std::to_string(v);
  }

  ir::Diagnostics& diagnostics_;
  std::map<std::string, const SizeEntry*> entries_;
  std::set<std::string> running_, failed_;
  SizeMap done_;
};

}  // namespace

SizeMap evaluate_sizes(const std::vector<SizeEntry>& entries, ir::Diagnostics& diagnostics) {
  return SizeEvaluator(entries, diagnostics).run();
}

}  // namespace cpuflow::frontend
