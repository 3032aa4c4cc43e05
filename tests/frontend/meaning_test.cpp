// Rules of the language, each as two texts that mean the same.
#include "ir/interpret.h"
#include "tests/catch.h"
#include "tests/frontend/model_text.h"

#include <algorithm>
#include <cmath>

using namespace cpuflow;
using cpuflow::test::load;
using cpuflow::test::ModelText;

namespace {

std::map<std::string, ir::Tensor> outputs(const frontend::Model& model) {
  std::map<std::string, ir::Tensor> params, inputs;
  for (ir::NodeId id = 0; id < model.graph.size(); ++id) {
    const ir::Node& node = model.graph[id];
    if (node.op != ir::Op::Param && node.op != ir::Op::Input) continue;
    ir::Tensor& tensor = (node.op == ir::Op::Param ? params : inputs)[node.text];
    tensor.axes = node.axes;
    // Numbers that depend on the name only, that of the layer included.
    const std::vector<std::string> names = node.op == ir::Op::Param ? ir::checkpoint_names(node) : std::vector{node.text};
    for (const std::string& name : names) {
      uint32_t state = 1;
      for (char c : name) state = state * 31 + static_cast<unsigned char>(c);
      for (uint64_t i = 0; i < ir::element_count(node.axes) / names.size(); ++i) {
        state = state * 1664525u + 1013904223u;
        double v = (state >> 8) / 16777216.0;
        tensor.data.push_back(node.op == ir::Op::Param ? v - 0.5 : std::floor(v * 8));
      }
    }
  }
  return ir::interpret(model.graph, params, inputs);
}

void same(const std::string& a, const std::string& b) {
  ModelText first, second;
  first.block = a;
  second.block = b;
  INFO(a << "\n--- and ---\n" << b);
  std::map<std::string, ir::Tensor> x = outputs(load(first)), y = outputs(load(second));
  REQUIRE(x.at("logits").data.size() == y.at("logits").data.size());
  double worst = 0;
  for (size_t i = 0; i < x.at("logits").data.size(); ++i)
    worst = std::max(worst, std::abs(x.at("logits").data[i] - y.at("logits").data[i]));
  CHECK(worst < 1e-12);
  CHECK(std::abs(x.at("loss.total").data[0] - y.at("loss.total").data[0]) < 1e-12);
}

}  // namespace

TEST_CASE("whole values and indices say the same") {
  same("x = W(x)", "y[t,i] = sum(j: W.weight[i,j] * x[t,j])\nx = y");
  same("x = x @ M", "y[t,i] = sum(j: x[t,j] * M[j,i])\nx = y");
  same("x = x + cumsum(x)", "y[t,i] = sum(s <= t: x[s,i])\nx = x + y");
  same("x = softmax(x)", "y[t,i] = exp(x[t,i]) / sum(j: exp(x[t,j]))\nx = y");
  same("a, c = split(x, [1, 3])\nx = concat(c, a)", "y[t,i in 0..4] = x[t, (i + 1) % 4]\nx = y");
  same("y = reshape(x, 2, 2)\nx = reshape(transpose(y), d)", "y[t,i in 0..4] = x[t, i // 2 + 2 * (i % 2)]\nx = y");
  same("y = stack(x, 2 * x)\nx = reshape(sum(y), d)", "x = 3 * x");
}

TEST_CASE("operators: precedence, and what integers become") {
  same("x = x * -t^2", "x = 0 - x * (t * t)");
  same("x = x * 2^3^2", "x = x * 512");
  same("x = x * 2^-1", "x = x / 2");
  same("x = x * (7 / 2) * (-7 // 2) * (-7 % 2)", "x = x * -14");
  same("x = x * 12 / 3 / 2", "x = x * 2");
  same("x = x + t % 3 * 2 - 1", "x = x + ((t % 3) * 2) - 1");
  same("y[t] = x[t, t^2 % d] + x[t, floor(t / 2)]\nx = x + y[t]", "y[t] = x[t, (t * t) % d] + x[t, t // 2]\nx = x + y[t]");
  same("x = x * (t + 1 < 3)", "x = where(t < 2, x, 0)");
  same("x = x * where((t > 1) * (t < 4), 1, 0)", "y[t,i] = sum(j in 0..1 | t > 1, t < 4: x[t,i])\nx = y");
  same("y[t,i] = sum(s | s <= t, max(s == t, s == 0): x[s,i])\nx = y", "y[t,i] = x[t,i] + where(t > 0, x[0,i], 0)\nx = y");
}

TEST_CASE("conditions belong to the value") {
  same("a[t,s] = softmax(s | s < t: x[s,0])\ny[t,i] = sum(s: a[t,s] * x[s,i])\nx = x + y",
       "a[t,s] = softmax(s | s < t: x[s,0])\ny[t,i] = sum(s | s < t: a[t,s] * x[s,i])\nx = x + y");
  same("y[t,i] = mean(s | s < t: x[s,i])\nx = x + y", "y[t,i] = sum(s | s < t: x[s,i]) / max(t, 1)\nx = x + y");
  same("y[t,i] = sum(s | t > 2: x[s,i])\nx = x + y", "y[t,i] = where(t > 2, sum(s: x[s,i]), 0)\nx = x + y");
  same("y[t] = max(s | s <= t: x[s,0])\nx = x * y[t]", "y[t] = max(s: where(s <= t, x[s,0], -100))\nx = x * y[t]");
}

TEST_CASE("recurrences and ends") {
  same("k[t] = (k[t-1] + tokens[t]) % 5\nx = x + onehot(k, d)", "k[start] = 0\nk[t] = (k[t-1] + tokens[t]) % 5\nx = x + onehot(k, d)");
  same("y[t,i] = y[t-1,i] + x[t,i]\nx = y", "x = cumsum(x)");
  same("y = y[t-1] + x\nx = y", "x = cumsum(x)");
  same("y[start,i] = g[i]\ny[t,i] = y[t-1,i] + x[t,i]\nx = y", "x = cumsum(x) + g");
  same("y = x[t-1]\nx = x + W(y)\nx[start] = g\nz = x[t-1]\nx = x + z", "y = x[t-1]\nu = x + W(y)\nu[start] = g\nx = u + u[t-1]");
  same("y[t,i] = x[max(t-1,-1),i]\nx[start] = g\nx = x + y", "x[start] = g\ny = x[t-1]\nx = x + y");
  same("y = 0.5 * max(h[t-1]) * h[t-1]\nh[t,i] = tanh(x[t,i] + y[t,i])\nx = h", "h[t,i] = tanh(x[t,i] + 0.5 * max(j: h[t-1,j]) * h[t-1,i])\nx = h");
  same("k = tanh(x + y[t-1] @ M)\ny[t,i in 0..d] = k[t,i] * g[i]\nx = y", "y[t,i] = tanh(x[t,i] + sum(j: y[t-1,j] * M[j,i])) * g[i]\nx = y");
  same("k = x + max(y[t-1])\ny[t,i] = 0.5 * y[t-1,i] + k[t,i] * g[i]\nx = y", "y[t,i] = 0.5 * y[t-1,i] + (x[t,i] + max(j: y[t-1,j])) * g[i]\nx = y");
  same("y[t,i] = y[t-1,i] + x[t,i]\ny[start] = g\nx = y", "x = cumsum(x) + g");
  same("z = tanh(x + y[t-1])\ny[start,i] = g[i]\ny[t,i] = y[t-1,i] + z[t,i]\nx = y", "y[start] = g\nz = tanh(x + y[t-1])\ny = y[t-1] + z\nx = y");
  same("p = x[t-1]\nx[start] = g\nx = x + p", "x[start] = g\np = x[t-1]\nx = x + p");
  same("P[start,i in 0..d,j in 0..d] = where(i == j, 1, 0)\nP[t,i,j] = P[t-1,i,j] + g[i]\nq[t] = sum(i: P[t,i,2])\nx = x * q", "x = x * (1 + (t + 1) * sum(g))");
  same("y[t,i] = x[t,i] + sum(s | s < t: y[s,i])\nx = y", "z[t,i] = sum(s | s <= t: where(s == t, 1, 2^(t - s - 1)) * x[s,i])\nx = z");
  same("u[t,i] = v[t-1,i] + x[t,i]\nv[t,i] = 0.5 * u[t,i]\nx = u", "u[t,i] = 0.5 * u[t-1,i] + x[t,i]\nx = u");
  same("u[t,i] = u[t-2,i] + x[t,i]\nx = u", "u[t,i] = sum(s | s <= t, (t - s) % 2 == 0: x[s,i])\nx = u");
  same("y = x[t-1]\nx = x + y", "y[t,i] = where(t > 0, x[t-1,i], 0)\nx = x + y");
  same("c[n in 0..ceil(T/4),i] = c[n-1,i] + sum(t | t // 4 == n: x[t,i])\ny[t,i] = c[t // 4 - 1, i]\nx = x + y",
       "y[t,i] = sum(s | s // 4 < t // 4: x[s,i])\nx = x + y");
}

TEST_CASE("layers: one body for equal ones, `layer` is a number") {
  same("x = x + layer * W(x)", "x = x + W(x) * where(layer == 0, 0, 1)");
  same("x = x * g[layer] + M[layer + 1]", "x = x * where(layer == 0, g[0], g[1]) + where(layer == 0, M[1], M[2])");
  same("y[t,i] = x[t,layer] * M[i,layer]\nx = y", "y[t,i] = where(layer == 0, x[t,0] * M[i,0], x[t,1] * M[i,1])\nx = y");
  same("x = x + W(x) if layer == 1", "x = x + where(layer == 1, W(x), 0)");
  same("y = reshape(x, layer + 1, d / (layer + 1))\nx = reshape(y, d)", "x = x");
  ModelText text;
  text.params = "W = { kind = \"linear(d, d)\", when = \"layer == 1\" }\ng = { kind = \"vector(d)\", init = \"uniform(0, 0.5 / L)\" }\n";
  text.block = "x = x * g\nx = W(x) if layer == 1";
  frontend::Model model = load(text);
  std::vector<std::string> names;
  for (const codegen::ParamInfo& p : model.params) names.push_back(p.name);
  CHECK(names == std::vector<std::string>{"embed.weight", "odd", "blocks.0.g", "blocks.1.W.weight", "blocks.1.g"});
  CHECK(model.params[2].init == codegen::ParamInfo::Init::Uniform);
  CHECK(model.params[2].init_b == Approx(0.25));

  text.block = "x = x * g";
  text.params = "g = { kind = \"vector(d)\", init = \"constant(1e-7 * (layer + 1))\" }\n";
  model = load(text);
  CHECK(model.params[2].init_a == 1e-7);
  CHECK(model.params[3].init_a == 2e-7);
  text.params = "g = { kind = \"vector(d)\", range = [\"1 + layer\", \"2 + layer\"] }\n";
  model = load(text);
  CHECK(model.params[2].high == 2);
  CHECK(model.params[3].high == 3);
}

TEST_CASE("a size of a layer may be computed from others, by a call as well") {
  ModelText text;
  text.params = "G = \"gate(d)\"\n";
  text.block = "x = G(x)";
  text.more = "[layers.gate]\nsizes = \"n, p = max(2, n // 2), biased = 0\"\nforward = 'x = x * sum(scale)'\n[layers.gate.params]\nscale = \"vector(p)\"\n";
  const frontend::Model model = load(text);
  const auto scale = std::find_if(model.params.begin(), model.params.end(), [](const codegen::ParamInfo& p) { return p.name == "blocks.0.G.scale"; });
  REQUIRE(scale != model.params.end());
  CHECK(scale->shape == std::vector<int64_t>{2});
}

TEST_CASE("names and bound indices leave no trace in the graph") {
  ModelText a, b;
  a.block = "y[t,i] = sum(j: W.weight[i,j] * x[t,j])\nx = y";
  b.block = "longer[t,q] = sum(z: W.weight[q,z] * x[t,z])\nx = longer";
  ir::Graph first = load(a).graph, second = load(b).graph;
  REQUIRE(first.size() == second.size());
  for (ir::NodeId id = 0; id < first.size(); ++id) {
    CHECK(first[id].op == second[id].op);
    CHECK(first[id].axes == second[id].axes);
    CHECK(first[id].inputs == second[id].inputs);
  }
}

TEST_CASE("overrides change what depends on them") {
  ModelText text;
  std::string changed = text.text();
  changed.replace(changed.find("H = 2"), 5, "H = \"d / 2\"");
  ir::Diagnostics diagnostics;
  frontend::Model model =
      frontend::load_model_text(changed, "m.toml", {{"d", "8"}, {"train.lr", "0.25"}, {"train.accumulate", "sum"}}, diagnostics);
  CHECK(model.dims.at("H") == 4);
  CHECK(model.train.lr == 0.25);
  CHECK(model.train.accumulate_sum);
  CHECK(model.params[0].shape == std::vector<int64_t>{8, 8});
}

TEST_CASE("the place and the name of a statement stay on its node") {
  ModelText text;
  text.block = "scan = x * 2\nx = tanh(scan)";
  ir::Graph graph = load(text).graph;
  bool found = false;
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    if (graph[id].name != "scan") continue;
    found = true;
    CHECK(graph[id].loc.line() == 17);
    CHECK(graph[id].op == ir::Op::Mul);
  }
  CHECK(found);
}

TEST_CASE("the cross-entropy of the next token is known by what it computes, whatever it is called") {
  ModelText text;
  auto of = [&](const std::string& loss) {
    text.loss = loss;
    return load(text).cross_entropy;
  };
  CHECK(of("cross_entropy(logits, targets)") == 0);
  CHECK(of("mean(b, t: nll(logits[b,t], targets[b,t]))") == 0);
  CHECK(of("mean(b, t | t < T - 2: nll(logits[b,t], targets[b,t+2]))") == 0);
  for (const char* other : {"mean(b, t | t < T - 2: nll(logits[b,t], targets[b,t+1]))", "cross_entropy(logits, tokens)", "cross_entropy(2 * logits, targets)", "mean(b, t: sigmoid(logits[b,t,0]) * nll(logits[b,t], targets[b,t]))",
                            "mean(b, t | t > 2: nll(logits[b,t], targets[b,t]))"}) {
    INFO(other);
    CHECK(of(other) == -1);
  }
  text.where = "z[b,t,v] = logits[b,t,v] + 3 * (v == targets[b,t])";
  CHECK(of("cross_entropy(z, targets)") == -1);
  text.where = "logits = 2 * logits";
  CHECK(of("cross_entropy(logits, targets)") == -1);
  text.where = "";
  text.more = "[functions]\nnll = 'nll(z, y) = 0.5 * (logsumexp(v: z[v]) - z[y])'\n";
  CHECK(of("cross_entropy(logits, targets)") == -1);
  text.more = "";
  CHECK(of("2 * cross_entropy(logits, targets)") == -1);
  CHECK(of("mean(b, t: logits[b,t,0]^2)") == -1);
  text.loss = "other + 0 * ce";
  std::string terms = text.text();
  terms.insert(terms.find("total ="), "other = 'cross_entropy(logits, targets)'\nce = 'mean(b, t: nll(logits[b,t], targets[b,t]))'\n");
  ir::Diagnostics diagnostics;
  CHECK(frontend::load_model_text(terms, "small.toml", {}, diagnostics).cross_entropy == 1);
}
