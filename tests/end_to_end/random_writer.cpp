// Parameters and expressions of random models.
#include "tests/end_to_end/random_writer.h"

namespace cpuflow::tests {


int BlockWriter::width() {
  const int widths[] = {sizes_.d, sizes_.d, sizes_.e, 2, 3};
  return widths[pick(5)];
}

std::string BlockWriter::size(int n) {
  if (n == sizes_.d && chance(80)) return "d";
  if (n == sizes_.e && chance(80)) return "e";
  return std::to_string(n);
}

/// A parameter of this kind: one that is there, or a new one.
std::string BlockWriter::declare(const std::string& letter, const std::string& kind, const std::string& extra) {
  std::vector<std::string>& there = declared_[kind + extra];
  if (!there.empty() && chance(35)) return there[static_cast<size_t>(pick(static_cast<int>(there.size())))];
  std::string name = fresh(letter);
  const std::string entry = extra.empty() && chance(80) ? fmt::format("{} = \"{}\"", name, kind) : fmt::format("{} = {{ kind = \"{}\"{} }}", name, kind, extra);
  if (extra.empty() && chance(15)) {
    submodule.push_back(entry);
    name = "inner." + name;
  } else {
    params += entry + "\n";
  }
  there.push_back(name);
  return name;
}

std::string BlockWriter::linear(int n, int m) { return declare("W", fmt::format("linear({}, {}{})", size(n), size(m), chance(30) ? ", bias" : "")); }
std::string BlockWriter::vector(int n) { return declare("g", fmt::format("vector({})", size(n))); }
std::string BlockWriter::matrix(int n, int m) { return declare("M", fmt::format("tensor({}, {})", size(n), size(m))); }

/// Keeps a value for later statements; one that may be large is squashed first, under a name of its own: a recurrence keeps its name.
void BlockWriter::keep(const std::string& name, const std::vector<int>& shape, bool tame) {
  std::string kept = name;
  if (!tame) {
    kept = fresh("u");
    line(kept + " = " + any("tanh(" + name + ")", "sin(" + name + ")", fmt::format("{0} / (1 + abs({0}))", name), fmt::format("{0} / sqrt(1 + sum({0} * {0}))", name)));
  }
  values.push_back({kept, shape});
}

std::string BlockWriter::any_value(int& n) {
  std::vector<const Written*> vectors;
  for (const Written& v : values) {
    if (v.shape.size() == 1) vectors.push_back(&v);
  }
  const size_t count = vectors.size();
  const size_t at = chance(50) ? count - 1 - static_cast<size_t>(pick(static_cast<int>(std::min<size_t>(count, 3)))) : static_cast<size_t>(pick(static_cast<int>(count)));
  n = vectors[at]->shape[0];
  return vectors[at]->name;
}

std::string BlockWriter::named(int n) {
  std::vector<std::string> fits;
  for (const Written& v : values) {
    if (v.shape == std::vector<int>{n}) fits.push_back(v.name);
  }
  if (!fits.empty() && chance(85)) return fits[static_cast<size_t>(pick(static_cast<int>(fits.size())))];
  int m = 0;
  const std::string a = any_value(m), v = fresh("v");
  line(fmt::format("{} = {}", v, chance(70) ? fmt::format("{}({})", linear(m, n), a) : fmt::format("{} @ {}", a, chance(50) ? matrix(m, n) : fmt::format("transpose({})", matrix(n, m)))));
  keep(v, {n}, false);
  return values.back().name;
}

std::string BlockWriter::unary(const std::string& a) {
  const std::string f = any("sigmoid", "tanh", "relu", "softplus", "abs", "silu", "gelu", "gelu_tanh", "erf", "sin", "cos", "exp", "sqrt", "log", "clamp", "square", "bump");
  if (f == "relu" || f == "abs" || f == "clamp") jumps = true;
  if (f == "exp") return fmt::format("exp(-abs({}))", a);
  if (f == "sqrt") return fmt::format("sqrt(abs({}) + 0.1)", a);
  if (f == "log") return fmt::format("log(1 + ({})^2)", a);
  if (f == "clamp") return fmt::format("clamp({}, -0.5, {})", a, any("0.4", "tau"));
  if (f == "square") return fmt::format("0.5 * ({})^2", a);
  if (f == "bump") functions.push_back("bump");
  return fmt::format("{}({})", f, a);
}

/// An expression of whole values with n features, near 1.
std::string BlockWriter::whole(int n, int depth) {
  if (depth <= 0 || chance(20)) {
    switch (pick(12)) {
      case 0: return vector(n);
      case 1: return any("0.5", "decay", "-1.5e-1", "1 / (t + 1)", "t / 7", "(t % 3 == 0)", "pi / 6");
      case 2: return repeated_ ? any("(1 + layer) / L", "0.3 * layer", "(layer % 2 == 0)") : "tau";
      case 3: return fmt::format("{}[t-{}]", named(n), 1 + pick(3));
      default: return named(n);
    }
  }
  auto sub = [&] { return whole(n, depth - 1); };
  switch (pick(19)) {
    case 0: return fmt::format("{} * {}", unary(sub()), named(n));
    case 1: return unary(sub());
    case 2: return fmt::format("({} + {})", sub(), sub());
    case 3: return fmt::format("({} - {}) / {}", sub(), sub(), any("2", "tau", "(1 + abs(" + named(n) + "))", "sqrt(2)"));
    case 4: return fmt::format("tanh({} * {})", sub(), sub());
    case 5: jumps = true; return fmt::format("where({} {} {}, {}, {})", named(n), any("<", "<=", ">", ">="), any("0.1", named(n), "mean(" + named(n) + ")"), sub(), sub());
    case 6: jumps = true; return fmt::format("{}({}, {})", any("max", "min"), sub(), sub());
    case 7: return fmt::format("{} * {}(unit({}))", named(n), any("softmax", "sum", "logsumexp", "mean", "max", "min", "prod"), named(n));
    case 8: return fmt::format("softmax({} + {})", named(n), sub());
    case 9: functions.push_back("blend"); return fmt::format("blend({}, {})", sub(), named(n)) ;
    case 10: functions.push_back("blend"); return fmt::format("blend({}, {}, share = {})", named(n), sub(), any("0.25", "decay", "1 / (1 + t)"));
    case 11: { int m = 0; const std::string a = any_value(m); return fmt::format("tanh({}({}))", linear(m, n), a); }
    case 12: { int m = 0; const std::string a = any_value(m); return fmt::format("sin({} @ {})", a, matrix(m, n)); }
    case 13: return fmt::format("{}({} + {})", declare("n", any("layernorm", "rmsnorm") + "(" + size(n) + ")"), sub(), named(n));
    case 14: functions.push_back("powernorm"); return fmt::format("{}({})", declare("n", "powernorm(" + size(n) + ")"), named(n));
    case 15: return fmt::format("-{}", named(n)) ;
    case 16: return fmt::format("{} * {}", named(n), declare("r", "scalar", any("", ", init = \"ones\"")));
    case 17: return fmt::format("cumsum({}) / (t + 1)", named(n));
    default: return fmt::format("({} - mean({}))", sub(), named(n));
  }
}

/// A condition on s that holds for no later position than pos; where `nonempty`, for s = pos at least, and not on data.
std::string BlockWriter::past(const std::string& s, const std::string& pos, bool nonempty) {
  std::string out = fmt::format("{} {} {}", s, nonempty || chance(60) ? "<=" : "<", pos);
  if (chance(15) && !nonempty) out = fmt::format("{} - {} > {}", pos, s, pick(3));
  if (chance(30)) out += fmt::format(", {} - {} < {}", pos, s, 1 + pick(4));
  if (chance(10)) out += fmt::format(", ({} - {}) % 2 == 0", pos, s);
  if (chance(8)) out += fmt::format(", {} // 3 == {} // 3", s, pos);
  if (!nonempty && chance(12)) out += fmt::format(", tokens[{}] {} tokens[{}]", s, any("==", "!=", "<"), pos);
  if (!nonempty && chance(6)) out += fmt::format(", {} % 2 == 1", s);
  return out;
}

/// A reduction that binds an index, at position pos and feature i.
std::string BlockWriter::reduced(const std::string& pos, const std::string& i, int n, int depth) {
  const bool over_positions = chance(55);
  const std::string s = fresh(over_positions ? "s" : "j");
  if (over_positions) {
    const std::string f = any("sum", "sum", "sum", "mean", "mean", "max", "min", "logsumexp", "prod");
    if (f == "max" || f == "min") jumps = true;
    const bool nonempty = f != "sum" && f != "mean";
    std::string condition = past(s, pos, nonempty);
    std::string body = chance(40) ? fmt::format("{}[{},{}]", named(n), s, i) : indexed(s, i, n, depth - 1);
    if (f == "sum" && chance(40)) body = fmt::format("{} * {}", body, any("sigmoid(" + named(n) + "[" + pos + "," + i + "])", fmt::format("{}^({} - {})", any("decay", "0.5"), pos, s)));
    if (f == "prod") body = "cos(" + body + ")";
    const bool bare = body.find("[" + s + ",") != std::string::npos || condition.find("tokens[" + s + "]") != std::string::npos;
    if (chance(10) && f != "prod") {  // short form
      condition = any("<=", f == "sum" || f == "mean" ? "<" : "<=");
      if (bare) return fmt::format("0.3 * {}({} {} {}: {})", f, s, condition, pos, body);
      condition = s + " " + condition + " " + pos;
    }
    return fmt::format("0.3 * {}({}{} | {}: {})", f, s, bare && chance(80) ? "" : " in 0..T", condition, body);
  }
  switch (pick(4)) {
    case 0: { int m = 0; const std::string a = any_value(m); return fmt::format("0.4 * {}({}: {}[{},{}] * {}[{},{}])", any("sum", "mean", "max"), s, matrix(n, m), i, s, a, pos, s); }
    case 1: return fmt::format("0.3 * sum({} in 0..3: {}[{},{}] * {}[{} - {},{}])", s, matrix(n, 3), i, s, named(n), pos, chance(50) ? s : "2 + " + s, i);
    case 2: return fmt::format("mean({0} in {1}..{2}: {0} / 5 * {3})", s, pick(2), 2 + pick(3), indexed(pos, i, n, depth - 1));
    default: { int m = 0; const std::string a = any_value(m); jumps = true; return fmt::format("{}({} | {} != {}: {}[{},{}])", any("sum", "mean"), s, s, any("0", i), a, pos, s); }
  }
}

/// A number at position `pos` and feature `i` of n, near 1.
std::string BlockWriter::indexed(const std::string& pos, const std::string& i, int n, int depth) {
  if (depth <= 0 || chance(25)) {
    switch (pick(14)) {
      case 0: return fmt::format("{}[{}]", vector(n), i);
      case 1: return any("0.5", "decay", fmt::format("1 / ({} + 1)", pos), fmt::format("{} / {}", i, n), fmt::format("({} % 2 == 0)", pos), fmt::format("2^(-1 - {})", i));
      case 2: return fmt::format("{}[{},{}]", matrix(n, 3), i, any("0", "2", fmt::format("({} + {}) % 3", i, pos), fmt::format("tokens[{}] % 3", pos)));
      case 3: return fmt::format("{}[{}-{},{}]", named(n), pos, 1 + pick(3), i);
      case 4: { int m = 0; const std::string a = any_value(m); return fmt::format("{}[{},{}]", a, pos, any(std::to_string(pick(m)), fmt::format("{} % {}", i, m), fmt::format("({} + 1) % {}", i, m))); }
      case 5: return fmt::format("{}[{},{}]", named(n), pos, fmt::format("{} - 1 - {}", n, i));
      default: return fmt::format("{}[{},{}]", named(n), pos, i);
    }
  }
  auto sub = [&] { return indexed(pos, i, n, depth - 1); };
  switch (pick(12)) {
    case 0: return unary(sub());
    case 1: return fmt::format("({} + {})", sub(), sub());
    case 2: return fmt::format("tanh({} * {})", sub(), sub());
    case 3: return fmt::format("({} - {}) / {}", sub(), sub(), any("2", "(1 + abs(" + named(n) + "[" + pos + "," + i + "]))"));
    case 4: jumps = true; return fmt::format("where({}, {}, {})", any(pos + " % 2 == 0", pos + " > 1", i + " < 1", named(n) + "[" + pos + "," + i + "] > 0", "tokens[" + pos + "] == " + std::to_string(pick(4))), sub(), sub());
    case 5: return fmt::format("{} * {}[{},{}]", unary(sub()), named(n), pos, i);
    case 6: jumps = true; return fmt::format("{}({}, {})", any("max", "min"), sub(), any("0.2", sub()));
    default: return reduced(pos, i, n, depth);
  }
}

}  // namespace cpuflow::tests
