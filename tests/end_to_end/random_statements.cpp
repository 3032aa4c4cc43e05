// Statements of random models: what relates positions, routes, looks up and rearranges.
#include "tests/end_to_end/random_writer.h"

namespace cpuflow::tests {


void BlockWriter::add_statement() {
  switch (pick(21)) {
    case 0:
    case 1:
    case 2: {
      const int n = width();
      const std::string e = whole(n, 3), v = fresh("v");
      line(fmt::format("{} = {}", v, e));
      line(fmt::format("{0} = {0} + {1} * {2}", v, vector(n), named(n)));  // an expression of numbers alone has no features and no positions
      return keep(v, {n}, chance(60));
    }
    case 3:
    case 4:
    case 5: {
      const int n = width();
      const std::string e = indexed("t", "i", n, 3), v = fresh("v");
      line(fmt::format("{}[t,i in 0..{}] = {}", v, size(n), e));
      return keep(v, {n}, chance(60));
    }
    case 6:
    case 7: return attention();
    case 8:
    case 9:
    case 10: return recurrence();
    case 11: return matrix_state();
    case 12: return chunks();
    case 13:
    case 14: return looked_up();
    case 15: return routed();
    case 16: return rearranged();
    case 17: return three_factors();
    case 18: return conditional();
    case 19: {
      int n = 0;
      const std::string a = any_value(n), v = fresh("v");
      line(fmt::format("{} = dropout({}, {})", v, a, any("0.1", "0.5", "decay / 3")));
      return keep(v, {n}, true);
    }
    default: return constants();
  }
}

void BlockWriter::finish() {
  const std::string last = named(sizes_.d);
  switch (pick(4)) {
    case 0: return line(fmt::format("x = x + 0.3 * {}", last));
    case 1: return line(fmt::format("x = x + {}({})", linear(sizes_.d, sizes_.d), last));
    case 2: return line(fmt::format("x[t,i] = 0.9 * x[t,i] + 0.3 * sin({}[t,i])", last));
    default: return line(fmt::format("x = {}(x + tanh({}))", declare("n", "layernorm(d)"), last));
  }
}

void BlockWriter::attention() {
  const std::string p = fresh("p"), v = fresh("v");
  std::string condition = any("s <= t", "s <= t", "s < t", "s <= t, t - s < 3", "t - s < 2, s <= t", "s <= t, s % 2 == t % 2", "s < t, tokens[s] != tokens[t]", "s <= t, s // 2 == t // 2");
  if (chance(4)) {
    condition = any("s != t", "s - t < 2");
    causal = false;
  }
  const std::string bias = any("", "", fmt::format(" - 0.1 * (t - s)"), " + tau * (s == 0)");
  if (chance(50)) {
    const int n = width(), m = width();
    const std::string q = named(n), k = named(n), value = named(m), scale = any("", " / sqrt(d)", " * 0.5");
    line(fmt::format("{}[t,s] = softmax(s{} | {}: sum(c: {}[t,c] * {}[s,c]){}{})", p, bias.empty() && chance(50) ? "" : "", condition, q, k, scale, bias));
    line(fmt::format("{}[t,i] = sum(s: {}[t,s] * {}[s,i])", v, p, value));
    return keep(v, {m}, chance(70));
  }
  const int n = width();
  const std::string a = named(n), q = fresh("q"), k = fresh("k"), u = fresh("u");
  const std::string turn = sizes_.d / sizes_.H % 2 == 0 ? any("{}", "rope({})", "rope_half({})") : "{}";
  const std::string heads = "reshape({}({}), H, dh)";
  auto turned = [&](const std::string& e) { return turn == "{}" ? e : turn.substr(0, turn.size() - 3) + e + ")"; };
  if (chance(50)) {
    const std::string all = declare("W", fmt::format("linear({}, 3*d)", size(n)));
    line(fmt::format("{}, {}, {} = split({}({}), 3)", q, k, u, all, a));
    line(fmt::format("{0}, {1}, {2} = {3}, {4}, reshape({2}, H, dh)", q, k, u, turned("reshape(" + q + ", H, dh)"), turned("reshape(" + k + ", H, dh)")));
  } else {
    line(fmt::format("{} = {}", q, turned(fmt::format("reshape({}({}), H, dh)", linear(n, sizes_.d), a))));
    line(fmt::format("{} = {}", k, turned(fmt::format("reshape({}({}), H, dh)", linear(n, sizes_.d), a))));
    line(fmt::format("{} = reshape({}({}), H, dh)", u, linear(n, sizes_.d), a));
  }
  const bool one_key = chance(25);  // all heads look at the keys of the first
  line(fmt::format("{}[t,h,s] = softmax(s | {}: sum(c: {}[t,h,c] * {}[s,{},c]) / sqrt(dh){})", p, condition, q, k, one_key ? "0" : "h", bias));
  const std::string o = fresh("o");
  line(fmt::format("{}[t,h,c] = sum(s: {}[t,h,s] * {}[s,{},c])", o, p, u, one_key ? "0" : "h"));
  line(fmt::format("{} = reshape({}, d)", v, o));
  keep(v, {sizes_.d}, chance(70));
}

void BlockWriter::recurrence() {
  const int n = width();
  const std::string v = fresh("v"), a = named(n), b = named(n);
  const std::string gate = any("sigmoid(" + a + "[t,i])", "decay", "0.7", "exp(-softplus(" + b + "[t,i]))", "sigmoid(" + vector(n) + "[i])", "(1 - 2^(-1 - i))");
  if (chance(30)) line(fmt::format("{}[start,i] = {}[i]", v, vector(n)));
  switch (pick(11)) {
    case 0:
    case 1: {
      const std::string e = indexed("t", "i", n, 2);
      line(fmt::format("{0}[t,i in 0..{3}] = {1} * {0}[t-1,i] + {2}", v, gate, e, n));
      break;
    }
    case 2: {
      const std::string g = fresh("f"), e = whole(n, 2);
      line(fmt::format("{} = sigmoid({}({}))", g, linear(n, n), a));
      line(fmt::format("{0} = {1} * {0}[t-1] + (1 - {1}) * {2}", v, g, e + " * " + b));
      break;
    }
    case 3: {
      const std::string e = whole(n, 1), w = linear(n, n);
      line(fmt::format("{0} = tanh({1} + {3} + {2}({0}[t-1]))", v, e, w, a));
      break;
    }
    case 4: {
      const std::string r = fresh("r"), z = fresh("z");
      const std::string w1 = linear(n, n), w2 = linear(n, n), w3 = linear(n, n), w4 = linear(n, n);
      line(fmt::format("{} = sigmoid({} + {}({}[t-1]))", r, a, w1, v));
      line(fmt::format("{} = sigmoid({}({}) + {}({}[t-1]))", z, w2, b, w3, v));
      line(fmt::format("{0} = (1 - {1}) * tanh({2} + {3} * {4}({0}[t-1])) + {1} * {0}[t-1]", v, z, b, r, w4));
      break;
    }
    case 5: line(fmt::format("{0}[t,i] = 0.5 * {0}[t-1,i] - 0.3 * {0}[t-2,i] + {1}[t,i]", v, a)); break;
    case 6: {
      const std::string c = fresh("c"), w = linear(n, n);
      line(fmt::format("{} = sigmoid({}) * {}[t-1] + tanh({}({}[t-1]) + {})", c, a, c, w, v, b));
      line(fmt::format("{} = sigmoid({}) * tanh({})", v, a, c));
      break;
    }
    case 7: {
      const std::string q = fresh("q");
      line(fmt::format("{}[t,i] = 0.4 * {}[t-1,i] + {} * {}[t-1,i] + {}[t,i]", q, v, "0.3", q, a));
      line(fmt::format("{}[t,i] = tanh({}[t,i] - 0.5 * {}[t-1,i])", v, q, v));
      break;
    }
    case 8: jumps = true; line(fmt::format("{0}[t,i] = max(0.8 * {0}[t-1,i], {1}[t,i])", v, a)); break;
    case 9: jumps = true; line(fmt::format("{0}[t,i] = where(tokens[t] % 3 == {3}, {2}[t,i], 0.6 * {0}[t-1,i] + {1}[t,i])", v, a, b, pick(3))); break;
    default: {
      const std::string m = matrix(n, n);
      line(fmt::format("{0}[t,i] = tanh({1}[t,i] + sum(j: {2}[i,j] * {0}[t-1,j]))", v, a, m));
    }
  }
  keep(v, {n}, false);
}

void BlockWriter::matrix_state() {
  const int n = width(), m = width();
  const std::string k = fresh("k"), u = named(m), q = named(n), a = named(n), S = fresh("S"), v = fresh("v");
  line(fmt::format("{} = {}", k, any("unit(" + a + ")", "softmax(" + a + ")", "sigmoid(" + a + ")")));
  if (chance(25)) line(fmt::format("{}[start,i,j] = {}[i,j]", S, matrix(n, m)));
  const std::string forget = any("decay", "sigmoid(" + q + "[t,i])", "0.8", "exp(-abs(" + q + "[t,0]))");
  switch (pick(4)) {
    case 0:
    case 1: line(fmt::format("{0}[t,i,j] = {1} * {0}[t-1,i,j] + 0.5 * {2}[t,i] * {3}[t,j]", S, forget, k, u)); break;
    case 2: line(fmt::format("{0}[t,i,j] = {0}[t-1,i,j] + sigmoid({4}[t,0]) * {2}[t,i] * (tanh({3}[t,j]) - sum(c: {2}[t,c] * {0}[t-1,c,j]))", S, forget, "unit" + k, u, q)); break;
    default: line(fmt::format("{0}[t,i,j] = tanh({1} * {0}[t-1,i,j] + {2}[t,i] * {3}[t,j])", S, forget, k, u));
  }
  const size_t wrong = equations.rfind("unit" + k);  // the delta rule needs keys of length at most 1
  if (wrong != std::string::npos) {
    const size_t begin = equations.rfind("\n" + S + "[t,i,j]") + 1;
    std::string body = equations.substr(begin);
    equations.resize(begin);
    line(fmt::format("unit{} = unit({})", k, k));
    equations += body;
  }
  line(fmt::format("{}[t,j] = sum(i: {}[t,i] * {}[{},i,j])", v, q, S, any("t", "t", "t-1")));
  keep(v, {m}, false);
}

void BlockWriter::chunks() {
  const int n = width(), c = 1 + pick(5);
  const std::string a = named(n), b = named(n), mem = fresh("mem"), v = fresh("v");
  const std::string range = fmt::format("n in 0..ceil(T/{})", c);
  switch (pick(3)) {
    case 0:
      if (chance(40)) line(fmt::format("{}[start,i] = {}[i]", mem, vector(n)));
      line(fmt::format("{0}[{1}, i] = {2} * {0}[n-1,i] + sum(t | t // {3} == n: {4}[t,i])", mem, range, any("0.6", "decay", "sigmoid(" + vector(n) + "[i])"), c, a));
      line(fmt::format("{}[t,i] = {}[t // {} - 1, i] + {}[t,i]", v, mem, c, b));
      break;
    case 1:
      line(fmt::format("{}[{}, i] = mean(t | t // {} == n: {}[t,i])", mem, range, c, a));
      line(fmt::format("{}[t,i] = {}[t,i] * {}[t // {} - 1, i] + {}[t,i]", v, b, mem, c, a));
      break;
    default: {
      const int m = width();
      const std::string k = named(m);
      if (chance(40)) line(fmt::format("{}[start,i,j] = {}[i,j]", mem, matrix(n, m)));
      line(fmt::format("{0}[{1}, i, j] = {2} * {0}[n-1,i,j] + sum(t | t // {3} == n: {4}[t,i] * {5}[t,j])", mem, range, any("0.6", "decay"), c, a, k));
      line(fmt::format("{}[t,i] = sum(j: {}[t,j] * {}[t // {} - 1, i, j])", v, k, mem, c));
    }
  }
  keep(v, {n}, false);
}

void BlockWriter::looked_up() {
  const int n = width();
  const std::string v = fresh("v"), w = fresh("w"), a = named(n);
  switch (pick(9)) {
    case 0: line(fmt::format("{} = {}[tokens]", v, declare("E", fmt::format("table(V, {})", size(n))))); break;
    case 1: line(fmt::format("{}[t,i] = {}[tokens[t], i] * {}[t,i]", v, declare("E", fmt::format("tensor(V, {})", size(n))), a)); break;
    case 2: {
      jumps = true;
      const int m = width();
      line(fmt::format("{} = argmax({})", w, named(m)));
      line(fmt::format("{}[t,i] = {}[{}[t], i] + {}[t,i]", v, matrix(m, n), w, a));
      break;
    }
    case 3: line(fmt::format("{}[t,i] = {}[t - 1 - tokens[t] % 3, i] + 0.5 * {}[t,i]", v, a, a)); break;
    case 4:
      line(fmt::format("{}[t] = where(t > 0, tokens[t] == tokens[t-1], 0)", w));
      line(fmt::format("{} = {} * (1 + {})", v, a, w));
      break;
    case 5:
      line(fmt::format("{}[t] = sum(s | s <= t, tokens[s] == tokens[t]: 1)", w));
      line(fmt::format("{} = {} / {}", v, a, w));
      break;
    case 6: line(fmt::format("{} = onehot(tokens % {}, {}) * {}", v, n, size(n), a)); break;
    case 7:
      line(fmt::format("{}[t,q in 0..3] = tokens[t] == marks[q]", w));
      line(fmt::format("{}[t,i] = {}[t,i] + sum(q: {}[t,q] * {}[i,q])", v, a, w, matrix(n, 3)));
      break;
    default: line(fmt::format("{}[t,i] = sum(s | s < t, tokens[s] == tokens[t]: {}[s,i]) + {}[t,i]", v, a, named(n)));
  }
  keep(v, {n}, false);
}

void BlockWriter::routed() {
  const int n = width(), m = 2 + pick(4);
  jumps = true;
  const std::string a = named(n), soft = fresh("y"), slot = fresh("z"), v = fresh("v");
  line(fmt::format("{} = softmax({}({}))", soft, linear(n, m), a));
  switch (pick(4)) {
    case 0: line(fmt::format("{} = topk({}, {})", slot, soft, 1 + pick(m))); break;
    case 1:
      line(fmt::format("{} = topk({}, {})", slot, soft, 1 + pick(m)));
      line(fmt::format("{0} = {0} / (sum({0}) + 1e-8)", slot));
      break;
    case 2: line(fmt::format("{0} = onehot(argmax({1}), {2}) + ({1} - stop({1}))", slot, soft, m)); break;
    default:
      functions.push_back("ternary");
      line(fmt::format("{} = {} @ ternary({})", v, soft, matrix(m, n)));
      return keep(v, {n}, true);
  }
  line(chance(50) ? fmt::format("{} = {} @ {}", v, slot, matrix(m, n)) : fmt::format("{}[t,i] = sum(c: {}[t,c] * {}[c,i])", v, slot, matrix(m, n)));
  keep(v, {n}, true);
}

void BlockWriter::rearranged() {
  const int d = sizes_.d, H = sizes_.H;
  const std::string a = named(d), b = named(d), p = fresh("p"), q = fresh("q"), v = fresh("v");
  switch (pick(8)) {
    case 0:
      line(fmt::format("{}, {} = split({}, [1, d - 1])", p, q, a));
      line(fmt::format("{} = concat({}, {})", v, q, p));
      return keep(v, {d}, true);
    case 1:
      line(fmt::format("{}, {} = split({}, 2)", p, q, a));
      line(fmt::format("{0} = concat({1} * {2}, {2}, {1} - {2})", v, p, q));
      return keep(v, {d / 2 * 3}, chance(50));
    case 2:
      line(fmt::format("{} = reshape({}, H, dh)", p, a));
      line(fmt::format("{0} = ({0} - mean({0})) / sqrt(mean({0} * {0}) + 0.1)", p));
      line(fmt::format("{} = reshape({}, d) * {}", v, p, b));
      return keep(v, {d}, true);
    case 3:
      line(fmt::format("{} = stack({}, {}, {})", p, a, b, any("0.5", a)));
      line(fmt::format("{} = reshape({}({}), d)", v, any("sum", "mean", "max", "prod", "logsumexp"), p));
      jumps = true;
      return keep(v, {d}, false);
    case 4:
      line(fmt::format("{} = reshape(stack({}, {}), 2*d)", v, a, b));
      return keep(v, {2 * d}, true);
    case 5:
      line(fmt::format("{} = {}({})", v, declare("n", "groupnorm(H, d)"), a));
      return keep(v, {d}, true);
    case 6: {
      const int m = 2 + pick(2);
      line(fmt::format("{} = reshape({}, H, dh)", p, a));
      line(fmt::format("{}[t,h,j] = sum(i: {}[t,h,i] * {}[h,i,j])", q, p, declare("M", fmt::format("tensor(H, dh, {})", m))));
      line(fmt::format("{} = reshape({}, H*{})", v, q, m));
      return keep(v, {H * m}, false);
    }
    default:
      line(fmt::format("{} = reshape({}, H, dh)", p, a));
      line(fmt::format("{}[t,c,h] = {}[t,h,c]", q, p));
      line(fmt::format("{} = reshape(softmax({}), d) + reshape(transpose({}), d)", v, q, p));
      return keep(v, {d}, chance(50));
  }
}

void BlockWriter::three_factors() {
  const int n = width(), m = width();
  const std::string a = named(n), b = named(n), c = named(m), v = fresh("v");
  const std::string when = any("s < t", "s <= t", "s <= t, t - s < 4", "s < t, s % 2 == 0", "s <= t, s // 2 != t // 2");
  const std::string fade = any("", "", " * decay^(t - s)", " * exp(min(" + a + "[t,0] - " + b + "[s,0], 0))", " / (t + 1)");
  if (fade.find("min") != std::string::npos) jumps = true;
  line(fmt::format("{}[t,i] = 0.2 * sum(s, c | {}: {}[t,c] * {}[s,c] * {}[s,i]{})", v, when, a, b, c, fade));
  keep(v, {m}, false);
}

void BlockWriter::conditional() {
  if (!repeated_) return rearranged();
  const std::string when = any("layer >= 1", "layer == 0", "layer % 2 == 0", "layer < L - 1");
  const int n = width();
  const std::string a = named(n), v = fresh("v"), extra = ", when = \"" + when + "\"";
  line(fmt::format("{} = {} * (1 + layer)", v, a));
  if (chance(50)) {
    line(fmt::format("{0} = tanh({0} + {1}({2})) if {3}", v, declare("W", fmt::format("linear({}, {})", size(n), size(n)), extra), a, when));
  } else {
    const std::string g = declare("g", fmt::format("vector({})", size(n)), extra);
    line(fmt::format("{0}[t,i] = {0}[t,i] + sum(s | s <= t, t - s < 2: {1}[s,i]) * {2}[i] if {3}", v, a, g, when));
  }
  keep(v, {n}, false);
}

void BlockWriter::constants() {
  const int n = width();
  const std::string gamma = fresh("gamma"), a = named(n), v = fresh("v");
  switch (pick(3)) {
    case 0:
      line(fmt::format("{}[i in {}] = 1 - 2^(-1 - i)", gamma, size(n).find_first_of("de") == std::string::npos ? "0.." + size(n) : size(n)));
      line(fmt::format("{} = {} * {}", v, a, gamma));
      break;
    case 1:
      line(fmt::format("{0}[i in 0..{1}, j in 0..{1}] = 1 / (1 + (i - j)^2)", gamma, n));
      line(fmt::format("{} = 0.5 * {} @ {}", v, a, gamma));
      break;
    default:
      line(fmt::format("{}[t,i in 0..{}] = cos(t * 10^(-i / {}))", gamma, n, n));
      line(fmt::format("{} = {} + {}", v, a, gamma));
  }
  keep(v, {n}, false);
}

}  // namespace cpuflow::tests
