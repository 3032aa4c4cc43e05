#include "ir/diagnostics.h"
#include "tests/catch.h"
#include "tests/frontend/model_text.h"

#include <memory>
#include <sstream>

using cpuflow::test::complaints;
using cpuflow::test::ModelText;
using Lines = std::vector<std::string>;

namespace {

/// The diagnostics of a block with this body, whose first line is line 17.
Lines block(const std::string& body) {
  ModelText text;
  text.block = body;
  return complaints(text.text());
}

/// The diagnostics of this loss; it begins on line 31.
Lines loss(const std::string& equation) {
  ModelText text;
  text.loss = equation;
  return complaints(text.text());
}

}  // namespace

TEST_CASE("names") {
  CHECK(block("y = x + scann").at(0) == "17:9 error unknown name 'scann'");
  CHECK(block("scan = x\ny = x + scann").at(0) == "18:9 error unknown name 'scann'; did you mean 'scan'?");
  CHECK(block("n = 0.9 * n + x") == Lines{"17:11 error 'n' has no value yet; a recurrence reads an earlier position, as in n[t-1]"});
  CHECK(block("sca = x\ny = x + sac").at(0) == "18:9 error unknown name 'sac'; did you mean 'sca'?");
  CHECK(block("v = x if layer == 0\nx = x + v if layer == 1") ==
        Lines{"18:9 error 'v' has no value here: the `if` of its equation does not hold, and nothing but 'x' goes from one layer to the next", "17:1 note it would get one here"});
  CHECK(block("d[h in 0..H] = g[h]") == Lines{"17:1 error 'd' is a size, it cannot be given a value"});
  CHECK(block("t[h in 0..H] = g[h]") == Lines{"17:1 error value 't' has the name of an index"});
  CHECK(block("M[i in 0..d,j in 0..d] = g[i] * g[j]").at(0) == "17:1 error 'M' is a parameter, it cannot be given a value");
  CHECK(block("y = silux(x)") == Lines{"17:5 error unknown function or layer 'silux'; did you mean 'silu'?"});
  CHECK(block("y = x @ M.T").at(0) == "17:9 error unknown name 'M.T'; write transpose(M)");
  CHECK(block("y = layernorm(x)") ==
        Lines{"17:5 error 'layernorm' is a kind of layer: one of them is named among the parameters, as in my_layernorm = \"layernorm(..)\", and applied by that name"});
  CHECK(block("y = x.softmax()").at(0) == "17:5 error unknown function or layer 'x.softmax'; write softmax(x)");
  CHECK(block("y = self.W(torch.tanh(x))").at(0) == "17:5 error unknown function or layer 'self.W'; write 'W' without 'self.'");
  CHECK(block("y = torch.tanh(x)").at(0) == "17:5 error unknown function or layer 'torch.tanh'; write 'tanh' without 'torch.'");
  CHECK(block("y = M(x)") == Lines{"17:5 error 'M' is a value, it cannot be applied", "21:1 note it stands here"});
  CHECK(block("y = x + W") == Lines{"17:9 error a linear is applied to something, as in W(x), it is not a value", "20:1 note it stands here"});
  CHECK(block("y = x\nW(x)") == Lines{"18:1 error this value has no name, so nothing can read it; give it one, as in x = W(x)"});
  CHECK(block("M = x").at(0) == "17:1 error 'M' is a parameter, it cannot be given a value");
  CHECK(block("d = x") == Lines{"17:1 error 'd' is a size, it cannot be given a value"});
  CHECK(block("t = x") == Lines{"17:1 error value 't' has the name of an index"});
  CHECK(block("y = x * T").at(0) ==
        "17:9 error 'T' is a size, not a number: what a block computes must not depend on where the sequence ends");
}

TEST_CASE("numbers that float32 does not hold") {
  CHECK(block("y = x * 1e300") == Lines{"17:9 error numbers are float32, which end at 3.4e38"});
  CHECK(block("y = x + 1e-40") == Lines{"17:9 error numbers are float32, of which the smallest is 1.2e-38: this one would be 0"});
  CHECK(block("y[t] = randint(20000000)\nx = x * y").at(0) == "17:16 error integers are exact to 16777216 only, and randint draws below that");
}

TEST_CASE("of what is rounded down no bound is taken for a number that it reaches") {
  CHECK(block("first[t] = max(s | s <= t: where(tokens[s] == 0, s, 0))\nage[t] = t - floor(first[t])\nx[t,i] = x[t,i] * age[t]").empty());
  CHECK(block("p[t] = exp(x[t,0])\nbin[t] = floor(7.99 * p[t] / (p[t] + 1e-9)) + 1\nx[t,i] = x[t,i] * bin[t]").empty());
  CHECK(block("n[t] = t * 20000000\nx[t,i] = x[t,i] * n[t]").size() == 1);
  // what is below 8 in real numbers is 8 in float32
  CHECK(block("p[t] = 1 / (1 + exp(0 - x[t,0]))\nx[t,i] = x[t, floor(7.9999999 * p[t])] + x[t,i]").size() == 1);
}

TEST_CASE("what is no beginning of a statement ends with its line") {
  CHECK(block("x = x\n+ x").at(0) == "18:1 error expected a value, found '+'");
  for (const char* begin : {"+", "]", ")", "*", "=", ","}) {  // also where the text ends with that line
    ModelText text;
    std::string whole = text.text();
    whole.replace(whole.find("x = x\n'''"), 10, std::string("x = x\n") + begin + " x'''");
    CHECK_FALSE(complaints(whole).empty());
  }
}

TEST_CASE("functions that double") {
  ModelText text;
  text.more = "[functions]\nf0 = 'f0(x) = x'\n";
  for (int i = 1; i <= 30; ++i) text.more += "f" + std::to_string(i) + " = 'f" + std::to_string(i) + "(x) = f" + std::to_string(i - 1) + "(x) + f" + std::to_string(i - 1) + "(x)'\n";
  text.block = "x = f30(x)";
  CHECK(complaints(text.text()).at(0).find("functions are called more than 100000 times") != std::string::npos);
}

TEST_CASE("a block does not run within itself") { CHECK(block("x = blocks(x)").at(0) == "17:5 error block 'blocks' runs within itself; `repeat` in its section runs it several times"); }

TEST_CASE("sections without a name") {
  for (const char* header : {"[ #x]", "[\u00e9]", "[,]", "[.a]", "[=]", "[$]", "[{"}) {
    INFO(header);
    CHECK(complaints(std::string("name = \"a\"\n") + header + "\n").at(0).find("2:1 error this is not TOML") == 0);
  }
}

TEST_CASE("modules lie in each other a few times") {
  std::string key = "a";
  for (int i = 0; i < 20000; ++i) key += ".a";
  CHECK(complaints("[dims]\nT = 4\nV = 4\n[params]\n" + key + " = 1\n").at(0).find("modules lie in each other at most 64 deep") != std::string::npos);
}

TEST_CASE("one error hides its consequences, and no other error") {
  CHECK(block("y = x + nothing\nz = y * 2\nw = split(z, 2)\nx = x + unknown") ==
        Lines{"17:9 error unknown name 'nothing'", "20:9 error unknown name 'unknown'"});
}

TEST_CASE("shapes") {
  CHECK(block("y = x + odd") == Lines{"17:5 error sizes clash: [b, t, 4] and [3]", "26:5 note 'x' is [b, t, 4]", "13:1 note 'odd' is [3]"});
  CHECK(block("y = x + reshape(x, 2, 2)").at(0) == "17:5 error sizes clash: [b, t, 4] and [b, t, 2, 2]");
  CHECK(block("y = reshape(x, 2, 1, 2) + reshape(x, 2, 2)").at(0) ==
        "17:5 error different numbers of axes: [b, t, 2, 1, 2] and [b, t, 2, 2]");
  CHECK(block("y = x @ g") == Lines{"17:5 error the right side of @ must be a matrix without positions, not [4]"});
  CHECK(block("y = W(reshape(x, 2, 2))") == Lines{"12:5 error sizes clash: [b, t, 2, 2] @ [4, 4]", "17:5 note in linear, applied here"});
  CHECK(block("y = reshape(x, 3)") == Lines{"17:5 error [b, t, 4] does not reshape to [3]: 4 elements are not 3"});
  CHECK(block("y, z = split(x, 3)") == Lines{"17:8 error the last axis has 4 elements, which do not split into 3 equal parts"});
  CHECK(block("y, z = split(x, [1, 2])") == Lines{"17:8 error the last axis has 4 elements, not 1 + 2"});
  CHECK(block("y, z = split(x, 4)") == Lines{"17:1 error 2 names for 4 values"});
  CHECK(block("y = split(x, 2) + 1") == Lines{"17:5 error split gives several values: write a, b = split(..)"});
  CHECK(block("y = concat(x, reshape(x, 2, 2))").at(0) == "17:5 error all axes but the last must be equal: [b, t, 4] and [b, t, 2, 2]");
  CHECK(block("y = topk(x, 5)") == Lines{"17:13 error topk keeps 5 of 4 elements"});
  CHECK(block("y = onehot(x, 4)") == Lines{"17:12 error onehot is of an integer, as argmax gives it"});
  CHECK(block("y = cumsum(g)") == Lines{"17:5 error cumsum runs over positions, and [4] has none"});
  CHECK(block("y = sum(sum(x)[t,0])").size() == 1);
  CHECK(block("x = reshape(x, 2, 2)").at(0) ==
        "14:2 error the block 'blocks' takes x of [b, t, 4] and gives back [b, t, 2, 2]; a block that repeats needs both equal");
}

TEST_CASE("indices") {
  CHECK(block("y[t,i] = x[t,j]") ==
        Lines{"17:14 error unknown index 'j': it is neither on the left side nor bound, as in sum(j: ..)", "17:5 note so 'i' stands on no axis"});
  CHECK(block("y[t] = sum(i: x[t,j] * M[2*j,1])").at(0) == "17:19 error unknown index 'j': it is neither on the left side nor bound, as in sum(j: ..)");
  CHECK(block("y[t,i] = x[t,i+1]") == Lines{"17:5 error index 'i' stands bare on no axis: write its range, such as i in 0..4"});
  CHECK(block("y[t,i] = sum(j: M[j,0] * tokens[i+j])") ==
        Lines{"17:5 error index 'i' stands bare on no axis: write its range, such as i in 0..6"});
  CHECK(block("y[t,i] = x[t,i % 2] * tokens[t-i]") ==
        Lines{"17:5 error index 'i' stands bare on no axis: write its range, 'i in 0..' and a size"});
  CHECK(block("y[t,i] = x[s,i]").at(0) == "17:12 error unknown name 's'; an index stands on the left side of the equation, or is bound where it runs, as in sum(s: ..)");
  CHECK(block("y[t,i] = sum(i: x[t,i])") == Lines{"17:14 error index 'i' is bound already"});
  CHECK(block("y[t,W] = x[t,W]") == Lines{"17:5 error index 'W' has the name of a value or size"});
  CHECK(block("y[b,t,i] = x[t,i]") == Lines{"17:3 error a block sees one sequence: 'b' is no index here"});
  CHECK(block("y[t,i,i] = x[t,i]") == Lines{"17:7 error index 'i' stands twice on the left side"});
  CHECK(block("y[t] = x[t,0,1]") == Lines{"17:8 error 'x' has 2 axes here, not 3"});
  CHECK(block("y[t,i] = x[b,t,i]").at(0) == "17:10 error 'x' has 2 axes here, not 3; an equation speaks of one sequence, so the batch has no index");
  CHECK(block("y[t] = sum(i: x[b,t,i])").at(0) == "17:15 error 'x' has 2 axes here, not 3; an equation speaks of one sequence, so the batch has no index");
  CHECK(block("y[t] = x[t,1.5]") == Lines{"17:12 error an index is an integer, and this is real: floor(..) makes an integer of it"});
  CHECK(block("y[t] = x[t,g]").at(0) == "17:12 error an index is one number, and this has axes of its own");
  CHECK(block("y = x[-1]").at(0) == "17:7 error there is nothing before index 0, so this is always 0; the last one has the index 5");
  CHECK(block("y[t,i] = sum(x[t,i])").at(0) == "17:10 error sum without indices acts on the last axis, and [b, t, i] has none; name the index, as in sum(i: x[t,i])");
  CHECK(block("y[t,i] = sum(j: M[i,j] * tokens[j])") ==
        Lines{"17:33 error index 'j' runs over 6 here and over 4 before", "17:21 note over 4 here"});
  CHECK(block("y[t] = x[t]") == Lines{"17:8 error the right side has axes without an index: [b, t, 4]; an equation of whole values has no indices on its left side: y = .."});
  CHECK(block("y[t] = 2 * x[t]") == Lines{"17:8 error the right side has axes without an index: [b, t, 4]; an equation of whole values has no indices on its left side: y = ..", "17:12 note this is [b, t, 4]: it needs another index, one for each axis"});
  CHECK(block("y[i] = x[t,i]") == Lines{"17:8 error index 't' is neither on the left side nor bound"});
  CHECK(block("y = sum(i in 3..3: x[t,i])") == Lines{"17:14 error the range 3..3 is empty"});
  CHECK(block("a[t,s] = softmax(u | u <= s: x[u,0]) + 0 * x[s,0]") ==
        Lines{"17:10 error softmax binds one index, of the left side, as in a[t,s] = softmax(s | s <= t: ..)"});
  CHECK(block("y = sum(q < r: x[q,0])") == Lines{"17:5 error exactly one index of the condition must be new, found q, r"});
  CHECK(block("y = sum(i: x)").at(0) == "17:9 error index 'i' stands bare on no axis: write its range, 'i in 0..' and a size");
}

TEST_CASE("ends") {
  CHECK(block("y[t,i] = x[t+1,i]") ==
        Lines{"17:12 error 'x' is read past the end of an axis of 6 (at t = 5): a condition must exclude it"});
  CHECK(block("y[t,i] = sum(u in 0..2 | t + u < 7: x[t+u,i])") ==
        Lines{"17:39 error 'x' is read past the end of an axis of 6 (at t = 5, u = 1): a condition must exclude it"});
  CHECK(block("y[t,i] = sum(u in 0..2 | t + u < 6: x[t+u,i])").empty());
  CHECK(block("y[t] = tokens[t-1]") ==
        Lines{"17:15 error 'tokens' is read before the start of an axis of 6 (at t = 0): a condition must exclude it, or tokens[start] = .. say what is there"});
  CHECK(block("y[t] = x[t,t]") == Lines{"17:12 error the position 't' stands on an axis of 4: 'x' is [b, t, 4] here, and has one index for each axis"});
  CHECK(block("tokens[start] = 3\ny[t] = tokens[t-1]").empty());
  CHECK(block("y[t] = where(t > 0, tokens[t-1], 0)").empty());
  CHECK(block("y[t] = where(t > 0, 0, tokens[t-1])").size() == 1);
  CHECK(block("y[t] = x[t, tokens[t]]") ==
        Lines{"17:13 error this index of 'x' depends on data, from 0 to 7, and may lie past the end of an axis of 4: keep it inside with % or clamp"});
  CHECK(block("y[t] = x[t, tokens[t] % d]").empty());
  CHECK(block("y[t] = x[t, 4]").at(0) == "17:13 error 'x' is read past the end of an axis of 4: a condition must exclude it");
  CHECK(block("y[t] = max(s | s < t: x[s,0])") == Lines{"17:8 error max over nothing: its condition excludes every element somewhere"});
  CHECK(block("y[t] = max(s | s <= t: x[s,0])").empty());
  CHECK(block("y[t] = min(s | tokens[s] == tokens[t]: x[s,0])") ==
        Lines{"17:8 error min may be over nothing: whether its condition holds depends on data"});
}

TEST_CASE("recurrences") {
  CHECK(block("x = x[t-1] + x") ==
        Lines{"17:5 error 'x' has a value already: a recurrence needs a name of its own", "26:5 note it got a value here"});
  CHECK(block("y[t,i] = x[t,i] + z[t,i]\nz[t,i] = y[t,i]") ==
        Lines{"17:19 error 'z' is read before it is computed: its equation must stand above, or this step back in time, as in z[t-1]"});
  CHECK(block("y[t,i] = x[t,i] + y[t+1,i]") ==
        Lines{"17:21 error 'y' is read at a later step of its own recurrence: a cycle must step back in time"});
  CHECK(block("y[t,i] = x[t,i] + sum(s | s <= t: y[s,i])").size() == 1);
  CHECK(block("y[t,i] = x[t,i] + sum(s | s < t: y[s,i])").empty());
  CHECK(block("y[start,i in 0..3] = 0\ny[t,i] = x[t,i] + y[t-1,i]").size() == 1);
  CHECK(block("y[start] = g\ny = x + y[t-1]\ny[start] = 2 * g") == Lines{"19:1 error 'y' has a start already", "17:1 note it stands here"});
  CHECK(block("z = tanh(x + y[t-1])\nu = g * 2\ny[start] = u\ny[t,i] = y[t-1,i] + z[t,i]").at(0) ==
        "19:12 error the start of 'y' must be known where 'y' is first read, and 'u' gets its value behind that: compute it before");
}

TEST_CASE("calls") {
  CHECK(block("y = W(x, x)") == Lines{"17:5 error a layer takes one value, as in W(x)"});
  CHECK(block("y = gelu()").at(0) == "17:5 error 'gelu' needs 'x'");
  CHECK(block("y = gelu(x, x)").at(0) == "17:5 error 'gelu' takes 1 value, not 2");
  CHECK(block("y = bce(x, 1, pos_wieght = 2)").at(0) == "17:28 error 'bce' has no argument named 'pos_wieght'; did you mean 'pos_weight'?");
  CHECK(block("y = exp(x, x)") == Lines{"17:5 error 'exp' takes 1 value, not 2"});
  CHECK(block("y = exp(x, base = 2)") == Lines{"17:19 error 'exp' has no argument named 'base'"});
  CHECK(block("y = dropout(x, 1)").at(0) == "17:16 error the probability is a constant of at least 0 and less than 1");
  CHECK(block("y = 'text'") == Lines{"17:5 error a text is not a value"});
  CHECK(block("y = x if q > 3") == Lines{"17:10 error 'if' decides once whether a statement is there, by sizes and 'layer', and 'q' is none; to choose between values, write where(condition, a, b)"});
}

TEST_CASE("losses") {
  CHECK(loss("mean(b, t: nll(logits[b,t], targets[b,t+1]))").at(0) ==
        "31:39 error 'targets' is read past the end of an axis of 6 (at t = 5): a condition must exclude it");
  CHECK(loss("mean(b, t | t < T - 1: nll(logits[b,t], targets[b,t+1]))").empty());
  CHECK(loss("mean(t: nll(logits[t], targets[t]))") ==
        Lines{"31:20 error this index of 'logits' is that of a sequence, and positions stand here: write logits[b,t] where sequences have an index, as in a loss"});
  CHECK(loss("mean(l, b, t: layers.gate[l,b,t,0])").at(0) == "31:15 error the blocks have no 'gate'");
}

TEST_CASE("sections") {
  ModelText text;
  std::string good = text.text();
  auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = good;
    changed.replace(changed.find(from), from.size(), to);
    return complaints(changed);
  };
  CHECK(with("[dims]", "[dimz]").at(0) == "2:2 error unknown key 'dimz' in a model file; did you mean 'dims'?");
  CHECK(with("repeat", "repaet").at(0) == "15:1 error unknown key 'repaet' in [block]; did you mean 'repeat'?");
  CHECK(with("d = 4", "d = 'dd / 2'").at(0) == "6:6 error unknown size 'dd'; did you mean 'd'?");
  CHECK(with("d = 4", "d = 'd / 2'").at(0) == "6:1 error size 'd' is defined by itself");
  CHECK(with("d = 4", "d = 0").at(0) == "6:1 error size 'd' is 0; a size is a whole number from 1 to 2147483647");
  CHECK(with("T = 6\n", "").at(0) == "2:2 error [dims] needs 'T', the positions of a sequence");
  CHECK(with("\"linear(d, d)\"", "{ init = \"zeros\" }").at(0).find("error 'zeros' says how a parameter begins, and not what it is") != std::string::npos);
  CHECK(with("linear(d, d)", "dense(d, d)") == Lines{"20:6 error unknown layer 'dense'; there are groupnorm, layernorm, linear, rmsnorm, scalar, table, tensor, vector"});
  CHECK(with("[loss]\n", "[loss]\nall = 'ce'\nce = 'cross_entropy(logits, targets)'\n") == Lines{"30:8 error the term 'ce' stands below; terms use terms above them", "31:1 note here"});
  CHECK(with("x = blocks(x)\nlogits = x @ transpose(embed)\n'''", "x = blocks(x)\n").at(0).find("error this text is never closed") != std::string::npos);
  CHECK(with("linear(d, d)", "linnear(d, d)").at(0) == "20:6 error unknown layer 'linnear'; did you mean 'linear'?");
  const Lines large = with("d = 4", "d = 100000");
  REQUIRE(large.size() > 1);
  CHECK(large.at(0) == "16:11 error this parameter has [100000, 100000] elements: more than 1e9");
  CHECK(large.at(1) == "20:1 note of this layer");
  CHECK(with("linear(d, d)", "linear(d)").at(0) == "20:6 error this layer is written linear(n, m) or linear(n, m, bias)");
  CHECK(with("linear(d, d)", "linear(d, d, d)").at(0) == "20:19 error this argument of 'linear' says whether it has a bias: write 'bias', or leave it out");
  CHECK(with("ids = [1, 2]", "ids = [1, 2]\nt = 5").at(0).ends_with("error 't' is the index of positions in equations; choose another name"));
  CHECK(with("ids = [1, 2]", "ids = [1, 2]\nlayer = 5").at(0).ends_with("error 'layer' is the number of the layer in equations; choose another name"));
  CHECK(with("[params]", "[params]\ntokens = \"vector(d)\"").at(0).ends_with("error 'tokens' is the tokens in equations; choose another name"));
  CHECK(with("total", "totl").at(0) == "29:2 error the model has no [loss] with a 'total', which is what is trained");
  CHECK(with("logits = x", "other = x") == Lines{"23:2 error [model] gives no 'logits': the scores of the V tokens at each position, as in logits = x @ transpose(embed)"});
  CHECK(with("logits = x @ transpose(embed)", "logits = x").at(0) == "27:1 error 'logits' must have the axes [b, t, 8], it is [b, t, 4]");
  CHECK(with("name = \"small\"", "name = ").at(0).find("this is not TOML") != std::string::npos);
  CHECK(with("ids = [1, 2]", "eos = \"token('<eos>')\"").at(0).starts_with("10:8 error ids belong to a tokenizer"));
  text.block = "x = \\\"a\\\"";
  std::string escaped = "[model]\nforward = \"x = \\\"a\\\"\"\n[loss]\ntotal = 'x'\n";
  CHECK(complaints(escaped).at(0) == "2:11 error equations stand in single quotes ('..' or '''..'''), where nothing is escaped");
}

TEST_CASE("parameters") {
  ModelText text;
  auto params = [&](const std::string& entry) {
    text.params = entry + "\n";
    return complaints(text.text());
  };
  CHECK(params("h = { kind = \"vector(d)\", ini = \"ones\" }").at(0) ==
        "20:27 error unknown key 'ini' in a parameter; did you mean 'init'?");
  CHECK(params("h = { kind = \"vector(d)\", init = \"twos\" }").at(0) ==
        "20:35 error 'init' must be normal(mean, deviation), uniform(low, high), constant(value), zeros or ones");
  CHECK(params("h = { kind = \"vector(d)\", range = [2, 1] }") ==
        Lines{"20:36 error 'range' is the lowest number and the highest, and here the lowest is above the highest"});
  CHECK(params("h = { kind = \"vector(d)\", init = \"normal(0, -1)\" }") ==
        Lines{"20:35 error the deviation of normal(mean, deviation) is at least 0"});
  CHECK(params("h = { kind = \"vector(d)\", init = \"uniform(1, 0)\" }") == Lines{"20:35 error uniform(low, high) has a 'low' of at most 'high'"});
  CHECK(params("h = { kind = \"vector(d)\", range = [1] }").at(0) == "20:35 error 'range' must be two numbers, as in [0.1, 2]");
  CHECK(params("h = { kind = \"vector(d)\", trainable = \"no\" }").at(0) == "20:39 error 'trainable' must be true or false, not a text");
  CHECK(params("h = { kind = \"vector(d)\", name = 3 }").at(0) == "20:34 error 'name' must be a text in quotes, not a number");
  CHECK(params("h = { kind = \"vector(d)\", when = true }").at(0) == "20:34 error 'when' must be a text in quotes, not true or false");
  CHECK(params("h = { kind = \"vector(d)\", init = 0 }").at(0) ==
        "20:34 error 'init' must be a text in quotes, as in \"normal(0, 0.02)\", or a table of them");
  CHECK(params("h = 3").at(0) == "20:5 error 'h' must be a kind in quotes, as in \"linear(d, k)\", or a table");
  CHECK(params("h = \"vector(d, d)\"").at(0) == "20:6 error a vector has one size, as in vector(d)");
  CHECK(params("h = { kind = \"vector(3)\", name = \"embed.weight\" }").at(0) ==
        "20:1 error 'embed.weight' is [3] here and [8, 4] elsewhere");
  CHECK(params("h = { kind = \"tensor(d, d)\", name = \"of.{layer}\" }\ni = { kind = \"tensor(d, d)\", name = \"of.1\" }").at(0) ==
        "21:1 error 'of.1' is one of several layers' in one place, and of one layer or of others in the other: these cannot be one tensor; give one another name");
}

TEST_CASE("conditions on pairs of many positions say what they say of few") {
  for (const char* T : {"64", "4096"}) {
    INFO(T);
    ModelText text;
    auto block = [&](const std::string& equations) {
      text.block = equations;
      return complaints(text.text(), {{"T", T}});
    };
    CHECK(block("y[t,i] = sum(s | s > t - 4, s <= t: M[t-s,i] * x[s,i])\nx = x + W(y) * g").empty());
    CHECK(block("y[t,i] = sum(s | 2 * s > 2 * t - 7.5, s < t + 0.5: M[t-s,i] * x[s,i])\nx = x + W(y) * g").empty());
    CHECK(block("y[t,i] = max(s | s > t - 4, s <= t: x[s,i])\nx = x + W(y) * g + M[0]").empty());
    CHECK(block("y[t,i] = logsumexp(s | s % 7 <= t % 7: x[s,i])\nx = x + W(y) * g + M[0]").empty());
    CHECK(block("y[t,i] = max(s | s > t - 4, s < t: x[s,i])\nx = x + W(y) * g + M[0]").at(0).find("max over nothing") != std::string::npos);
    CHECK(block("y[t,i] = min(s | s // 2 > t // 2: x[s,i])\nx = x + W(y) * g + M[0]").at(0).find("min over nothing") != std::string::npos);
    const std::string outside = block("y[t,i] = sum(s | s >= t - 4, s <= t: M[t-s,i] * x[s,i])\nx = x + W(y) * g").at(0);
    CHECK(outside.find("error") != std::string::npos);
    CHECK(outside.find("of an axis of 4") != std::string::npos);
    text.block = "x = x + W(x) * g + M[0]";
    auto loss = [&](const std::string& condition) {
      text.loss = "mean(b, t, w in 0..4 | " + condition + ": nll(logits[b,t+w], targets[b,t+w]))";
      return complaints(text.text(), {{"T", T}});
    };
    CHECK(loss("t < T - 3").empty());
    CHECK(loss("t <= T - 3").at(0).find("past the end") != std::string::npos);
  }
}

TEST_CASE("a parameter is used where its 'when' does not hold") {
  ModelText text;
  auto used = [&](const std::string& params, const std::string& block) {
    text.params = params;
    text.block = block;
    return complaints(text.text());
  };
  const std::string absent = " exists only where its 'when' holds, and not in layer 0; a statement may end in 'if' and the same condition";
  CHECK(used("K = { kind = \"linear(d, d)\", when = \"layer >= 1\" }\n", "x = x + K(x)") ==
        Lines{"17:9 error 'K'" + absent, "20:38 note this does not hold in layer 0"});
  CHECK(used("K = { kind = \"vector(d)\", when = \"layer >= 1\" }\n", "y[t,i] = x[t,i] + K[i]").at(0) == "17:19 error 'K'" + absent);
  CHECK(used("[block.params.a]\nwhen = \"layer >= 1\"\ng = \"vector(d)\"\n", "x = x + a.g").at(0) == "17:9 error 'a.g'" + absent);
  CHECK(used("K = { kind = \"vector(d)\", when = \"d == 3\" }\n", "x = x + K").at(1) == "20:35 note this does not hold in layers 0 to 1");
  CHECK(used("K = { kind = \"linear(d, d)\", when = \"layer >= 1\" }\n", "x = x + K(x) if layer >= 1").empty());
}

TEST_CASE("training settings") {
  ModelText text;
  auto train = [&](const std::string& line) {
    text.more = "[train]\n" + line + "\n";
    return complaints(text.text());
  };
  CHECK(train("learning = 1").at(0).find("30:1 error unknown key 'learning' in [train]") == 0);
  CHECK(train("lrr = 1").at(0) == "30:1 error unknown key 'lrr' in [train]; did you mean 'lr'?");
  CHECK(train("learning_rate = 1").at(0) == "30:1 error unknown key 'learning_rate' in [train]; did you mean 'lr'?");
  CHECK(train("batch_size = 1").at(0) == "30:1 error unknown key 'batch_size' in [train]; did you mean 'batch'?");
  CHECK(train("precision = \"bf17\"").at(0) == "30:13 error 'precision' must be \"fp32\", \"bf16\" or \"auto\", not \"bf17\"");
  CHECK(train("accumulate = \"all\"").at(0) == "30:14 error 'accumulate' must be \"sum\" or \"mean\", not \"all\"");
  CHECK(train("tile_rows = 1.5").at(0) == "30:13 error 'tile_rows' must be a whole number: how many rows are computed at a time, or 0 for the compiler's choice");
  CHECK(train("batch = 0").at(0) == "30:9 error 'batch' must be a whole number of at least 1");
  CHECK(train("min_lr = 1e-3") == Lines{"30:10 error 'min_lr' is 0.001, above 'lr', 0.0005: the rate falls from lr to min_lr"});
  CHECK(train("lr = 1e-2\nmin_lr = 1e-1").at(1) == "30:6 note 'lr' stands here");
  CHECK(train("min_lr = 1e-2\n[[phase]]\nshare = 1\nlr = 1e-1").empty());
  CHECK(train("min_lr = 1e-4\n[[phase]]\nshare = 1\nlr = 1e-6") ==
        Lines{"30:10 error 'min_lr' is 0.0001, above 'lr', 1e-06: the rate falls from lr to min_lr", "33:6 note 'lr' stands here"});
  CHECK(train("batch = 7\nmicro = 4") == Lines{"30:9 error 'batch' is 7, no multiple of 'micro', 4; the next is 8", "31:9 note 'micro' stands here"});
  CHECK(train("lanes = 33") == Lines{"30:9 error 'lanes' is 33, and a step has 32 sequences; a lane without one does nothing: at most 32"});
  CHECK(train("micro = 5") == Lines{"30:9 error 'batch' is 32, no multiple of 'micro', 5; the next is 35"});
  CHECK(train("betas = 0.9").at(0) == "30:9 error 'betas' must be two numbers, as in [0.9, 0.95]");
  CHECK(train("betas = [0.9, 1]") == Lines{"30:9 error 'beta2' must be a number of at least 0 and below 1"});
  CHECK(train("batch = 1e30") == Lines{"30:9 error 'batch' must be a whole number of at most 1000000000"});
  CHECK(train("groups = [{ weight_decay = 0 }]").at(0).find("a group must be a table with 'match'") != std::string::npos);
  CHECK(train("groups = [{ match = \"*\", lr = nan }]") == Lines{"30:31 error 'lr' must be a finite number of at least 0"});
  CHECK(train("groups = [{ match = \"*\", weight_decay = -1 }]") == Lines{"30:41 error 'weight_decay' must be a number of at least 0"});
  CHECK(train("[[phase]]\nshare = 1\nclip = -inf\nwarmup_steps = 2.5") ==
        Lines{"32:8 error 'clip' must be a finite number of at least 0", "33:16 error 'warmup_steps' must be a whole number of at least 0"});
  CHECK(train("groups = [{ match = \"*\", lr = 1 }, { match = \"embeds.*\", lr = 1 }]").at(0).find("30:36 error 'embeds.*' matches no parameter") == 0);
  CHECK(train("lr = 0\nmin_lr = 0\ngroups = [{ match = \"*\", lr = 1 }]").at(0).find("32:11 error the group '*' sets lr, but train.lr is 0") == 0);
}

TEST_CASE("phases") {
  ModelText text;
  auto phase = [&](const std::string& lines) {
    text.more = "[[phase]]\n" + lines + "\n";
    return complaints(text.text());
  };
  CHECK(phase("share = 1").empty());
  CHECK(phase("share = 0.7\n[[phase]]\nsteps = 3\n[[phase]]\nshare = 0.2\n[[phase]]\nshare = 0.1").empty());
  const std::string falling = "[[phase]]\nshare = 0.5\nlr = 1e-2\nmin_lr = 1e-3\n[[phase]]\nshare = 0.5\nlr = 1e-4\n[train]\nmin_lr = 1e-5\n";
  text.more = falling;
  // each phase is compiled with its settings in place of those of [train]
  CHECK(complaints(text.text(), {{"train.lr", "1e-2"}, {"train.min_lr", "1e-3"}}).empty());
  CHECK(complaints(text.text(), {{"train.lr", "1e-4"}}).empty());
  CHECK(phase("share = 0.7\n[[phase]]\nshare = 0.5\n[[phase]]\nshare = 0.5") ==
        Lines{"32:9 error with this the shares of the phases are 1.2, more than the whole"});
  CHECK(phase("share = 1\nfreeze = [\"embeds.*\"]").at(0).find("31:10 error 'embeds.*' matches no parameter") == 0);
  cpuflow::frontend::LoadOptions options;
  options.other_sizes = true;
  cpuflow::ir::Diagnostics diagnostics;
  CHECK_NOTHROW(cpuflow::frontend::load_model_text(text.text(), "small.toml", {}, diagnostics, options));
  CHECK_FALSE(diagnostics.has_errors());
  CHECK(phase("share = 1\nconstants = { tau = 3 }") == Lines{"31:15 error [constants] has no 'tau'"});
  CHECK(phase("share = 1\nconstants = 3").at(0) == "31:1 error 'constants' must be a table, not a number");
}

TEST_CASE("integers are small enough to be exact") {
  CHECK(block("y[t] = x[t, (tokens[t] * 2000000) % d]").empty());
  CHECK(block("y[t] = x[t, (tokens[t] * 3000000) % d]") ==
        Lines{"17:13 error this integer may reach 21000000, and integers are exact to 16777216: % on its parts keeps it small"});
  const std::string too_large = "error integers are exact to 16777216 only; a real number is written with a point or exponent, as in 3e9";
  CHECK(block("y[t] = x[t, tokens[t] % 3000000000000000000000]") == Lines{"17:25 " + too_large});
  CHECK(block("y = x * 3e21").empty());
  ModelText text;
  text.block = "y = big * x";
  const std::string ids = "ids = [1, 2]";
  std::string with_constant = text.text();
  with_constant.replace(with_constant.find(ids), ids.size(), "big = 20000000");
  CHECK(complaints(with_constant) == Lines{"17:5 " + too_large});
}

TEST_CASE("names in files and in generated code") {
  const std::string text = ModelText().text();
  const auto with = [&](const std::string& before, const std::string& after) {
    std::string changed = text;
    changed.replace(changed.find(before), before.size(), after);
    return complaints(changed);
  };
  CHECK(with("\"small\"", "\"a\\nint b;\"") == Lines{"1:8 error 'name' holds a control character"});
  CHECK(with("\"small\"", "\"../small\"").at(0).starts_with("1:8 error files are named after the model"));
  CHECK(with("\"small\"", "\"my model (2)\"").empty());
  for (const char* key : {"\"a b\"", "\"a\\nint b;\"", "0", "a-b", "\"\""}) {
    INFO(key);
    CHECK(with("H = 2", std::string(key) + " = 2").at(0).find("is no name in equations: letters, digits and _, and no digit first") != std::string::npos);
    CHECK(with("odd =", std::string(key) + " =").at(0).find("is no name in equations") != std::string::npos);
  }
  CHECK(with("[loss]\n", "[functions]\n\"f 1\" = 'f(x) = x'\n[loss]\n").at(0).find("is no name in equations") != std::string::npos);
}

TEST_CASE("arguments of functions") {
  ModelText text;
  text.more = "[functions]\nscaled = 'scaled(x, by = 2) = x * by'\nmore = 'more(x, by = g) = x * by'\nwide = 'wide(x, by = 1 / d) = x * by'\n";
  const auto block = [&](const std::string& equation) {
    text.block = equation;
    return complaints(text.text());
  };
  CHECK(block("y = scaled(x, by = 3)").empty());
  CHECK(block("y = scaled(x, x = g)") == Lines{"17:19 error 'x' is given twice", "17:12 note given here"});
  CHECK(block("y = scaled(x, by = 3, by = 4)") == Lines{"17:23 error 'by' is given twice"});
  // a standard value means the same at every call: the caller's names are not in it
  CHECK(block("y = more(x)").at(0).find("error unknown name 'g'") != std::string::npos);
  CHECK(block("y = more(x, by = g)").empty());
  CHECK(block("y = wide(x)").empty());
}

TEST_CASE("overrides") {
  std::string text = ModelText().text();
  CHECK(complaints(text, {{"dd", "3"}}) == Lines{"1:1 error the model has no size or constant 'dd'; did you mean 'd'?"});
  CHECK(complaints(text, {{"train.lrr", "3"}}) == Lines{"1:1 error [train] has no key 'lrr'; did you mean 'lr'?"});
  CHECK(complaints(text, {{"train.learning_rate", "3"}}) == Lines{"1:1 error [train] has no key 'learning_rate'; did you mean 'lr'?"});
  CHECK(complaints(text, {{"lr", "1e-3"}}) == Lines{"1:1 error the model has no size or constant 'lr'; did you mean 'train.lr'?"});
  CHECK(complaints(text, {{"d", "64,L=3"}}) == Lines{"1:3 error one setting is one value: separate settings with spaces, as in --set d=64 L=3"});
  CHECK(complaints(text, {{"d", "max(4, T == 8)"}, {"H", "where(T <= 8, 2, 1)"}}).empty());
  CHECK(complaints(text, {{"d", "[]"}}) == Lines{"1:3 error size 'd' is one whole number; only [constants] hold lists"});
  CHECK(complaints(text, {{"T", "[3, 4]"}}) == Lines{"1:3 error size 'T' is one whole number; only [constants] hold lists"});
  CHECK(complaints(text, {{"d", ""}}) == Lines{"1:3 error expected a value, found the end of the line"});
  CHECK(complaints(text, {{"L", "10001"}}) == Lines{"15:11 error a block repeats 1 to 10000 times, not 10001"});
  CHECK(complaints(text, {{"train.min_lr", "1"}}) == Lines{"1:14 error 'min_lr' is 1, above 'lr', 0.0005: the rate falls from lr to min_lr"});
  CHECK(complaints(text, {{"train.batch", "7"}, {"train.micro", "4"}}).at(0) == "1:13 error 'batch' is 7, no multiple of 'micro', 4; the next is 8");
  CHECK(complaints(text, {{"train.lr", "fast"}}) == Lines{"1:10 error 'train.lr' must be a number, not 'fast'"});
  CHECK(complaints(text, {{"d", "8"}, {"train.lr", "1e-3"}, {"ids", "[3]"}}).empty());
}

TEST_CASE("errors show the line and carets") {
  ModelText text;
  text.block = "y = x  # \u00fc\nz = x * (g + odd)";
  cpuflow::ir::Diagnostics diagnostics;
  try {
    cpuflow::frontend::load_model_text(text.text(), "small.toml", {}, diagnostics);
    FAIL("no error");
  } catch (const cpuflow::ir::ModelError& e) {
    CHECK(std::string(e.what()).find("small.toml:18:9: error: sizes clash: [4] and [3]\n    z = x * (g + odd)\n            ^^^^^^^^^\n") ==
          0);
  }
}

TEST_CASE("of a long line the part around the carets is shown") {
  const std::string text = "é" + std::string(299, 'a') + "wrong" + std::string(300, 'b') + "\nnext";
  const auto source = std::make_shared<const cpuflow::ir::SourceText>(cpuflow::ir::SourceText{"long.toml", text});
  const auto shown = [&](uint32_t offset, uint32_t length) {
    cpuflow::ir::Diagnostics diagnostics;
    diagnostics.error({source, offset, length}, "what");
    std::istringstream lines(diagnostics.format());
    std::string heading, line, carets;
    std::getline(lines, heading), std::getline(lines, line), std::getline(lines, carets);
    const size_t first = carets.find('^'), last = carets.rfind('^');
    CHECK(line.size() < 180);
    return std::pair{line, line.substr(first, last + 1 - first)};
  };
  CHECK(shown(301, 5).second == "wrong");
  CHECK(shown(301, 5).first.find("    ... aaa") == 0);
  CHECK(shown(301, 5).first.find("bbb ...") != std::string::npos);
  CHECK(shown(0, 1).first.find("    éaaa") == 0);
  CHECK(shown(601, 20).second == "bbbbb");  // as far as the line goes
}
