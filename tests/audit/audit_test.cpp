// No wrong verdict: leaks are refuted with a chain and numbers, honest models are proved.
#include "tests/catch.h"
#include "tests/audit/audit_models.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

#include "runtime/cli/audit.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>

using namespace cpuflow;
using passes::audit::Finding;
using passes::audit::Verdict;

namespace {

cli::AuditReport audited(const std::string& text) {
  const TemporaryFolder folder;
  folder.write("model.toml", text);
  return cli::audit_model(folder / "model.toml", {});
}

Finding finding(const cli::AuditReport& report, const std::string& name) {
  for (const auto& [audit, found] : report.findings) {
    if (audit == name) return found;
  }
  return {};
}

AuditModel honest() { return {"honest", "x = x + W(cumsum(x))", "proved"}; }

std::string verdict(const AuditModel& model, const std::string& audit) { return passes::audit::verdict_name(finding(audited(model.text()), audit).verdict); }

}  // namespace

TEST_CASE("leaks are refuted, honest models are proved") {
  REQUIRE(audit_models().size() >= 40);
  const char* dump = std::getenv("CPUFLOW_AUDIT_MODELS");  // a folder: the models are written there, to audit them with other tools
  int number = 0;
  for (const AuditModel& model : audit_models()) {
    INFO(model.name);
    ++number;
    if (dump) std::ofstream(std::string(dump) + "/" + std::to_string(number) + "-" + model.verdict + ".toml") << model.text();
    const Finding causality = finding(audited(model.text()), "causality");
    INFO(causality.reason);
    CHECK(std::string(passes::audit::verdict_name(causality.verdict)) == model.verdict);
    if (causality.verdict != Verdict::Refuted) continue;
    CHECK_FALSE(causality.chain.empty());
    CHECK(causality.chain.front().at.text().rfind("logits", 0) == 0);
    CHECK_FALSE(causality.witness.empty());
  }
}

TEST_CASE("a leak behind a count that few positions do not reach is refuted at many") {
  AuditModel model = honest();
  model.block = "rank[t] = sum(s: x[s,0] > x[t,0])\nx = x + where(rank < 32, W(x), 0)";
  std::string text = model.text();
  text.replace(text.find("T = "), text.find('\n', text.find("T = ")) - text.find("T = "), "T = 200");
  const Finding causality = finding(audited(text), "causality");
  INFO(causality.reason);
  CHECK(causality.verdict == Verdict::Refuted);
  CHECK(contains(causality.witness, "other tokens at positions 100 to 199 change logits["));
}

TEST_CASE("a leak that one token of many opens is refuted with that token") {
  AuditModel model = honest();
  model.block = "c[t,i] = sum(s | s <= t + (tokens[0] == 390): x[s,i])\nx = x + W(c)";
  std::string text = model.text();
  text.replace(text.find("V = 12"), 6, "V = 400");
  const Finding causality = finding(audited(text), "causality");
  CHECK(causality.verdict == Verdict::Refuted);
  CHECK_FALSE(causality.witness.empty());
}

TEST_CASE("what leaks at later positions only, or at one size, is no proof") {
  const std::string ahead = "f[t,i] = sum(s | s > t, s <= t + 1: x[s,i])\n";
  for (const std::string& block :
       {ahead + "x = x + where(t > 60.5, f, 0)", ahead + "x = x + where(t - 20 - 20 - 20 > 0, f, 0)", ahead + "x = x + where(t // 10 > 7, f, 0)", ahead + "x = x + relu(0.1 * t - 5) * f",
        ahead + "x = x + floor(0.02 * t) * f", ahead + "n = cumsum(where(t > 15, 1, 0))\nx = x + where(n > 15, f, 0)", ahead + "x = x + f if T > 64",
        ahead + "x = x + where(t % 5 + t % 7 == 10, f, 0)", std::string("f[t,i] = sum(s | s // 4 // 8 == t // 4 // 8 + 1: x[s,i])\nx = x + f"),
        std::string("f[t,i] = sum(s | t > 40, s > t + 40: x[s,i])\nx = x + f"),  // conditions meet
        std::string("a[t,i] = sum(s | s == t + 31: x[s,i])\nc[t,i] = sum(s | s == t + 30: a[s,i])\ng = c[t-30]\nf = g[t-30]\nx = x + f"),  // reads follow each other
        std::string("f[t,i] = sum(s | t % 9 == 0, s % 10 == 2, s > t, s < t + 2: x[s,i])\nx = x + f"),  // chunks of two lengths
        std::string("w[t,s in 0..T] = relu(max(t + 0.5 - s, t - 60.5))\nf[t,i] = sum(s: w[t,s] * x[s,i])\nx = x + f"),
        std::string("f[t,i] = sum(s | t == 5, s == (t % 16) * 16: x[s,i])\nx = x + f"),
        std::string("n[t] = sum(s in 0..T | s <= t: 1.0)\nf[t,i] = sum(s | n[t] > 20, s > t + 20: x[s,i])\nx = x + f"),
        "n[t] = sum(s in 0..T | s <= t, s % 10 == 0: 1)\n" + ahead + "x = x + where(n[t] > 7, f, 0)",  // a count that grows slowly
        "n[t] = sum(s in 0..T | s <= t: 1)\n" + ahead + "x = x + where(n[t] * 0.03125 > 2, f, 0)", ahead + "x = x + where(t // 10 > t % 10 + 5, f, 0)",
        ahead + "x = x + where(t // 8 > t // 10 + 1, f, 0)",  // chunks that part slowly
        std::string("f[t,i] = sum(k in 60..62, s | s == t + k: x[s,i])\nx = x + f"), std::string("f[t,i] = sum(s | s >= t, s <= t + late: x[s,i])\nx = x + f")}) {
    INFO(block);
    AuditModel model = honest();
    model.block = block.c_str();
    std::string text = model.text();
    text.insert(text.find("[params]"), "[constants]\nlate = \"max(T - 60, 0)\"\n");
    text.replace(text.find("T = 16"), 6, "T = 96");
    CHECK(finding(audited(text), "causality").verdict != Verdict::Proved);
    text.replace(text.find("T = 96"), 6, "T = 2000");
    CHECK(finding(audited(text), "causality").verdict != Verdict::Proved);
  }
  AuditModel batch = honest();
  batch.block = "f[t,i] = sum(s | s > t: x[s,i])\nx = x + f if B > 2";
  std::string text = batch.text();
  text.replace(text.find("B = 2"), 5, "B = 4");
  CHECK(finding(audited(text), "causality").verdict == Verdict::Refuted);
}

TEST_CASE("a leak of a model of whole chunks is shown at fewer of them") {
  AuditModel model = honest();
  model.block = "m[n in 0..T / 8, i] = 0.9 * m[n-1,i] + sum(t | t // 8 == n: x[t,i])\nr[t,i] = m[t // 8, i]\nx = x + W(r)";
  const cli::AuditReport report = audited(replaced(model.text(), "T = 16", "T = 256"));
  CHECK(report.positions < 256);
  CHECK(finding(report, "causality").verdict == Verdict::Refuted);
}

TEST_CASE("choices of numbers that float32 does not have are no proof") {
  for (const char* block : {"n[t] = min(floor(t + 0.99999999), 15)\ny[t,i] = x[n[t],i]\nx = x + y", "n[t] = floor((3e7 + t) - 3e7 + 0.5)\ny[t,i] = x[n[t],i]\nx = x + y",
                            "k[t,s in 0..T] = 1 - (t - s)^2 * 1e-9\nn = argmax(k)\ny[t,i] = x[n[t],i]\nx = x + y", "k[t,s in 0..T] = 1 - (t - s)^2 * 1e-9\nbest = topk(k, 1)\nf[t,i] = sum(s: best[t,s] * x[s,i])\nx = x + f",
                            "n[t] = floor(log(t + 1) / log(2))\ny[t,i] = x[n[t],i]\nx = x + y"}) {
    INFO(block);
    AuditModel model = honest();
    model.block = block;
    CHECK(verdict(model, "causality") != "proved");
  }
  for (const char* block : {"n[t] = floor(t / 4 + 0.25)\ny[t,i] = x[n[t],i]\nx = x + y", "f[t,i] = sum(s | s <= 0.75 * t: 0.3 * x[s,i])\nx = x + W(f)", "f[t,i] = sum(s | s <= t, s > t - 2.3: x[s,i])\nx = x + W(f)"}) {
    INFO(block);
    AuditModel model = honest();
    model.block = block;
    CHECK(verdict(model, "causality") == "proved");
  }
}

TEST_CASE("ordinary conditions show everything at few positions") {
  const std::string attend = "a[t,s] = softmax(s | s <= t, {}: sum(i: x[t,i] * x[s,i]))\no[t,i] = sum(s | s <= t: a[t,s] * x[s,i])\nx = x + W(o)";
  for (const char* condition : {"t - s < 32", "s // 16 == t // 16", "tokens[s] == tokens[t]", "max(s > t - 32, s < 4)", "(t - s) % 16 == 0", "x[s,0] > x[t,0]", "s > t - 20.5"}) {
    INFO(condition);
    const std::string block = replaced(attend, "{}", condition);
    AuditModel model = honest();
    model.block = block.c_str();
    const cli::AuditReport report = audited(replaced(model.text(), "T = 16", "T = 1000"));
    CHECK(report.positions < 200);
    for (const char* audit : {"causality", "sequence_end"}) CHECK(finding(report, audit).verdict == Verdict::Proved);
    // too many pairs to know each condition
    CHECK(finding(audited(replaced(model.text(), "T = 16", "T = 5000")), "causality").verdict == Verdict::Proved);
  }
  for (const char* block : {"o[t,i] = mean(s | s > t - 4, s <= t: x[s,i])\nx = x + W(o)", "o[t,i] = max(s | s > t - 4, s <= t: x[s,i])\nx = x + W(o)", "o[t,i] = sum(s | s > t - 4, s <= t: M[t-s,i] * x[s,i])\nx = x + W(o)"}) {
    INFO(block);
    AuditModel model = honest();
    model.block = block;
    const cli::AuditReport report = audited(replaced(model.text(), "T = 16", "T = 5000"));
    CHECK(report.positions < 200);
    CHECK(finding(report, "causality").verdict == Verdict::Proved);
  }
}

TEST_CASE("phases and what draws in training are audited as well") {
  AuditModel model = honest();
  model.block = "f[t,i] = sum(s | s > t, s <= t + 1: x[s,i])\nx = x + part * f";
  const std::string phases = "[constants]\npart = 0\n[[phase]]\nshare = 0.5\n[[phase]]\nshare = 0.5\nconstants = { part = 1 }\n";
  const Finding found = finding(audited(model.text() + phases), "causality");
  CHECK(found.verdict == Verdict::Refuted);
  CHECK(contains(found.reason, "part = 1"));
  model.block = "f[t,i] = sum(s | s > t, s <= t + 1: x[s,i])\nm = dropout(1, 0.5)\nx = where(m == 1, x, x + f)";
  CHECK(verdict(model, "causality") != "proved");
  model.block = "x = x + dropout(W(cumsum(x)), 0.1)";
  CHECK(verdict(model, "causality") == "proved");
}

TEST_CASE("the chain names the statement that reads ahead") {
  const Finding found = finding(audited(audit_models()[0].text()), "causality");
  CHECK(std::any_of(found.chain.begin(), found.chain.end(), [](const auto& link) { return link.at.text() == "c[t,i] = sum(s | s >= t: x[s,i])"; }));
  CHECK(found.reason == "the logits of position 0 depend on token 1");
}

TEST_CASE("horizon: which token the logits learn") {
  const std::vector<std::pair<const char*, const char*>> cases{
      {"cross_entropy(logits, targets)", "proved"},
      {"mean(b, t | t < T - 1: nll(logits[b,t], tokens[b,t+1]))", "proved"},
      {"mean(b, t | t < T - 1: nll(logits[b,t], targets[b,t+1]))", "refuted"},
      {"mean(b, t: nll(logits[b,t], tokens[b,t]))", "refuted"},
      {"mean(b, t | t > 0: nll(logits[b,t-1], targets[b,t-1]))", "proved"},
      {"mean(b, t | t > 0: nll(logits[b,t-1], targets[b,t]))", "refuted"},
      {"mean(b, t: logsumexp(v: logits[b,t,v]) - sum(v: (v == targets[b,t]) * logits[b,t,v]))", "proved"},
      {"mean(b, t | t < T - 2: logsumexp(v: logits[b,t,v]) - sum(v: where(v == targets[b,t+2], logits[b,t,v], 0)))", "refuted"},
      {"mean(b, t, v: logits[b,t,v]^2)", "unknown"},
      {"mean(b, t: logsumexp(v: logits[b,t,v]) - sum(v: where(v == tokens[b,t], 1, 0) * logits[b,t,v]))", "refuted"},
      {"mean(b, t, v: (logits[b,t,v] - (v == targets[b,t]))^2)", "proved"},
      {"mean(b, t | t < T - 1: sum(v: abs(logits[b,t,v] - (targets[b,t+1] == v))))", "refuted"},
      {"cross_entropy(logits, targets) + 0.1 * mean(b, t | t < T - 1: nll(logits[b,t], targets[b,t+1]))", "refuted"},
  };
  for (const auto& [loss, expected] : cases) {
    INFO(loss);
    AuditModel model = honest();
    model.loss = loss;
    CHECK(verdict(model, "horizon") == expected);
  }
}

TEST_CASE("sequence end: what changes in a longer sequence") {
  // reads that are cut at the last position make the end another function than the middle
  const std::set<std::string> cut{"a number in the place of what comes", "s <= t + 1 of something one behind", "ahead by two, of something three behind"};
  const std::set<std::string> open{"a condition that float32 does not see", "hidden by a large number", "all minus what comes, which is the past"};  // true, and beyond this proof
  const std::set<std::string> whole{"reversed sum", "centred over time", "softmax over all positions", "all minus the past", "only the divisor sees the future"};
  for (const AuditModel& model : audit_models()) {
    INFO(model.name);
    const std::string expected = cut.count(model.name) || whole.count(model.name) ? "refuted" : open.count(model.name) ? "unknown" : "proved";
    if (whole.count(model.name) || std::string(model.verdict) != "refuted") CHECK(verdict(model, "sequence_end") == expected);
  }
  // as many chunks as heads, at one of the two lengths
  AuditModel chunks = honest();
  chunks.block = "r = reshape(x, 4, 1)\nm[n in 0..ceil(T/4),h,i] = 0.9 * m[n-1,h,i] + sum(s | s // 4 == n: r[s,h,i])\ny[t,h,i] = m[t // 4 - 1,h,i]\nx = x + reshape(y, 4)";
  std::string text = chunks.text();
  text.replace(text.find("d = 6"), 5, "d = 4");
  CHECK(passes::audit::verdict_name(finding(audited(text), "sequence_end").verdict) == std::string("proved"));
  // the number of positions, and a constant that is as large: one value in one Graph, two in the longer one
  AuditModel model = honest();
  model.block = "a[t,s] = softmax(s | s <= t: sum(i: x[t,i] * x[s,i]))\nx = x * 16 + size(a) * x";
  CHECK(verdict(model, "sequence_end") == "refuted");
}

TEST_CASE("a model of few positions is the beginning of one of many") {
  const TemporaryFolder folder;
  AuditModel model = honest();
  model.block = "a[t,s] = softmax(s | s <= t, s > t - 4: sum(i: x[t,i] * x[s,i]))\no[t,i] = sum(s: a[t,s] * x[s,i])\nx = x + W(o)";
  folder.write("model.toml", model.text());
  for (const char* positions : {"16", "1024", "2048", "4096"}) CHECK(cli::why_no_longer(folder / "model.toml", {{"T", positions}}, 2 * std::stoll(positions)).empty());
}

TEST_CASE("gradient paths: dead terms and dead parameters are named") {
  AuditModel model = honest();
  CHECK(verdict(model, "gradient") == "refuted");  // U and M are not used
  Finding found = finding(audited(model.text()), "gradient");
  CHECK(std::find(found.details.begin(), found.details.end(), "no loss reaches the parameter 'blocks.0.U.weight'") != found.details.end());
  model.block = "x = x + W(cumsum(x)) + U(x) @ M";
  CHECK(verdict(model, "gradient") == "proved");
  model.block = "x = x + W(cumsum(x)) + U(x)\nx = x + x @ M if layer == 1";
  found = finding(audited(model.text()), "gradient");
  CHECK(found.details == std::vector<std::string>{"no loss reaches the parameter 'blocks.0.M'"});
  model.block = "x = x + W(cumsum(x)) + U(x) @ M";
  model.loss = "stop(cross_entropy(logits, targets))";
  found = finding(audited(model.text()), "gradient");
  REQUIRE_FALSE(found.details.empty());
  CHECK(std::find(found.details.begin(), found.details.end(), "the loss term 'total' reaches no parameter") != found.details.end());
}

TEST_CASE("range: divisions by zero and arguments outside of the domain are named") {
  const std::vector<std::pair<const char*, const char*>> cases{
      {"k = sigmoid(W(x))\nx = x + cumsum(k * x) / (cumsum(k) + 1e-3)", "proved"},
      {"k = sigmoid(W(x))\nx = x + cumsum(k * x) / cumsum(k)", "proved"},
      {"k = relu(W(x))\nx = x + cumsum(k * x) / cumsum(k)", "refuted"},
      {"x = x / sqrt(mean(x * x))", "refuted"},
      {"x = x / sqrt(mean(x * x) + 1e-6)", "proved"},
      {"x = x + log(1 - sigmoid(W(x)))", "refuted"},
      {"x = x + log(1e-6 + sigmoid(W(x)))", "proved"},
      {"x = x + sqrt(W(x))", "refuted"},
      {"x = x + sqrt(0.4 - x % 0.5)", "refuted"},
      {"m[t,i,j] = x[t,i] * x[t,j]\nr[t,i] = sum(j: sqrt(m[t,i,j]))\nx = x + W(r)", "refuted"},  // no square: i and j are two
      {"x = x * mean(x * x) ^ -0.5", "refuted"},
      {"f[t,i] = sum(s | s <= t: exp(-softplus(x[0,i]) * (t - s)) * x[s,i])\nx = x + W(f)", "unknown"},  // what comes later would overflow
      {"y[t,i] = sum(s | s < t: log(t - s) * x[s,i])\nx = x + W(y)", "proved"},
      {"y[t,i] = sum(s | s <= t: log(t - s) * x[s,i])\nx = x + W(y)", "refuted"},
      {"x = x + where(t > 0, x / t, 0)", "proved"},
      {"y = U(x)\nx = x + 1 / y + where(t > 100, log(y), 0)", "refuted"},  // two questions about one value
      {"x = x + where(x > 0, log(x), 0)", "unknown"},  // what is not chosen is not read
      {"x = x / scale", "proved"},
      {"x = x / (scale - 1)", "unknown"},
      {"x = x + 1 / round(clamp(x, 0.5, 1))", "refuted"},
      {"x = x / max(abs(x), -1)", "refuted"},
      {"p[t,i] = x[t,i] - max(s | s < max(t, 1): x[s,i])\nx = x + exp(p)", "refuted"},  // a maximum of others
      {"a[t,s] = x[t,0] * x[s,1]\ntop[t] = max(s | s <= t: a[t,s])\ntotal[t] = sum(s | s < t: exp(a[t,s] - top[t]))\nx = x + 1 / total", "refuted"},  // a sum of fewer
      {"p[t,i] = exp(x[t,i] - logsumexp(j: x[t,j]))\nx = x + W(p)", "proved"},
      {"u = U(x)\nm[start,i in 0..d] = -9\nm[t,i] = max(m[t-1,i] - 1, u[t,i])\nx = x + exp(m[t-1] - 1 - m) + exp(u - m)", "proved"},  // a running maximum
      {"u = U(x)\nm[start,i in 0..d] = -9\nm[t,i] = max(m[t-1,i] - 1, u[t,i])\nx = x + exp(1000 * u - m)", "refuted"},
      {"n = argmax(W(x))\nx[t,i] = x[t,i] + n[t] % 3", "proved"},
      {"n = argmax(W(x))\nx[t,i] = x[t,i] + 3 % n[t]", "refuted"},
      {"x = x + exp(W(x))", "refuted"},
      {"x = x + exp(min(W(x), 0))", "proved"},
      {"p = softmax(W(x))\nx = x + log(p + 1e-9)", "proved"},
      {"a[t,s] = softmax(s | s < t: sum(i: x[t,i] * x[s,i]))\no[t,i] = sum(s: a[t,s] * x[s,i])\nx = x + W(o)", "proved"},
  };
  for (const auto& [block, expected] : cases) {
    INFO(block);
    AuditModel model = honest();
    model.block = block;
    std::string text = model.text();
    text.insert(text.find("M = "), "scale = { kind = \"scalar\", init = \"ones\", range = [0.1, 2] }\n");
    CHECK(passes::audit::verdict_name(finding(audited(text), "range").verdict) == std::string(expected));
  }
}

TEST_CASE("position range: parameters that end with T are named") {
  AuditModel model = honest();
  CHECK(verdict(model, "position") == "proved");
  std::string text = model.text();
  text.replace(text.find("[block]"), 7, "pos = \"table(T, d)\"\n[block]");
  text.replace(text.find("x = blocks(embed[tokens])"), 25, "x = blocks(embed[tokens] + pos[t])");
  const Finding found = finding(audited(text), "position");
  CHECK(found.verdict == Verdict::Refuted);
  CHECK(found.details == std::vector<std::string>{"pos.weight"});
}

TEST_CASE("a refuted position, range or gradient stops no training; the last two are noted") {
  const TemporaryFolder folder;
  AuditModel model = honest();
  model.block = "x = x / sqrt(mean(x * x))\nx = x + W(cumsum(x)) + stop(U(x))";
  std::string text = model.text();
  text.replace(text.find("[block]"), 7, "pos = \"table(T, d)\"\n[block]");
  text.replace(text.find("x = blocks(embed[tokens])"), 25, "x = blocks(embed[tokens] + pos[t])");
  folder.write("model.toml", text);
  folder.write("text.txt", "Once upon a time there was a text to learn from. " + std::string(4000, 'a'));
  const Result found = cpuflowc({"audit", folder / "model.toml"});
  INFO(found.out);
  CHECK(found.status == 0);
  for (const char* audit : {"position      refuted", "range         refuted", "gradient      refuted"}) CHECK(contains(found.out, audit));
  const Result trained = cpuflowc({"train", folder / "model.toml", "--data", folder / "text.txt", "--steps", "2", "--set", "V=300", "train.batch=2", "--out", folder / "run"});
  INFO(trained.err);
  CHECK(trained.status == 0);
  CHECK(contains(trained.err, "note: the audit of gradient is refuted"));
  CHECK(contains(trained.err, "note: the audit of range is refuted"));
  CHECK_FALSE(contains(trained.err, "position"));
  CHECK_FALSE(contains(trained.err, "the gradient of the last step is 0"));
  text.replace(text.find("cross_entropy(logits, targets)"), 30, "stop(cross_entropy(logits, targets))");
  folder.write("stopped.toml", text);
  CHECK(contains(cpuflowc({"train", folder / "stopped.toml", "--data", folder / "text.txt", "--steps", "2", "--set", "V=300", "train.batch=2", "--out", folder / "stopped"}).err, "note: the gradient of the last step is 0"));
}

TEST_CASE("a leak behind a number that training leaves as it is is refuted with that number") {
  AuditModel model = honest();
  model.block = "y[t,i] = sum(s | s <= t + 1: x[s,i])\nx = x + where(big > 100, y, 0)";
  std::string text = model.text();
  text.insert(text.find("M = "), "big = { kind = \"scalar\", init = \"constant(1000)\", trainable = false }\n");
  CHECK(finding(audited(text), "causality").verdict == Verdict::Refuted);
  text.replace(text.find("trainable = false"), 17, "range = [500, 2000]");
  CHECK(finding(audited(text), "causality").verdict == Verdict::Refuted);
}

TEST_CASE("training says that causality is not proved, and where the proof stops") {
  const TemporaryFolder folder;
  AuditModel model = honest();
  // reads ahead where two tokens happen to be there, which few drawn texts have
  model.block = "r[t,i] = sum(s: where(tokens[s] == 11, 1, 0) * where(tokens[t] == 7, 1, 0) * relu(sum(j: x[t,j]) - 1e6) * x[s,i])\nx = x + W(r)";
  folder.write("model.toml", model.text());
  folder.write("text.txt", "Once upon a time there was a text to learn from. " + std::string(4000, 'a'));
  const Result trained = cpuflowc({"train", folder / "model.toml", "--data", folder / "text.txt", "--steps", "2", "--set", "V=300", "train.batch=2", "--out", folder / "run"});
  INFO(trained.err);
  CHECK(trained.status == 0);
  CHECK(contains(trained.err.substr(trained.err.find("step 2/2")), "note: causality is not proved"));  // beside the result as well
  CHECK(contains(cpuflowc({"eval", folder / "run", "--data", folder / "text.txt"}).err, "note: causality is not proved"));
  CHECK(contains(trained.err, "model.toml:14:1: "));
}

TEST_CASE("a refuted causality stops training unless the model file allows it; then everything says so") {
  const TemporaryFolder folder;
  const std::string leaking = audit_models()[0].text();
  folder.write("leak.toml", leaking);
  folder.write("allowed.toml", "allow = [\"future\"]\n" + leaking);
  folder.write("text.txt", "Once upon a time there was a text to learn from. " + std::string(4000, 'a'));
  auto train = [&](const char* model, const char* run) {
    return cpuflowc({"train", folder / model, "--data", folder / "text.txt", "--steps", "2", "--set", "V=300", "train.batch=2", "--out", folder / run});
  };
  const Result refused = train("leak.toml", "a");
  CHECK(refused.status == 3);
  CHECK(contains(refused.err, "the audit of causality is refuted"));
  CHECK(contains(refused.err, "leak.toml:14:1: at position 0: c[t,i] = sum(s | s >= t: x[s,i])"));
  CHECK(contains(refused.err, "allow = [\"future\"]"));
  const std::string warning = "warning: causality is refuted";
  const Result trained = train("allowed.toml", "b");
  INFO(trained.err);
  CHECK(trained.status == 0);
  CHECK(contains(trained.err, warning));
  CHECK(contains(cpuflowc({"eval", folder / "b", "--data", folder / "text.txt"}).err, warning));
  CHECK(contains(cpuflowc({"sample", folder / "b", "a", "--tokens", "3"}).err, warning));
  CHECK(cpuflowc({"audit", folder / "leak.toml"}).status == 1);
  CHECK(cpuflowc({"audit", folder / "allowed.toml"}).status == 0);
}
