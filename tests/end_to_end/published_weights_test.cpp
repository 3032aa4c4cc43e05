// Weights that PyTorch saved, in a model file of the same names.
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/safetensors.h"
#include "tests/catch.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

using namespace cpuflow;

namespace {

const char* const kNet = R"toml(name = "net"
[dims]
V = 24
T = 6
B = 2
d = 8
[params]
embed = "table(V, d)"
mix   = "linear(d, d, bias)"
norm  = "layernorm(d)"
[model]
forward = '''
h = embed[tokens]
h = h + mix(tanh(cumsum(h) / (t + 1)))
logits = norm(h) @ transpose(embed)
'''
[loss]
ce    = "cross_entropy(logits, targets)"
total = "ce"
[train]
batch = 2
)toml";

std::string sample(const std::string& name) { return std::string(CPUFLOW_SOURCE_DIR "/tests/data/torch/") + name; }

}  // namespace

TEST_CASE("a checkpoint of PyTorch gives PyTorch's logits") {
  const TemporaryFolder folder;
  folder.write("net.toml", kNet);
  const Result run = cpuflowc({"grad", folder / "net.toml", "--weights", sample("net.pt"), "--inputs", sample("net.safetensors"), "--out", folder / "out.safetensors"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(contains(run.err, "left in the file, because the model has no such parameters: positions [6]"));
  const std::vector<float> want = rt::SafetensorsFile(sample("net.safetensors")).floats("logits"), got = rt::SafetensorsFile(folder / "out.safetensors").floats("logits");
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < want.size(); ++i) CHECK(std::abs(got[i] - want[i]) <= 1e-5 * (1 + std::abs(want[i])));
}

TEST_CASE("what a checkpoint lacks, and what has another shape, is listed whole") {
  const TemporaryFolder folder;
  folder.write("net.toml", replaced(replaced(kNet, "mix   = \"linear(d, d, bias)\"", "mix = \"linear(d, d, bias)\"\nmore = \"vector(d)\"\nlast = \"vector(d)\""), "V = 24", "V = 25"));
  const Result run = cpuflowc({"grad", folder / "net.toml", "--weights", sample("net.pt"), "--inputs", sample("net.safetensors"), "--out", folder / "out.safetensors"});
  CHECK(run.status == 4);
  for (const char* part : {"'more' [8] is missing", "'last' [8] is missing", "'embed.weight' has shape [24, 8], and the model has [25, 8]"}) {
    INFO(run.err);
    CHECK(contains(run.err, part));
  }
}

TEST_CASE("published weights are trained on, evaluated and sampled without a run") {
  const TemporaryFolder folder;
  folder.write("tiny.toml", kTinyModel);
  folder.write("tiny.txt", tiny_text());
  const Result train = cpuflowc(words("train " + folder / "tiny.toml" + " --data " + folder / "tiny.txt" + " --out " + folder / "run --steps 20"));
  INFO(train.err);
  REQUIRE(train.status == 0);
  const std::string weights = folder / "run/checkpoint/model.safetensors", tokenizer = folder / "run/tokenizer.json";
  const nlohmann::json settings = nlohmann::json::parse(text_of(folder / "run/run.json"))["settings"];
  const std::string V = settings.contains("V") ? settings["V"].get<std::string>() : "300";
  const std::vector<std::string> with{"--weights", weights, "--tokenizer", tokenizer, "--set", "V=" + V};
  const Result here = cpuflowc(std::vector<std::string>{"sample", folder / "run", "Once", "--tokens", "8"});
  const Result there = cpuflowc(std::vector<std::string>{"sample", folder / "tiny.toml", "Once", "--tokens", "8"} + with);
  INFO(there.err);
  CHECK(there.status == 0);
  CHECK(!here.out.empty());
  CHECK(here.out == there.out);
  const Result eval = cpuflowc(std::vector<std::string>{"eval", folder / "tiny.toml", "--data", folder / "tiny.txt"} + with);
  INFO(eval.err);
  CHECK(eval.status == 0);
  CHECK(contains(eval.out, "with " + weights));
  CHECK(cpuflowc({"sample", folder / "tiny.toml", "Once", "--weights", weights}).status == 2);
  CHECK(contains(cpuflowc({"sample", folder / "run", "Once", "--set", "d=8"}).err, "a run keeps the settings that it was trained with"));
}
