#include "tests/end_to_end/random_model.h"

#include "tests/end_to_end/random_writer.h"

#include <algorithm>

namespace cpuflow::tests {

namespace {


const std::map<std::string, std::string> kFunctions = {
    {"blend", "blend(a, b, share = 0.5) = share * a + (1 - share) * tanh(b)"},
    {"bump", "top = exp(-u * u)\nbump(u) = top - 0.5 * u / (1 + abs(u))"},
    {"ternary", "scale = max(mean(o, i: abs(w[o,i])), 1e-5)\nternary(w) = w + stop(scale * clamp(round(w / scale), -1, 1) - w)"},
    {"spread", "centre[b] = mean(t, v: z[b,t,v])\nspread(z[b,t,v]) = mean(b, t, v: (z[b,t,v] - centre[b])^2)"},
};

/// The terms of the loss: the cross-entropy and a few others.  `layered`: names of values and vectors that every layer has.
std::string losses(BlockWriter& w, const std::vector<std::string>& layered, const std::vector<std::string>& layered_vectors,
                   std::vector<std::string>& functions) {
  std::string out = "[loss]\nwhere = '''\nper[b,t] = nll(logits[b,t], targets[b,t])\nkeen[b,t] = sigmoid(hidden[b,t,0])\ndrawn[b,t] = randint(V)\n'''\n";
  std::vector<std::string> terms = {w.any("'cross_entropy(logits, targets)'", "'mean(b, t: per[b,t])'", "'per'")};
  const int more = w.pick(4);
  for (int k = 0; k < more; ++k) {
    switch (w.pick(15)) {
      case 0: terms.push_back("'mean(b, t | t < T - 1: nll(logits[b,t], targets[b,t+1]))'"); break;
      case 1: terms.push_back(fmt::format("'bag_of_future(logits, targets, window = {}, every = {}, pos_weight = 5)'", 1 + w.pick(4), 1 + w.pick(3))); break;
      case 2:
        if (!layered.empty()) terms.push_back(fmt::format("'mean(l, b, t, i: (layers.{}[l,b,t,i] - 0.5)^2)'", layered[static_cast<size_t>(w.pick(static_cast<int>(layered.size())))]));
        break;
      case 3:
        if (!layered_vectors.empty()) terms.push_back(fmt::format("'mean(l, i: layers.{}[l,i]^2)'", layered_vectors[static_cast<size_t>(w.pick(static_cast<int>(layered_vectors.size())))]));
        break;
      case 4: terms.push_back("'mean(b, t: logsumexp(v: logits[b,t,v])^2)'"); break;
      case 5: terms.push_back("'mean(b, t | t < T - 2: (keen[b,t] - stop(mean(u in 0..3: per[b,t+u])))^2)'"); break;
      case 6: terms.push_back("'mean(b: sum(t | targets[b,t] > 3: per[b,t]) / max(sum(t: targets[b,t] > 3), 1))'"); break;
      case 7: terms.push_back("'mean(b, t, i | t % 2 == 0: abs(hidden[b,t,i]))'"); break;
      case 8: terms.push_back("'mean(b, t, s | tokens[b,t] == tokens[b,s], t != s: (hidden[b,t,0] - hidden[b,s,0])^2)'"); break;
      case 9: functions.push_back("spread"); terms.push_back("'spread(hidden)'"); break;
      case 10: terms.push_back("'mean(b, t, v | t > 0: softplus(logits[b,t,v] - logits[b,t-1,v]))'"); break;
      case 11: terms.push_back("'mean(b, t: bce(hidden[b,t,0], targets[b,t] % 2, pos_weight = 3))'"); break;
      case 12: terms.push_back("'mean(b, t | targets[b,t] != 3: per[b,t])'"); break;
      case 13: terms.push_back("'mean(b, t: nll(logits[b,t], drawn[b,t]))'"); break;
      default: terms.push_back("'mean(i, j: embed[i,j]^2)'");
    }
  }
  std::string total = "one";
  const char* const names[] = {"one", "two", "three", "four"};
  for (size_t k = 0; k < terms.size(); ++k) {
    out += fmt::format("{} = {}\n", names[k], terms[k]);
    if (k > 0) total += fmt::format(" {} {} * {}", w.any("+", "+", "-"), w.any("0.1", "0.5", "decay"), names[k]);
  }
  out += "total = '" + total + "'\n";
  if (w.chance(40)) {
    out += "[watch]\n";
    out += w.any("keenness = 'mean(b, t: keen[b,t])'\n", "confidence = 'mean(b, t: exp(max(v: logits[b,t,v]) - logsumexp(v: logits[b,t,v])))'\n");
    out += w.any("level = 'mean(b, t: keen[b,t])'\nspread = 'sqrt(mean(b, t: (keen[b,t] - level)^2))'\n",
                 "level = 'mean(b, t: keen[b,t])'\ncost = 'mean(b, t: per[b,t])'\ntogether = 'mean(b, t: (keen[b,t] - level) * (per[b,t] - cost))'\n");
  }
  return out;
}

std::string params_table(const std::string& title, const BlockWriter& w) {
  std::string out = "[" + title + "]\n" + w.params;
  if (!w.submodule.empty()) {
    out += "[" + title + ".inner]\n";
    for (const std::string& entry : w.submodule) out += entry + "\n";
  }
  return out;
}

}  // namespace

RandomModel random_model(unsigned seed) {
  std::mt19937 random(seed);
  BlockWriter::Sizes s;
  auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const int lengths[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 17, 34}, widths[] = {4, 6, 8, 12, 16}, others[] = {3, 5, 7, 9, 17};
  s.T = lengths[pick(12)];
  s.d = widths[pick(5)];  // from 16 on, activations are copied where a condition holds
  s.e = others[pick(5)];
  s.H = s.d == 6 && pick(2) ? 3 : 2;
  s.L = 1 + pick(4);
  s.V = pick(8) ? 5 + pick(14) : 512 + pick(100);  // now and then one whose logits are used block by block
  const int B = 1 + pick(3);

  std::vector<std::string> functions, layered, layered_vectors;
  std::string blocks, calls;
  RandomModel out;
  auto collect = [&](BlockWriter& w) {
    functions.insert(functions.end(), w.functions.begin(), w.functions.end());
    out.causal = out.causal && w.causal;
    out.jumps = out.jumps || w.jumps;
  };
  auto write_block = [&](const std::string& key, const std::string& prefix, bool repeated) {
    BlockWriter w(random, s, prefix, repeated);
    const int statements = 1 + w.pick(5);
    for (int i = 0; i < statements; ++i) w.add_statement();
    w.finish();
    blocks += fmt::format("[{}]\n{}forward = '''\n{}'''\n{}", key, repeated ? "repeat = \"L\"\n" : "", w.equations, params_table(key + ".params", w));
    collect(w);
    if (key != "block") return;
    for (const Written& v : w.values) {
      if (v.name != "x") layered.push_back(v.name);
    }
  };
  const int shape = pick(10);
  if (shape < 6) {
    write_block("block", "A", shape < 5);
    calls = "x = blocks(x)\n";
  } else if (shape < 9) {
    write_block("blocks.low", "A", shape < 8);
    write_block("blocks.high", "B", shape == 7);
    calls = shape == 8 ? "x = high(low(x))\n" : "x = low(x)\nx = high(x)\n";
  }
  BlockWriter w(random, s, "Z", false);  // what stands in the model itself
  const int statements = shape == 9 ? 2 + w.pick(4) : w.pick(3);
  for (int i = 0; i < statements; ++i) w.add_statement();
  if (statements > 0) w.finish();
  const int first = w.pick(4);
  std::string forward = first == 0 ? "x = embed[tokens] + pos[t]\n" : first == 1 ? "x[t,i] = embed[tokens[t],i] + pos[t,i]\n" : first == 2 ? "x = n_in(embed[tokens])\n" : "x = embed[tokens]\n";
  if (first == 0) forward = "x[t,i] = embed[tokens[t],i]\nx = x + 0.1 * t\n";
  std::string params = "embed = \"table(V, d)\"\n";
  if (first == 1) params += "pos = \"tensor(T, d)\"\n";
  if (first == 2) params += "n_in = \"layernorm(d)\"\n";
  forward += calls + w.equations + w.any("hidden = x\n", "hidden[t,i] = 0.7 * x[t,i]\n", "hidden = W_hidden(x)\n");
  if (forward.find("W_hidden") != std::string::npos) params += "W_hidden = \"linear(d, d)\"\n";
  switch (w.pick(5)) {
    case 0:
    case 1: forward += "logits = hidden @ transpose(embed)\n"; break;
    case 2: forward += "logits[t,v] = sum(i: hidden[t,i] * embed[v,i])\n"; break;
    case 3: params += "out = \"linear(d, V, bias)\"\n"; forward += "logits = out(hidden)\n"; break;
    default: params += "out = \"linear(d, V)\"\n"; forward += "z = out(hidden)\nlogits = 15 * tanh(z / 15)\n";
  }
  std::string loss = losses(w, layered, layered_vectors, functions);
  collect(w);
  w.params = params + w.params;
  const std::string own = params_table("params", w);
  std::string text = fmt::format("name = \"random\"\nallow = [\"future\", \"horizon\", \"end\", \"gradient\", \"range\", \"position\"]\n[dims]\nT = {}\nB = {}\nV = {}\nd = {}\ne = {}\nH = {}\ndh = \"d / H\"\nL = {}\n", s.T, B, s.V, s.d, s.e, s.H, s.L);
  text += "[constants]\ntau = 0.6\ndecay = 0.9\nmarks = [1, 3, 2]\n" + own + blocks;
  std::sort(functions.begin(), functions.end());
  functions.erase(std::unique(functions.begin(), functions.end()), functions.end());
  std::string defined;
  for (const std::string& f : functions) {
    if (f == "powernorm") {
      text += "[layers.powernorm]\nsizes = \"n, p = 2\"\nforward = 'x = x / (mean(abs(x)^p) + 1e-3)^(1 / p) * weight'\n[layers.powernorm.params]\nweight = { kind = \"vector(n)\", init = \"ones\" }\n";
    } else {
      defined += fmt::format("{} = '''\n{}\n'''\n", f, kFunctions.at(f));
    }
  }
  if (!defined.empty()) text += "[functions]\n" + defined;
  out.text = text + "[model]\nforward = '''\n" + forward + "'''\n" + loss;
  return out;
}

}  // namespace cpuflow::tests
