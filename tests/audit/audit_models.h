#pragma once
#include <string>
#include <vector>

/// A small model for the audits: what differs from a model that sums, gates and predicts the next token.
struct AuditModel {
  const char* name;
  const char* block;                                       // equations that x goes through
  const char* verdict;                                     // of causality
  const char* loss = "cross_entropy(logits, targets)";
  const char* model = "x = blocks(embed[tokens])\nlogits = x @ transpose(embed)";

  std::string text() const {
    return "name = \"" + std::string("audited") +
           "\"\n[dims]\nT = 16\nB = 2\nV = 12\nd = 6\nL = 2\nH = 2\n[params]\nembed = \"table(V, d)\"\n[block]\nrepeat = \"L\"\nforward = '''\n" + block +
           "\n'''\n[block.params]\nW = \"linear(d, d)\"\nU = \"linear(d, d)\"\nM = \"tensor(d, d)\"\n[model]\nforward = '''\n" + model +
           "\n'''\n[loss]\ntotal = '''\n" + loss + "\n'''\n";
  }
};

inline const std::vector<AuditModel>& audit_models() {
  static const std::vector<AuditModel> models = {
      // leaks, no two alike
      {"reversed sum", "c[t,i] = sum(s | s >= t: x[s,i])\nx = x + W(c)", "refuted"},
      {"softmax over all positions", "a[t,s] = softmax(s: sum(i: x[t,i] * x[s,i]))\no[t,i] = sum(s: a[t,s] * x[s,i])\nx = x + W(o)", "refuted"},
      {"centred over time", "m[i] = mean(t: x[t,i])\nx = W(x - m)", "refuted"},
      {"a chunk reads its own writes", "m[n in 0..ceil(T/4), i] = 0.9 * m[n-1,i] + sum(t | t // 4 == n: x[t,i])\nr[t,i] = m[t // 4, i]\nx = x + W(r)", "refuted"},
      {"mask off by one", "c[t,i] = sum(s | s <= t + 1: x[s,i])\nx = x + W(c)", "refuted"},
      {"in the last block only", "c[t,i] = sum(s | s >= t: x[s,i])\nx = x + W(x)\nx = x + 0.1 * c if layer == L - 1", "refuted"},
      {"where the first token is one of all", "c[t,i] = sum(s | s <= t + (tokens[0] == 7): x[s,i])\nx = x + W(c)", "refuted"},
      {"behind a rare token", "n[t,i] = sum(s | s == t + 1: x[s,i])\nx = x + where(tokens == 11, n, 0)", "refuted"},
      {"through stop", "c[t,i] = sum(s | s > t: x[s,i])\nx = x + stop(W(c))", "refuted"},
      {"the largest of all positions", "m[i] = max(s: x[s,i])\nx = x + W(m)", "refuted"},
      {"exactly the next position", "n[t,i] = sum(s | s == t + 1: x[s,i])\nx = x + 0.5 * n", "refuted"},
      {"only the divisor sees the future", "e = exp(0.1 * x)\nz[i] = sum(s: e[s,i])\nx = x + W(e / z)", "refuted"},
      {"normed over time", "m[i] = mean(t: x[t,i])\nv[i] = mean(t: (x[t,i] - m[i])^2)\nx[t,i] = (x[t,i] - m[i]) / sqrt(v[i] + 1e-5)", "refuted"},
      {"convolution with a tap too many", "c[t,i] = sum(s | s > t - 3, s <= t + 1: M[t+1-s,i] * x[s,i])\nx = x + W(c)", "refuted"},
      {"mean of the own chunk", "m[n in 0..ceil(T/4), i] = mean(t | t // 4 == n: x[t,i])\nr[t,i] = m[t // 4, i]\nx = x + r", "refuted"},
      {"two honest-looking hops", "u = cumsum(x)\nv[t,i] = sum(s | s >= t, s < t + 3: u[s,i])\nx = x + W(v)", "refuted"},
      {"a gate that knows what comes", "f[t] = sigmoid(sum(s | s > t: x[s,0]))\nx[t,i] = x[t,i] * f[t]", "refuted"},
      {"read where the data says", "p[t] = argmax(x)\ny[t,i] = x[p[t],i]\nx = x + W(y)", "refuted"},
      {"where the data says, up to the next position", "p[t] = argmax(x)\ny[t,i] = x[min(p[t], min(t + 1, 15)),i]\nx = x + W(y)", "refuted"},
      {"the end of the own chunk", "e[t,i] = sum(s | s == (t // 4) * 4 + 3: x[s,i])\nx = x + e", "refuted"},
      {"a mask that is only unlikely", "a[t,s] = softmax(s: sum(i: x[t,i] * x[s,i]) - 5 * (s > t))\no[t,i] = sum(s: a[t,s] * x[s,i])\nx = x + o", "refuted"},
      {"a small weight on the future", "o[t,i] = sum(s: where(s <= t, 1, 0.001) * x[s,i])\nx = x + W(o)", "refuted"},
      {"even positions peek", "n[t,i] = sum(s | s == t + 1 - t % 2: x[s,i])\nx = x + n", "refuted"},
      {"masked after the softmax", "a[t,s] = softmax(s: sum(i: x[t,i] * x[s,i]))\nk[t,s] = where(s <= t, a[t,s], 0)\no[t,i] = sum(s: k[t,s] * x[s,i])\nx = x + o", "refuted"},
      {"all minus the past", "all[i] = sum(s: x[s,i])\nx = x + W(all - cumsum(x))", "refuted"},
      {"the next chunk's first token", "c[t,i] = sum(s | s == (t // 4 + 1) * 4: x[s,i])\nx = x + c", "refuted"},
      {"targets as input", "x = x + W(x)", "refuted", "cross_entropy(logits, targets)", "x = blocks(embed[tokens] + 0.1 * embed[targets])\nlogits = x @ transpose(embed)"},
      {"a gate of a ramp beside nothing", "f[t,i] = sum(s | s > t, s <= t + 1: x[s,i])\nz[t,i] = x[t-100,i]\nramp[i in d] = 1.5 * i\nc = concat(ramp, z)\na, rest = split(c, 2)\nx = x + a * f", "refuted"},
      {"one feature leaks", "c[t,i] = sum(s | s >= t: x[s,i])\nx[t,i] = where(i == 0, c[t,i], x[t,i])", "refuted"},

      // honest, some of them against the first look
      {"s <= t + 1 of something one behind", "z = W(x[t-1])\nc[t,i] = sum(s | s <= t + 1: z[s,i])\nx = x + c", "proved"},
      {"the first position's value", "y[t,i] = x[0,i]\nx = x + W(y)", "proved"},
      {"the previous chunk's mean", "m[n in 0..ceil(T/4), i] = mean(t | t // 4 == n: x[t,i])\nr[t,i] = m[t // 4 - 1, i]\nx = x + W(r)", "proved"},
      {"causal attention", "a[t,s] = softmax(s | s <= t: sum(i: x[t,i] * x[s,i]))\no[t,i] = sum(s: a[t,s] * x[s,i])\nx = x + W(o)", "proved"},
      {"attention to the strict past", "a[t,s] = softmax(s | s < t: sum(i: x[t,i] * x[s,i]))\no[t,i] = sum(s: a[t,s] * x[s,i])\nx = x + W(o)", "proved"},
      {"the start of the own chunk", "y[t,i] = x[(t // 4) * 4, i]\nx = x + W(y)", "proved"},
      {"where the data says, no later than here", "p[t] = argmax(x)\ny[t,i] = x[min(p[t], t),i] + x[clamp(p[t], 0, t),i] + x[p[t] % (t + 1),i]\nx = x + W(y)", "proved"},
      {"up to three behind, as the token says", "y[t,i] = where(t > 3, x[max(t, 4) - 1 - tokens[t] % 3,i], 0)\nx = x + W(y)", "proved"},
      {"s >= t and s <= t", "y[t,i] = sum(s | s >= t, s <= t: x[s,i])\nx = x + W(y)", "proved"},
      {"multiplied by a mask of numbers", "o[t,i] = sum(s: x[s,i] * where(s <= t, 1, 0))\nx = x + W(o)", "proved"},
      {"hidden by a large number", "z[t,s] = where(s <= t, sum(i: x[t,i] * x[s,i]), -1e9)\na[t,s] = softmax(s: z[t,s])\no[t,i] = sum(s | s <= t: a[t,s] * x[s,i])\nx = x + W(o)", "proved"},
      {"a sum of what is one behind", "c = cumsum(x)\nx = x + W(c[t-1])", "proved"},
      {"convolution", "c[t,i] = sum(j in 0..4: M[j,i] * x[t-3+j,i])\nx = x + c", "proved"},
      {"the largest so far", "m[t,i] = max(s | s <= t: x[s,i])\nx = x + W(m)", "proved"},
      {"the product so far", "p[t,i] = prod(s | s <= t: sigmoid(x[s,i]))\nx = x + W(p)", "proved"},
      {"a number in the place of what comes", "m[t,i] = max(s: where(s <= t, x[s,i], 5))\nx = x + W(m)", "proved"},
      {"a window", "c[t,i] = sum(s | s > t - 4, s <= t: x[s,i])\nx = x + W(c)", "proved"},
      {"recurrence with a matrix state", "S[t,i,j] = 0.9 * S[t-1,i,j] + x[t,i] * x[t,j]\no[t,i] = sum(j: S[t,i,j] * x[t,j])\nx = x + W(o)", "proved"},
      {"the future times nothing", "c[t,i] = sum(s | s > t: x[s,i])\nx = x + 0 * c", "proved"},
      {"the future where it never is", "c[t,i] = sum(s | s > t: x[s,i])\nx = where(t < 0, c, x)", "proved"},
      {"memory of chunks before", "m[n in 0..ceil(T/4), i] = 0.9 * m[n-1,i] + sum(t | t // 4 == n: x[t,i])\nr[t,i] = m[t // 4 - 1, i]\nx = x + W(r)", "proved"},
      {"a slot that the data chooses", "p[t] = argmax(x)\nr[t,i] = M[p[t],i]\nx = x + r", "proved"},
      {"ahead by two, of something three behind", "z[t,i] = x[t-3,i]\nc[t,i] = sum(s | s == t + 2: z[s,i])\nx = x + W(c)", "proved"},
      {"mean over features", "x = x - mean(x)\nx = x + W(x)", "proved"},
      {"odd positions look at their pair", "n[t,i] = sum(s | s == t - t % 2: x[s,i])\nx = x + n", "proved"},
      {"a loss that looks ahead", "x = x + W(cumsum(x))", "proved", "cross_entropy(logits, targets) + 0.1 * bag_of_future(logits, targets, window = 3, every = 2, pos_weight = 2)"},
      {"a condition that float32 does not see", "f[t,i] = sum(s | s > t, s <= t + 1: x[s,i])\nx = where(1 + 1e-9 * (t + 1) > 1, x, x + f)", "unknown"},
      {"all minus what comes, which is the past", "all[i] = sum(s: x[s,i])\nc[t,i] = sum(s | s > t: x[s,i])\nx = x + W(all - c)", "unknown"},
  };
  return models;
}
