// Small models whose code goes wrong in ways of its own, against the interpreter.
#include "ir/cpu_target.h"
#include "runtime/cli/compile.h"
#include "tests/catch.h"
#include "tests/end_to_end/compiled_pass.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

using namespace cpuflow;

namespace {

/// `body`: the model's equations and losses, for parameters embed, mix and start.
std::string model(const std::string& body) {
  return "name = \"small\"\n[dims]\nT = 4\nB = 2\nV = 12\nd = 12\n[params]\nembed = \"table(V, d)\"\nmix = \"linear(d, d)\"\nstart = \"vector(d)\"\n[model]\nforward = '''\n" + body;
}

/// What follows equations that give y.
const std::string kLogitsOfSum = "logits = mix(x + y) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";

void check_against_interpreter(const std::string& text) {
  const TemporaryFolder folder;
  folder.write("model.toml", text);
  struct Way {
    bool fuse;
    const char* tile_rows;
    int64_t threshold_divisor;
  };
  for (const auto& [fuse, tile_rows, divisor] : {Way{true, "0", 1}, {true, "1", 1}, {true, "3", 256}, {false, "0", 1}}) {
    INFO((fuse ? "fused" : "unfused") << ", rows of a tile: " << tile_rows << ", thresholds divided by: " << divisor);
    cli::CompileOptions options;
    options.model = folder / "model.toml";
    options.fuse = fuse;
    options.threshold_divisor = divisor;
    options.overrides = {{cli::kTilesSetting, tile_rows}};
    const cli::CompiledModel model = cli::compile_model(options);
    const cli::PassInputs inputs = example_inputs(model.exe.manifest, 7);
    const Tensors expected = by_name(cli::run_interpreter(model, inputs));
    check_training(by_name(cli::run_compiled(model.exe, inputs)), expected);
    for (const auto& [name, values] : by_name(cli::run_other_schedules(model.exe, inputs))) {
      if (name.rfind("eval.", 0) != 0) continue;
      const std::string known = expected.count(name) ? name : name.substr(5);
      CHECK(std::abs(values[0] - expected.at(known)[0]) <= 1e-5 * (1 + std::abs(expected.at(known)[0])));
    }
  }
}

/// Products of rounded numbers, on every target that runs here.
void check_rounded(const std::string& text) {
  const TemporaryFolder folder;
  folder.write("model.toml", text);
  for (const std::string& target : ir::target_names()) {
    if (!ir::runs_here(ir::target_by_name(target))) continue;
    INFO(target << ", bf16");
    cli::CompileOptions options;
    options.model = folder / "model.toml";
    options.target = target;
    options.opt_level = 0;
    options.overrides = {{cli::kPrecisionSetting, "bf16"}};
    const cli::CompiledModel model = cli::compile_model(options);
    const cli::PassInputs inputs = example_inputs(model.exe.manifest, 7);
    check_training(by_name(cli::run_compiled(model.exe, inputs)), by_name(cli::run_interpreter(model, inputs)), 2e-2);
  }
}

cli::CompiledModel compiled_only(const std::string& text) {
  const TemporaryFolder folder;
  cli::CompileOptions options;
  options.model = folder.write("model.toml", text);
  options.run = false;
  return cli::compile_model(options);
}

}  // namespace

TEST_CASE("lines that end as on Windows, in statements of several lines as well") {
  std::string text = model("x = embed[tokens]\ny = mix(  # of all\n  x)\nlogits = y @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n");
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.replace(at, 1, "\r\n");
  check_against_interpreter(text);
}

TEST_CASE("losses of neighbouring and of every third position meet in one gradient") {
  check_against_interpreter(model("x = embed[tokens]\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\n"
                                  "smooth = 'mean(b, t, v | t > 0: softplus(logits[b,t,v] - logits[b,t-1,v]))'\n"
                                  "bag = 'bag_of_future(logits, targets, window = 3, every = 3, pos_weight = 5)'\ntotal = 'ce + smooth + bag'\n"));
}

TEST_CASE("quotients rounded down, and remainders, of real numbers") {
  check_against_interpreter(model("x = embed[tokens]\ny = (x - 0.25) % 0.5 + 3 * x % -0.3 + 0.1 * (x // 0.25) + (7 * x) // -0.3\nseen[t] = sum(s | s <= t: tokens[s])\n"
                                  "logits = mix(x + y * (1 + seen % 7)) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"));
}

TEST_CASE("what a choice leaves out may divide by zero, of integers as well") {
  const std::string text = model("x = embed[tokens]\nrest[t] = where(t > 0, tokens[t] % t, 0)\ntimes[t] = where(t > 0, tokens[t] // t, 0)\nlogits = mix(x * (1 + rest) + times) @ transpose(embed)\n"
                                 "'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n");
  check_against_interpreter(replaced(text, "T = 4", "T = 40"));  // so many that their loop stays a loop
}

TEST_CASE("results below the smallest normal float are zero in compiled code, and in it alone") {
  const TemporaryFolder folder;
  folder.write("model.toml", model("logits = mix(embed[tokens]) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\n"
                                   "tiny = '1e30 * exp(start[0] - 95)'\nnormal = '1e30 * exp(start[0] - 80)'\ntotal = 'ce + tiny + normal'\n"));
  const volatile float smallest_normal = 0x1p-126f;
  for (const char* target : {"portable", "avx2", "avx512"}) {
    if (!ir::runs_here(ir::target_by_name(target))) continue;
    INFO(target);
    cli::CompileOptions options;
    options.model = folder / "model.toml";
    options.target = target;
    options.opt_level = 0;
    const cli::CompiledModel model = cli::compile_model(options);
    const cli::PassInputs inputs = example_inputs(model.exe.manifest, 7);
    const Tensors compiled = by_name(cli::run_compiled(model.exe, inputs)), expected = by_name(cli::run_interpreter(model, inputs));
    CHECK(compiled.at("loss.tiny")[0] == 0.0f);
    CHECK(expected.at("loss.tiny")[0] > 0.0f);
    CHECK(std::abs(compiled.at("loss.normal")[0] / expected.at("loss.normal")[0] - 1) < 1e-5);
    CHECK(smallest_normal * 0.5f > 0.0f);
  }
}

TEST_CASE("a model whose scores do not depend on the position, or on the sequence") {
  const std::string rest = "'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  check_against_interpreter(model("logits = start\n" + rest));
  check_against_interpreter(model("logits = mix(embed[tokens[0]])\n" + rest));
  check_against_interpreter(model("logits[t,i] = sin(t) * start[i]\n" + rest));
}

TEST_CASE("recurrences of integers and of truth values, of constants as well") {
  const std::string rest = "logits = mix(embed[tokens] * k) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  for (const char* k : {"k[start] = 0\nk[t] = 1 - k[t-1]\n", "k[t] = k[t-1] == 0\n", "k[t] = k[t-1] < 1\n", "k[t] = where(k[t-1] == 0, 1, 0)\n", "k[start] = 0\nk[t] = k[t-1] <= tokens[t] % 2\n",
                        "k[start] = 3\nk[t] = (k[t-1] * 5 + tokens[t]) % 7\n", "k[start] = 1\nk[t] = k[t-1] == k[t-2]\n"})
    check_against_interpreter(model(k + rest));
}

TEST_CASE("a table read where a recurrence says") {
  check_against_interpreter(replaced(model("x = embed[tokens]\nhigh[t] = max(sum(i: 20 * x[t,i] * start[i]), high[t-1])\ny[t,i] = near[floor(clamp(high[t], 0, 7)),i]\nlogits = mix(x + y + high) @ transpose(embed)\n"
                                           "'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "[params]", "[params]\nnear = \"table(8, d)\""));
}

TEST_CASE("states, and those before them, saved once and read in many places") {
  check_rounded(replaced(replaced(model("logits = blocks(embed[tokens]) @ transpose(embed)\n'''\n[block]\nrepeat = 2\nforward = '''\n"
                                 "z=tanh(W(x))\n"
                                 "u=softplus(U(x))\n"
                                 "y0[t,i]=(((u[t//4*4,i]+u[t//4*4,i])+u[t-1,i])+z[t//4*4,i])\n"
                                 "y1[t,i]=0.5*y1[t-2,i]*exp(-abs(y0[t-3,i]))+(z[t-3,i]+u[t//4*4,i])*0.5\n"
                                 "y2[t,i]=(tanh(y1[t-1,i])*y1[t-2,i]-u[t-18,i])\n"
                                 "y3[t,i]=u[t,d-1-i]*exp(-abs(y2[t-2,i]))\n"
                                 "x = x + 0.2*W(y3*y2) + 0.1*y2\n"
                                 "'''\n[block.params]\nW = \"linear(d, d)\"\nU = \"linear(d, d)\"\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "d = 12", "d = 16"), "T = 4", "T = 20"));
}

TEST_CASE("blocks read values of the model, in every layer") {
  const std::string rest = "first = embed[tokens]\ngate = sigmoid(start)\ndoc = cumsum(tokens == 0)\nh = blocks(tanh(first))\nlogits = mix(h) @ transpose(embed)\n'''\n[block]\nrepeat = 3\nforward = '''\n"
                           "y[t,i] = sum(s | s <= t, doc[s] == doc[t]: x[s,i] * first[s,i])\nh[t,i] = gate[i] * h[t-1,i] + y[t,i]\nx = lam * tanh(h) + (1 - lam) * first\n'''\n"
                           "[block.params]\nlam = { kind = \"scalar\", init = \"constant(0.5)\" }\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  check_against_interpreter(model(rest));
  check_rounded(model(rest));
}

TEST_CASE("a parameter, and the value of the block, read at the number of the layer") {
  const std::string rest = "logits = blocks(embed[tokens]) @ transpose(embed)\n'''\n[block]\nrepeat = 3\nforward = '''\ny[t,i] = w[layer] * x[t,i] + x[t,layer] * v[layer+1,i]\nx = x + tanh(y)\n'''\n"
                           "[block.params]\nw = \"vector(3)\"\nv = \"tensor(4, d)\"\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  check_against_interpreter(model(rest));
  check_rounded(model(rest));
}

TEST_CASE("layers in two runs, and all of them twice, have the parameters of their names") {
  const std::string rest = "logits = mix(x) @ transpose(embed)\n'''\n[block]\nrepeat = 4\nforward = 'x = x + tanh(W(x))'\n[block.params]\nW = { kind = \"linear(d, d)\", init = \"normal(0, where(layer >= 2, 0.1, 0.2))\" }\n"
                           "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  check_against_interpreter(model("x = blocks(embed[tokens])\n" + rest));
  check_against_interpreter(model("x = blocks(blocks(embed[tokens]))\n" + rest));
}

TEST_CASE("layers of two structures share a parameter whose name has no layer") {
  const std::string rest = "logits = mix(x) @ transpose(embed)\n'''\n[block]\nrepeat = 3\nforward = '''\nx = x + tanh(W(x))\nx = tanh(x) if layer == 1\n'''\n[block.params]\nW = { kind = \"linear(d, d)\", name = \"shared\" }\n"
                           "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  check_against_interpreter(model("x = blocks(embed[tokens])\n" + rest));
}

TEST_CASE("a product that is summed over two axes begins at zero in every tile") {
  const std::string rest = "'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  check_against_interpreter(model("x = embed[tokens]\nparts = reshape(mix(x), 3, 4)\ny[t,i] = sum(e, f: parts[t,e,f] * embed[3*e + f,i])\nlogits = mix(x + y) @ transpose(embed)\n" + rest));
  check_against_interpreter(model("x = embed[tokens]\nparts[t,e in 0..3,f in 0..4] = sum(i: x[t,i] * embed[3*e + f,i])\nlogits = mix(x + reshape(parts, 12)) @ transpose(embed)\n" + rest));
}

TEST_CASE("sums of which few terms are not zero") {
  const std::string rest = "'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n", begin = "x = embed[tokens]\nbest = topk(softmax(mix(x)), 1)\n";
  const std::string memory = "mem[start,m,j] = 0.1 * embed[m,j]\nmem[n in 0..T // 16, m, j] = 0.9 * mem[n-1,m,j] + sum(t | t // 16 == n: best[t,m] * x[t,j])\n"
                             "read[t,j] = sum(m: best[t,m] * mem[t // 16 - 1, m, j])\nlogits = mix(x + read) @ transpose(embed)\n";
  const std::string attention = "y = mix(x)\nscore[t,s] = where(s <= t, sum(i: y[t,i] * x[s,i]), -1e9)\nkept = topk(softmax(score), 2)\n"
                                "read[t,i] = sum(s | s <= t: kept[t,s] * y[s,i])\nlogits = mix(x + read) @ transpose(embed)\n";
  check_against_interpreter(model(begin + "read[t,i] = sum(c: best[t,c] * embed[c,i])\nlogits = mix(x + read) @ transpose(embed)\n" + rest));
  check_against_interpreter(replaced(model(begin + memory + rest), "T = 4", "T = 64"));
  check_against_interpreter(replaced(model("x = embed[tokens]\n" + attention + rest), "T = 4", "T = 40"));
}

TEST_CASE("the gradient of a recurrence that no token enters") {
  check_against_interpreter(model("level[start,i] = start[i]\nlevel[t,i in 0..d] = max(0.8 * level[t-1,i], 0.1 * t)\nx = embed[tokens] + level\nlogits = mix(x) @ transpose(embed)\n'''\n"
                                  "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"));
  check_rounded(replaced(model("x = embed[tokens]\nh[t,i in 0..d] = h[t-1,i]\nu[t,i in 0..d] = v[t-1,i]\nv[t,i in 0..d] = u[t-1,i]\nlogits = mix(x + x * h + x * tanh(u) * v) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "d = 12", "d = 32"));
}

TEST_CASE("a watched mean that is a loss as well is trained on") {
  check_against_interpreter(model("x = embed[tokens]\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nwhere = 'per[b,t] = nll(logits[b,t], targets[b,t])'\nce = 'mean(b, t: per[b,t])'\n"
                                  "total = 'ce'\n[watch]\nlevel = 'mean(b, t: per[b,t])'\nspread = 'mean(b, t: (per[b,t] - level)^2)'\n"));
}

TEST_CASE("dropout drops in training only, by draws that the interpreter makes as well") {
  const std::string text = model("x = dropout(embed[tokens], 0.25)\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n");
  check_against_interpreter(text);
  const TemporaryFolder folder;
  folder.write("with.toml", text);
  folder.write("without.toml", replaced(text, "dropout(embed[tokens], 0.25)", "embed[tokens]"));
  std::map<std::string, Tensors> passes, others;
  for (const char* name : {"with", "without"}) {
    cli::CompileOptions options;
    options.model = folder / (std::string(name) + ".toml");
    const cli::CompiledModel compiled = cli::compile_model(options);
    const cli::PassInputs inputs = example_inputs(compiled.exe.manifest, 7);
    passes[name] = by_name(cli::run_compiled(compiled.exe, inputs));
    others[name] = by_name(cli::run_other_schedules(compiled.exe, inputs));
  }
  CHECK((passes["with"]["logits"] == passes["without"]["logits"]));
  CHECK((others["with"]["eval.loss.ce"] == others["without"]["eval.loss.ce"]));
  CHECK((passes["with"]["loss.ce"] != passes["without"]["loss.ce"]));
}

TEST_CASE("a quarter of what dropout sees is dropped, and what is left keeps the mean") {
  const TemporaryFolder folder;
  // the loss is the mean of what is left of ones, and so is its gradient
  folder.write("model.toml", replaced(replaced(model("x = embed[tokens]\nkept = dropout(0 * x + 1, 0.25)\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'mean(kept) + 0 * cross_entropy(logits, targets)'\n"
                                                     "zeros = 'mean(b, t, i: kept[b,t,i] == 0)'\ntotal = 'ce'\n"), "T = 4", "T = 256"), "B = 2", "B = 4"));
  cli::CompileOptions options;
  options.model = folder / "model.toml";
  const cli::CompiledModel compiled = cli::compile_model(options);
  const Tensors got = by_name(cli::run_compiled(compiled.exe, example_inputs(compiled.exe.manifest, 7)));
  // 12288 draws: a standard deviation of 0.0039 of the share of zeros
  CHECK(std::abs(got.at("loss.zeros")[0] - 0.25) < 0.016);
  CHECK(std::abs(got.at("loss.ce")[0] - 1) < 0.02);
}

TEST_CASE("a gradient that passes all layers unchanged") {
  check_against_interpreter(replaced(model("x = blocks(embed[tokens])\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "[params]",
                                     "L = 3\n[block]\nrepeat = \"L\"\nforward = 'x = x + W(tanh(shift))'\n[block.params]\nW = \"linear(d, d)\"\nshift = \"vector(d)\"\n[params]"));
}

TEST_CASE("two parameters with one gradient, which is completed once a step") {
  const std::string text = model("x = embed[tokens] + start * (left + right)\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n");
  check_against_interpreter(replaced(text, "[model]", "left = \"vector(d)\"\nright = \"vector(d)\"\n[model]"));
}

TEST_CASE("a recurrence of a layer that only a loss reads") {
  check_against_interpreter(replaced(model("x = blocks(embed[tokens])\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\nnear = 'mean(l, b, t, i: layers.h[l,b,t,i]^2)'\ntotal = 'ce + near'\n"), "[params]",
                                     "L = 3\n[block]\nrepeat = \"L\"\nforward = '''\nh = tanh(x + W(h[t-1]))\nx = 0.9 * x\n'''\n[block.params]\nW = \"linear(d, d)\"\n[params]"));
}

TEST_CASE("layers that leave their input as it is") {
  check_against_interpreter(replaced(model("x = blocks(embed[tokens])\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "[params]",
                                     "L = 2\n[block]\nrepeat = \"L\"\nforward = 'y = tanh(x)'\n[params]"));
}

TEST_CASE("a running sum of every layer that no layer waits for") {
  check_against_interpreter(replaced(model("x = blocks(embed[tokens])\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\nfar = 'mean(l, b, t, i: layers.v[l,b,t,i]^2)'\ntotal = 'ce + far'\n"), "[params]",
                                     "L = 2\n[block]\nrepeat = \"L\"\nforward = '''\nu = W(E[tokens])\nv[t,i] = exp(-abs(0.3 * sum(s | s <= t: u[s,i]))) * x[t,i]\nx = x + 0.3 * tanh(x)\n'''\n"
                                     "[block.params]\nW = \"linear(2, d)\"\nE = \"table(V, 2)\"\n[params]"));
}

TEST_CASE("a stack of what is known at once and of what waits for other rows") {
  check_against_interpreter(model("x = embed[tokens]\nu = tanh(x)\nm[t,i in 0..d] = max(max(s | s <= t, t - s < 1: u[s,i]), 0.2)\nv = reshape(logsumexp(stack(m, x)), d)\n"
                                  "logits = v @ transpose(embed)\n'''\n[loss]\ntotal = 'cross_entropy(logits, targets)'\n"));
}

TEST_CASE("the least of what no token enters, where a parameter decides") {
  check_against_interpreter(model("level[t,i in 0..d] = sigmoid(start[i]) * level[t-1,i] + 2^(-1 - i)\nleast[t,i in 0..d] = min(s | s <= t: level[s,3]) * embed[tokens[t],i]\nlogits = mix(least) @ transpose(embed)\n'''\n"
                                  "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"));
}

TEST_CASE("a learned start that only a choice reads has no gradient, however the batch is cut") {
  const std::string text = model("h[start,i] = start[i]\nh[t,i] = 0.6 * h[t-1,i] + embed[tokens[t],i]\nbest = argmax(h)\nx[t,i] = embed[tokens[t],i] + embed[best[t],i]\n"
                                 "logits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n");
  check_against_interpreter(text);
  check_against_interpreter(replaced(text, "B = 2", "B = 1"));
}

TEST_CASE("sums over earlier positions of three factors, in chunks and in one piece") {
  for (const char* T : {"T = 128", "T = 96", "T = 61"}) {
    INFO(T);
    check_against_interpreter(replaced(model("x = embed[tokens]\nq, k = tanh(mix(x)), sigmoid(x)\nread[t,j] = sum(s, i | s <= t: q[t,i] * k[s,i] * x[s,j]) / (t + 1)\n"
                                             "before[t,j] = sum(s, i | s < t, tokens[s] != 3: q[t,i] * k[s,i] * tanh(x[s,j])) / (t + 1)\nlogits = mix(read + before) @ transpose(embed)\n'''\n"
                                             "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "T = 4", T));
  }
}

TEST_CASE("attention within a window, in a band and in one piece") {
  for (const char* T : {"T = 96", "T = 61"}) {
    INFO(T);
    check_against_interpreter(replaced(model("x = embed[tokens]\nq, k, v = reshape(mix(x), 3, 4), reshape(tanh(x), 3, 4), reshape(sigmoid(x), 3, 4)\n"
                                             "a[t,h,s] = softmax(s | s <= t, t - s < 7: sum(c: q[t,h,c] * k[s,h,c]) / 2 - 0.1 * (t - s))\no[t,h,c] = sum(s: a[t,h,s] * v[s,h,c])\n"
                                             "most[t,i] = max(s | s <= t, t - s <= 4: x[s,i])\nnear[t,i] = sum(s | s < t, t - s < 5, tokens[s] != 2: x[s,i] * tanh(x[t,i]))\n"
                                             "logits = mix(reshape(o, d) + 0.3 * most + 0.1 * near) @ transpose(embed)\n'''\n"
                                             "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "T = 4", T));
  }
}

TEST_CASE("evaluating more layers takes no more memory: each writes over what the one before left") {
  auto lane_floats = [](const char* layers) {
    cli::CompileOptions options;
    options.model = "v5ln";
    options.overrides = {{"L", layers}, {"T", "12"}, {"V", "40"}, {"d", "16"}, {"k", "8"}, {"ff", "8"}, {"fsp_tau", "3"}, {"fsp_rate", "2"}};
    options.run = false;
    const ir::LoopProgram program = cli::compile_model(options).program;
    const auto eval = std::find_if(program.functions.begin(), program.functions.end(), [](const ir::Function& f) { return f.name == "eval_sequence"; });
    REQUIRE(eval != program.functions.end());
    return eval->lane_floats;
  };
  CHECK(lane_floats("2") == lane_floats("7"));
}

TEST_CASE("the loss of a wide vocabulary, whose logits are used block by block") {
  auto wide = [](const char* T, const char* V, const std::string& logits) {
    return replaced(replaced(model("x = embed[tokens]\n" + logits + "\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\nz = '0.01 * mean(b, t: logsumexp(v: logits[b,t,v])^2)'\ntotal = 'ce + z'\n"), "T = 4", T), "V = 12", V);
  };
  SECTION("tied, with tails of every kind") {
    for (const char* T : {"T = 4", "T = 33", "T = 150"}) {
      for (const char* V : {"V = 512", "V = 605"}) {
        INFO(T << ", " << V);
        check_against_interpreter(wide(T, V, "logits = mix(x) @ transpose(embed)"));
      }
    }
  }
  SECTION("with a bias, or bent") {
    check_against_interpreter(replaced(wide("T = 33", "V = 605", "logits = out(mix(x))"), "[params]", "[params]\nout = \"linear(d, V, bias)\""));
    check_against_interpreter(wide("T = 33", "V = 605", "logits = 5 * tanh(0.4 * (mix(x) @ transpose(embed)))"));
  }
  SECTION("far apart: the largest of the first columns says nothing of the others") {
    check_against_interpreter(wide("T = 33", "V = 605", "near = mix(x) @ transpose(embed)\nlogits[t,v] = near[t,v] + 0.3 * v"));
  }
}

TEST_CASE("two wide products, each used while it is made") {
  const std::string head = "x = embed[tokens]\ny = mix(x)\nlogits = y @ transpose(embed)\nother = tanh(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\n";
  check_against_interpreter(model(head + "aux = 'cross_entropy(other, targets)'\ntotal = 'ce + aux'\n"));
  check_against_interpreter(model(head + "margin = 'mean(b, t: max(v: other[b,t,v]))'\ntotal = 'ce + margin'\n"));
  check_against_interpreter(model("x = embed[tokens]\ny = mix(x)\na[t,s] = softmax(s | s <= t: sum(c: x[t,c] * y[s,c]))\nb2[t,s] = softmax(s | s <= t: sum(c: x[t,c] * x[s,c]))\n"
                                  "z[t,i] = sum(s: a[t,s] * x[s,i]) + sum(s: b2[t,s] * y[s,i])\nlogits = z @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"));
  check_against_interpreter(model("x = embed[tokens]\nu = x @ transpose(embed)\nw = mix(x) @ transpose(embed)\nlogits = (x * logsumexp(u) + max(w) * start) @ transpose(embed)\n'''\n[loss]\n"
                                  "ce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"));
}

TEST_CASE("bags of words of a window, in one tile and in several") {
  for (const char* T : {"T = 9", "T = 150"}) {
    INFO(T);
    const std::string text = replaced(model("x = embed[tokens]\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\n"
                                            "bag = 'bag_of_future(logits, targets, window = 5, every = 1, pos_weight = 5)'\ntotal = 'ce + bag'\n"), "T = 4", T);
    check_against_interpreter(replaced(text, "V = 12", "V = 70"));
  }
}

TEST_CASE("a score far above all that attention may see spoils nothing") {
  // each position has a score of 400 more than the one before, and earlier positions may not see it
  check_against_interpreter(model("x = embed[tokens]\nscore[t,s] = 400 * s + sum(c: x[t,c] * x[s,c])\na[t,s] = softmax(s | s <= t: score[t,s])\no[t,i] = sum(s: a[t,s] * x[s,i])\nlogits = mix(o) @ transpose(embed)\n'''\n"
                                  "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"));
}

TEST_CASE("values that are reached in very many ways are looked at once") {
  for (const char* again : {"x + x", "x * x"}) {
    std::string body = "x = 1e-12 * embed[tokens]\n";
    for (int i = 0; i < 40; ++i) body += std::string("x = ") + again + "\n";
    check_against_interpreter(model(body + "logits = mix(x + embed[tokens]) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"));
  }
  for (const char* condition : {"m[t] % 4 == 0", "s <= m[t]"}) {  // a condition on positions
    std::string body = "x = embed[tokens]\nm[t] = t\n";
    for (int i = 0; i < 40; ++i) body += "m[t] = max(m[t], m[t] % 31)\n";
    body += std::string("y[t,i] = sum(s | ") + condition + ", s <= t: x[s,i] / (1 + s))\n";
    check_against_interpreter(model(body + "logits = mix(x + y) @ transpose(embed)\n'''\n[loss]\nce = 'mean(b, t | t % 2 == 0: nll(logits, targets))'\ntotal = 'ce'\n"));
  }
}

TEST_CASE("loops over earlier and later positions end with the tile") {
  const std::string head = "name = \"small\"\nallow = [\"future\"]\n[dims]\nT = 70\nB = 2\nV = 12\nd = 8\nL = 2\nH = 2\ndh = 4\n[params]\nembed = \"table(V, d)\"\n[block]\nforward = '''\n";
  const std::string tail = "'''\n[block.params]\nq = \"linear(d, d)\"\nk = \"linear(d, d)\"\n[model]\nforward = '''\nx = blocks(embed[tokens])\nlogits = x @ transpose(embed)\n'''\n"
                           "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  const std::string heads = "p = reshape(q(x), H, dh)\nr = reshape(k(x), H, dh)\n", single = "p = q(x)\nr = k(x)\n", causal = single + "a[t,s] = softmax(s | s <= t: sum(c: p[t,c] * r[s,c]))\n";
  for (const std::string& body : {
           heads + "a[t,h,s] = softmax(s | s <= t: sum(c: p[t,h,c] * r[s,h,c]) / 2)\no[t,h,c] = sum(s: a[t,h,s] * r[s,h,c])\nx = x + reshape(o, d)\n",
           single + "a[t,s] = softmax(s | s >= t: sum(c: p[t,c] * r[s,c]))\nx[t,i] = x[t,i] + sum(s: a[t,s] * r[s,i])\n",  // the future
           single + "a[t,s] = softmax(s | s < t: sum(c: p[t,c] * r[s,c]))\nx[t,i] = x[t,i] + sum(s: a[t,s] * r[s,i])\n",  // the first row has none
           causal + "use[s] = sum(t | s <= t: a[t,s])\nx[t,i] = x[t,i] + sum(s: a[t,s] * r[s,i]) + 0.1 * use[t]\n",
           causal + "x[t,i] = x[t,i] + sum(s: a[t,s] * r[s,i]) + 0.1 * a[t,0] + 0.1 * sum(s: a[t-1,s] * a[t,s])\n",
           causal + "x[t,i] = x[t,i] + sum(s: a[s,t] * p[s,i])\n",
           single + "e[t,s] = where(s <= t, tanh(sum(c: p[t,c] * r[s,c])), 0)\nf[t,s] = e[t,s] + 0.5\nx[t,i] = x[t,i] + 0.01 * sum(s: f[t,s] * r[s,i])\n",  // reads what the condition leaves out
           single + "e[t,s] = sum(c: p[t,c] * r[s,c])\nlow[t] = min(s | s <= t: e[t,s])\nhigh[s] = max(t | s <= t: e[t,s])\nx[t,i] = x[t,i] * (1 + 0.1 * low[t] + 0.1 * high[t])\n",
       }) {
    INFO(body);
    check_against_interpreter(head + body + tail);
    check_rounded(head + body + tail);
  }
}

TEST_CASE("a value that reads others at the row before and at the row behind waits for all rows") {
  // of the gradient of attention that meets its neighbour
  check_against_interpreter(replaced(model("x = embed[tokens]\np = mix(x)\na[t,s] = softmax(s | s <= t: sum(c: p[t,c] * x[s,c]))\n"
                                           "x[t,i] = x[t,i] + sum(s: a[t,s] * p[s,i]) + 0.1 * a[t,0] + 0.1 * sum(s: a[t-1,s] * a[t,s])\nlogits = x @ transpose(embed)\n'''\n"
                                           "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "T = 4", "T = 9"));
}

TEST_CASE("few numbers a position, read at earlier rows and by all later ones") {
  const std::string few = replaced(model("x = embed[tokens]\ng = tanh(gate(x))\nlate[t,h] = 0.3 * mean(s | s < t: g[s,2-h] * g[s-3,h] + g[s,h])\n"
                                         "p[t,s,h] = exp(min(g[t,h] - g[s,h], 0))\nfar[t,h] = sum(s | s <= t: p[t,s,h] * g[s,h])\n"
                                         "logits = mix(x + back(late + far)) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"),
                                   "[params]", "[params]\ngate = \"linear(d, 3)\"\nback = \"linear(3, d)\"");
  check_against_interpreter(replaced(few, "T = 4", "T = 8"));
  check_against_interpreter(replaced(replaced(few, " + far", ""), "T = 4", "T = 8"));  // the gradient alone reads along positions
}

TEST_CASE("a matrix of each row that is read transposed, and one that is then read as one axis") {
  const std::string tail = "logits = mix(y) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  for (const std::string equations : {
           "u = mix(x)\nw = few(x)\nm[start, e in 0..3, j in 0..d] = 0.1 * e * gate[j]\nm[n in 0..ceil(T/4), e, j] = 0.9 * m[n-1,e,j] + sum(t | t // 4 == n: w[t,e] * u[t,j])\n"
           "y[t,j] = x[t,j] + sum(e: w[t,e] * m[t // 4 - 1, e, j])\n",
           "p[t,e,j] = tanh(x[t,e] * K[e,j])\nq[t,j,e] = p[t,e,j] * p[t,e,0] + x[t,j]\nr = reshape(q, d * d)\ny[t,i] = sum(j in 0..d: q[t,j,i] * r[t, 12 * i + j])\n",
           "p[t,e,j] = tanh(x[t,e] * K[e,j])\nq[t,j,e] = p[t,e,j] * p[t,e,0] + x[t,j]\nw[t,i,j] = q[t,j,i]\nr = reshape(w, d * d)\ny[t,i] = sum(j in 0..d: q[t,j,i] * r[t, 12 * i + j])\n",
           "p[i,j] = exp(-abs(K[j,i]))\nw[i,j] = p[j,i]\nr = reshape(w, d * d)\ny[t,i] = sum(j in 0..d: tanh(x[t,j] * p[i,j]) * r[12 * i + j]) + sum(j in 0..d: tanh(x[t,j]) * p[j,i])\n",
           "p[i,j] = exp(-abs(K[j,i]))\nS[t,i,j] = exp(-abs(x[t,i]) * p[j,i]) * S[t-1,i,j] + x[t,j]\nr = reshape(p, 3, 4, d)\ny[t,i] = sum(j in 0..d: S[t,i,j] * p[i,j]) + r[1,2,i]\n",
           "w[i,j] = tanh(K[i,j] + K[j,i] * K[0,j])\nv[i,j in 0..10] = w[i,j]\nr = reshape(v, 120)\ny[t,i] = sum(j in 0..10: tanh(x[t,j] * w[j,i]) * r[10 * i + j])\n",
           "w[i,j] = tanh(K[i,j] + K[j,i] * K[0,j])\nv[i in 0..10,j] = w[i+2,j]\nr = reshape(v, 120)\ny[t,i] = sum(j in 0..10: tanh(x[t,j] * w[j,i]) * r[10 * i + j])\n",
           "w[i,j] = tanh(K[i,j] + K[j,i] * K[0,j])\nv[i,j] = w[j,i]\nr = reshape(v, 144)\ny[t,i] = sum(j in 0..10: tanh(x[t,j] * w[j,i]) * r[10 * i + j])\n",
           "p[t,e,j] = tanh(x[t,e] * K[e,j])\nq[t,j,e] = p[t,e,j] * p[t,e,0]\nr = reshape(q, 3, 4, d)\ny[t,i] = r[t,0,1,i] + max(n in 0..3: r[t,n,2,i]) + sum(j in 0..d: q[t,j,i])\n",
       }) {
    INFO(equations);
    const std::string text = replaced(replaced(model("x = embed[tokens]\n" + equations + tail), "T = 4", "T = 12"), "[params]", "[params]\ngate = \"vector(d)\"\nfew = \"linear(d, 3)\"\nK = \"tensor(d, d)\"");
    check_against_interpreter(text);
    check_rounded(text);
  }
}

TEST_CASE("chunks that do not fill lines lie as one sequence, rounded or not") {
  // chunks of 50 positions of 8 numbers: 400, which would be padded in two bytes a number and not in four
  std::string text = model("x = embed[tokens]\nq, k, v = W(x), U(x), R(x)\ny[t,i] = sum(s, j | s <= t: q[t,j] * k[s,j] * v[s,i])\nlogits = (x + mix(y) + start) @ transpose(embed)\n'''\n[loss]\ntotal = 'cross_entropy(logits, targets)'\n");
  text = replaced(replaced(text, "T = 4", "T = 100"), "d = 12", "d = 8");
  text = replaced(text, "[params]", "[params]\nW = \"linear(d, d)\"\nU = \"linear(d, d)\"\nR = \"linear(d, d)\"");
  check_against_interpreter(text);
  check_rounded(text);
}

TEST_CASE("an activation that is read whole, beside a copy of it where a condition holds") {
  const std::string rest = "x = blocks(embed[tokens])\nlogits = mix(x) @ transpose(embed)\n'''\n[block]\nrepeat = 2\nforward = '''\n%'''\n[block.params]\nW = \"linear(d, d)\"\nV = \"linear(d, d)\"\n"
                           "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  auto block = [&](const std::string& equations) { return replaced(replaced(model(replaced(rest, "%", equations)), "d = 12", "d = 16"), "T = 4", "T = 20"); };
  check_against_interpreter(block("a = where(x > 0, x, 0)\nx = x + W(x) + V(a)\n"));
  check_against_interpreter(block("p = W(x)\ne[t,s] = sum(c: p[t,c] * x[s,c]) - 0.1 * (t - s)\nm[t,s] = where(s <= t, e[t,s], 0)\nx[t,i] = x[t,i] + 0.1 * sum(s: m[t,s] * p[s,i]) + 0.01 * sum(u: e[t,u] * x[u,i])\n"));
}

TEST_CASE("a concatenation of what stands before layers and behind them, and the gradient of one") {
  const std::string rest = "logits = mix(y) @ transpose(embed)\n'''\n[block]\nrepeat = 3\nforward = 'x = x + tanh(W(x))'\n[block.params]\nW = \"linear(d, d)\"\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  check_against_interpreter(replaced(model("e = tanh(embed[tokens])\ny = join(concat(e, blocks(embed[tokens])))\n" + rest), "[params]", "[params]\njoin = \"linear(2*d, d)\""));
  check_against_interpreter(replaced(model("a, c = split(part(embed[tokens]), 2)\ny = blocks(c) * sigmoid(a)\n" + rest), "[params]", "[params]\npart = \"linear(d, 2*d)\""));
}

TEST_CASE("a concatenation with attention, whose rows are read later") {
  check_against_interpreter(replaced(model("x = embed[tokens]\np = mix(x)\na[t,s] = softmax(s | s <= t: sum(c: p[t,c] * x[s,c]))\no[t,i] = sum(s: a[t,s] * x[s,i])\nc = concat(o, x)\n"
                                           "h[t,i in 0..d] = 0.5 * h[t-1,i] + c[t-1,i] * c[t,i+d] + c[t-1,i+d]\nlogits = mix(h) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "T = 4", "T = 16"));
}

TEST_CASE("losses that weigh sequences by their number") {
  const std::string begin = "x = embed[tokens]\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\n";
  check_against_interpreter(model(begin + "a = 'mean(b, t: exp(0 - b) * nll(logits[b,t], targets[b,t]))'\ntotal = 'a'\n"));
  check_against_interpreter(model(begin + "a = 'mean(b, t: nll(logits[b,t], targets[b,t]) * exp(start[0])^(b + 1))'\ntotal = 'a'\n"));
}

TEST_CASE("quotients that decide are divided: their last digit may be a step") {
  const std::string rest = "logits = mix(y) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n";
  auto of = [&](const std::string& equation) { return replaced(model("x = embed[tokens]\n" + equation + rest), "T = 4", "T = 48"); };
  check_against_interpreter(of("y[t,i] = x[t,i] * ceil(t / 7)\n"));
  check_against_interpreter(of("y[t,i] = x[t,i] * floor(t / 41)\n"));
  check_against_interpreter(of("y[t,i] = where(t / 7 == 3, x[t,i], 1)\n"));
  check_against_interpreter(of("y[t,i] = x[t,i] * floor((t + 1) / 41 - 1)\n"));
}

TEST_CASE("the largest number of a row of a parameter") {
  check_against_interpreter(model("logits = mix(embed[tokens]) @ transpose(embed)\n'''\n[loss]\nce = 'cross_entropy(logits, targets)'\na = 'mean(i: max(j: embed[i,j]))'\ntotal = 'ce + a'\n"));
}

TEST_CASE("a draw that is read at another position") {
  check_against_interpreter(model("x = embed[tokens]\nlogits = mix(x) @ transpose(embed)\n'''\n[loss]\nwhere = 'r[b,t] = randint(V)'\nc = 'mean(b, t: r[b,max(t-1,0)] * x[b,t,0])'\ntotal = 'cross_entropy(logits, targets) + c'\n"));
}

TEST_CASE("what a choice of experts saves, where a product of float32 reads it") {
  check_rounded(replaced(replaced(replaced(model("logits = mix(blocks(embed[tokens])) @ transpose(embed)\n'''\n[block]\nrepeat = 2\nforward = '''\nk = topk(softmax(router(x)), 1)\n"
                                                 "h[t,e,i] = sum(c: x[t,c] * experts[e,c,i])\nx[t,i] = x[t,i] + sum(e: k[t,e] * h[t,e,i])\n'''\n[block.params]\nrouter = \"linear(d, 8)\"\nexperts = \"tensor(8, d, d)\"\n"
                                                 "[loss]\nce = 'cross_entropy(logits, targets)'\ntotal = 'ce'\n"), "T = 4", "T = 48"), "V = 12", "V = 40"), "d = 12", "d = 16"));
}

TEST_CASE("experts are products of matrices, however their sums are written") {
  for (const std::string equations : {
           "y[t,i] = sum(e: w[t,e] * sum(f: down[e,i,f] * h[t,e,f]))\n",
           "y[t,i] = sum(e, f: w[t,e] * down[e,i,f] * h[t,e,f])\n",
           "y[t,i] = sum(e, f: h[t,e,f] * (down[e,i,f] * -w[t,e]))\n",
           "z[t,i,e] = sum(f: down[e,i,f] * h[t,e,f])\ny[t,i] = max(e: z[t,i,e]) + sum(e: w[t,e] * z[t,i,e])\n",
       }) {
    INFO(equations);
    const std::string text = replaced(replaced(model("x = embed[tokens]\nw = softmax(router(x))\nh[t,e,f] = relu(sum(i: up[e,f,i] * x[t,i]))\n" + equations + kLogitsOfSum), "T = 4", "T = 32"), "[params]",
                                      "[params]\nrouter = \"linear(d, 3)\"\nup = \"tensor(3, 16, d)\"\ndown = \"tensor(3, d, 16)\"");
    check_against_interpreter(text);
    check_rounded(text);
    for (const std::string& line : compiled_only(text).explanation.lines) {
      INFO(line);
      CHECK(!contains(line, "not as a product of matrices"));
    }
  }
}

TEST_CASE("states that decay by gates, and what is read of them before they do") {
  for (const std::string equations : {
           "g = sigmoid(gate(x))\nold[t,j] = sum(i: g[t,0] * S[t-1,i,j] * x[t,i])\nS[t,i,j] = g[t,0] * S[t-1,i,j] + g[t,1] * x[t,i] * (u[t,j] - old[t,j])\ny[t,j] = sum(i: S[t,i,j] * u[t,i])\n",
           "g = softplus(gate(x))\nS[t,i,n in 0..3] = exp(-g[t,n] * n) * S[t-1,i,n] + g[t,0] * u[t,n] * x[t,i]\ny[t,i] = sum(n in 0..3: S[t,i,n] * u[t,n+3])\n",
           "g = sigmoid(gate(x))\nkept[t,i,j] = g[t,0] * S[t-1,i,j]\nS[t,i,j] = kept[t,i,j] + x[t,i] * u[t,j]\ny[t,j] = sum(i: kept[t,i,j] * tanh(kept[t,j,i]) * S[t,i,j])\n",
       }) {
    INFO(equations);
    const std::string text = replaced(replaced(model("x = embed[tokens]\nu = tanh(mix(x))\n" + equations + kLogitsOfSum), "T = 4", "T = 20"), "[params]", "[params]\ngate = \"linear(d, 3)\"");
    for (const char* width : {"d = 12", "d = 72"}) {  // states of 144 and of 5184 numbers
      check_against_interpreter(replaced(text, "d = 12", width));
      check_rounded(replaced(text, "d = 12", width));
    }
  }
}

TEST_CASE("convolutions over a few positions, read forward and backward") {
  for (const std::string equations : {
           "y[t,i] = sum(j in 0..C: conv[i,j] * x[t-C+1+j,i])\n",
           "y[t,i] = sum(j in 0..C: conv[i,j] * x[t-2*j,i])\n",
           "y[t,i] = sum(j in 0..C | t + j >= C: conv[i,j] * tanh(x[t-C+j,i] * conv[i,C-1-j]))\n",
           "y[t,i] = sum(j in 0..C, s in 0..T | s <= t, s + 2 > t: conv[i,j] * x[s-j,i])\n",
       }) {
    INFO(equations);
    const std::string text = replaced(replaced(model("x = embed[tokens]\n" + equations + kLogitsOfSum), "T = 4", "T = 20\nC = 4"), "[params]", "[params]\nconv = \"tensor(d, C)\"");
    check_against_interpreter(text);
    check_rounded(text);
  }
}

TEST_CASE("filters as long as the text, of every channel and of pairs of positions") {
  for (const auto& [equations, params] : {
           std::pair{"f[j in 0..T,i] = exp(-abs(filter[j,i]) * j)\ny[t,i] = sum(s | s <= t: f[t-s,i] * x[s,i])\n", "filter = \"tensor(T, d)\""},
           {"y[t,i] = sum(s | s < t: filter[t-s,i] * x[s,i]) + filter[t,i]\n", "filter = \"tensor(T, d)\""},
           {"y[t,i] = sum(s | s < t: (sigmoid(a[i])^(t - s - 1) + sin(a[i] * (t - s)) / 4) * x[s,i])\n", "a = \"vector(d)\""},
           {"y[t,i] = sum(s | s < t: (t - s)^(-abs(a[i])) * x[s,i]) + sum(s | s < t, t - s > 2: log((t - s - 2) * (2 + a[i]^2)) * x[s,i]) / 8\n", "a = \"vector(d)\""},
           {"y[t,i] = sum(s | s <= t, t - s < 2.5: sigmoid(a[i])^(t - s) * x[s,i])\n", "a = \"vector(d)\""},
           {"p[t,h,s] = softmax(s | s <= t: bias[h,t-s] + x[t,0] * x[s,1])\ny[t,i] = x[t,i] + mean(h: sum(s: p[t,h,s] * x[s,i]) * out[h,i])\n", "bias = \"tensor(80, T)\"\nout = \"tensor(80, d)\""},
       }) {
    INFO(equations);
    const std::string text = replaced(replaced(replaced(model("x = embed[tokens]\n" + std::string(equations) + kLogitsOfSum), "T = 4", "T = 96"), "d = 12", "d = 80"), "[params]", std::string("[params]\n") + params);
    check_against_interpreter(text);
    check_rounded(text);
    const codegen::Manifest m = compiled_only(text).exe.manifest;
    CHECK(m.shared_floats + m.grad_floats < 3 * 96 * 96 * 80 / 4);  // not a matrix of each channel or head
  }
}

TEST_CASE("a sum of nothing is 0, whatever it is multiplied or divided by") {
  auto of = [&](const std::string& equations, const char* positions) { return replaced(model("x = embed[tokens]\n" + equations + kLogitsOfSum), "T = 4", positions); };
  for (const char* positions : {"T = 4", "T = 32"}) {
    check_against_interpreter(of("y[t,i] = sum(s | s < t: x[s,i] / t)\n", positions));
    check_against_interpreter(of("y[t,i] = sum(s | s < t: x[s,i] * (1 / t))\n", positions));
    check_against_interpreter(of("y[t,i] = sum(s | s < t: sum(c: x[t,c] * x[s,c]) * x[s,i] / t)\n", positions));
    check_against_interpreter(of("e[t,s] = exp(sum(c: x[t,c] * x[s,c]))\nz[t] = sum(s | s < t: e[t,s])\ny[t,i] = sum(s | s < t: e[t,s] / z[t] * x[s,i])\n", positions));
    check_against_interpreter(of("y[t,i] = sum(s | s < t, s > t - 3: x[s,i] * log(t))\n", positions));
  }
}

TEST_CASE("powers that are too large for a float where a condition does not look") {
  const std::string scores = "x = embed[tokens]\nz[t,s] = sum(c: x[t,c] * x[s,c]) + 20 * abs(t - s - 1)\n";
  for (const std::string seen : {"s <= t", "s <= t, t - s < 3", "s // 4 == t // 4"}) {
    INFO(seen);
    const std::string weights = "m[t] = max(max(s | " + seen + ": z[t,s]), 1)\nn[t] = sum(s | " + seen + ": exp(z[t,s] - m[t])) + exp(1 - m[t])\n"
                                "y[t,i] = sum(s | " + seen + ": exp(z[t,s] - m[t]) * x[s,i]) / n[t]\n";
    check_against_interpreter(replaced(model(scores + weights + kLogitsOfSum), "T = 4", "T = 32"));
  }
}

TEST_CASE("the largest along one axis, and a number read along another that is as long") {
  check_against_interpreter(replaced(model("x = embed[tokens]\np[i,j] = sum(c: square[i,c] * square[j,c])\ntop[i] = max(j: p[i,j])\nrows = p[tokens]\nlogits = (mix(x) + 0.01 * mean(top)) @ transpose(embed)\n'''\n"
                                           "[loss]\nce = 'cross_entropy(logits, targets)'\nm = 'mean(b, t, j: rows[b,t,j])'\ntotal = 'ce + m'\n"), "[params]", "[params]\nsquare = \"tensor(64, 64)\""));
}
