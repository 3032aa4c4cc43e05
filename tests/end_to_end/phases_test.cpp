// Training in phases: frozen parameters, a schedule and a loss of its own for each, and a run that ends on the way.
#include <signal.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <thread>

#include "runtime/safetensors.h"
#include "tests/catch.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

using namespace cpuflow;

namespace {

const std::string kPhases = R"toml(
[[phase]]
steps  = 60
freeze = ["embed.*"]
lr     = 3e-3

[[phase]]
share     = 0.5
constants = { more = 0.5 }
)toml";

struct Files {
  TemporaryFolder folder;
  Files() {
    const std::string model = replaced(replaced(kTinyModel, "[params]", "[constants]\nmore = 0.0\n\n[params]"), "total = \"ce\"",
                                       "size = 'mean(b, t, v: logits[b,t,v]^2)'\ntotal = 'ce + more * size'");
    folder.write("two.toml", model + kPhases);
    folder.write("first.toml", model + kPhases.substr(0, kPhases.find("\n[[phase]]\nshare")));
    folder.write("text.txt", tiny_text());
  }
  std::vector<std::string> train(const std::string& model, const std::string& run) const {
    return words("train " + (folder / model) + " --data " + (folder / "text.txt") + " --steps 240 --seed 5 --out " + (folder / run));
  }
  std::vector<float> tensor(const std::string& run, const std::string& name) const {
    return rt::SafetensorsFile((folder / run) + "/checkpoint/model.safetensors").floats(name);
  }
};

std::vector<float> first_weights(const Files& files, const std::string& name) {
  const Result one = cpuflowc(words("train " + (files.folder / "first.toml") + " --data " + (files.folder / "text.txt") + " --steps 1 --seed 5 --set train.lr=0 train.min_lr=0 --out " +
                                    (files.folder / "start")));
  INFO(one.err);
  REQUIRE(one.status == 0);
  return files.tensor("start", name);
}

}  // namespace

TEST_CASE("phases freeze, change losses and begin schedules of their own; a run that is killed in one goes on in it") {
  const Files files;
  const Result first = cpuflowc(files.train("first.toml", "first"));
  INFO(first.err);
  REQUIRE(first.status == 0);
  const Result two = cpuflowc(files.train("two.toml", "two"));
  INFO(two.err);
  REQUIRE(two.status == 0);
  CHECK(contains(two.err, "phase 1 of 2: frozen are embed.*"));
  CHECK(contains(two.err, "phase 2 begins after step 60"));
  const std::vector<float> start = first_weights(files, "embed.weight");
  CHECK((files.tensor("first", "embed.weight") == start));
  CHECK((files.tensor("two", "embed.weight") != start));
  CHECK((files.tensor("first", "mix.weight") != files.tensor("two", "mix.weight")));
  const std::string metrics = text_of((files.folder / "two") + "/metrics.jsonl");
  CHECK(contains(metrics, "\"step\":60,"));   // the second phase warms up from 0 again
  CHECK(contains(metrics.substr(metrics.find("\"step\":60,")), "\"lr\":0.0,"));

  Process killed(files.train("two.toml", "killed") + words("--save-every 0"));
  for (int i = 0; i < 2000 && killed.running() && !contains(text_of((files.folder / "killed") + "/metrics.jsonl"), "\"step\":90,"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  killed.signal(SIGKILL);
  CHECK(killed.wait().status == 137);
  const Result resumed = cpuflowc(files.train("two.toml", "killed") + words("--resume --threads 1"));
  INFO(resumed.err);
  CHECK(resumed.status == 0);
  CHECK(contains(resumed.err, "phase 2 of 2"));
  for (const char* name : {"embed.weight", "mix.weight"}) CHECK((files.tensor("killed", name) == files.tensor("two", name)));
}

TEST_CASE("shares are those of the whole that a resumed run is given") {
  const Files files;
  files.folder.write("shares.toml", text_of(files.folder / "first.toml").substr(0, text_of(files.folder / "first.toml").find("[[phase]]")) + "[[phase]]\nshare = 0.3\n[[phase]]\nshare = 0.7\n");
  const auto steps = [&](const std::string& more) {
    const Result run = cpuflowc(words("train " + (files.folder / "shares.toml") + " --data " + (files.folder / "text.txt") + " --out " + (files.folder / "run") + " " + more));
    INFO(run.err);
    CHECK(run.status == 0);
    return run.out;
  };
  CHECK(contains(steps("--steps 21"), ": 21 steps"));
  CHECK(contains(steps("--steps 40 --resume"), ": 40 steps"));
  CHECK(contains(steps("--steps 10 --resume"), ": 40 steps"));
}

TEST_CASE("a warm start takes what fits and lists the rest") {
  const Files files;
  REQUIRE(cpuflowc(words("train " + (files.folder / "first.toml") + " --data " + (files.folder / "text.txt") + " --steps 3 --out " + (files.folder / "a"))).status == 0);
  files.folder.write("other.toml", replaced(replaced(kTinyModel, "mix   = \"linear(d, d)\"", "mix   = \"linear(d, d, bias)\""), "d = 16", "d = 16\nk = 8"));
  const std::string weights = (files.folder / "a") + "/checkpoint/model.safetensors";
  const auto train = [&](const std::string& model, const std::string& run, const std::string& more) {
    return cpuflowc(words("train " + (files.folder / model) + " --data " + (files.folder / "text.txt") + " --steps 1 --set train.lr=0 --out " + (files.folder / run) + " " + more));
  };
  const Result warm = train("other.toml", "b", "--warm-start " + weights);
  INFO(warm.err);
  CHECK(warm.status == 0);
  CHECK(contains(warm.err, "warm start: 2 of 3 parameters are taken"));
  CHECK(contains(warm.err, "begin as the model file says: mix.bias [16]"));
  CHECK((files.tensor("b", "embed.weight") == files.tensor("a", "embed.weight")));
  CHECK_FALSE(contains(warm.err, "these weights were trained with the ids of"));
  files.folder.write("more.txt", tiny_text(20) + "Zebras and quails, a quiz of jazz. ");
  const Result ids = cpuflowc(words("train " + (files.folder / "other.toml") + " --data " + (files.folder / "more.txt") + " --steps 1 --out " + (files.folder / "d") + " --warm-start " + weights));
  CHECK(contains(ids.err, "these weights were trained with the ids of " + (files.folder / "a") + "/checkpoint/tokenizer.json, and the new tokenizer has others"));
  files.folder.write("small.toml", replaced(kTinyModel, "d = 16", "d = 8"));
  const Result nothing = train("small.toml", "c", "--warm-start " + weights);
  CHECK(nothing.status == 4);
  CHECK(contains(nothing.err, "no tensor has the name and shape"));
}

TEST_CASE("phases that cannot be are refused with what to do") {
  const Files files;
  for (const auto& [from, to, message] : std::vector<std::array<std::string, 3>>{
           {"[\"embed.*\"]", "[\"embedding.*\"]", "'embedding.*' matches no parameter"},
           {"[\"embed.*\"]", "[\"*\"]", "bad.toml:35:10: error: 'freeze' leaves no parameter to train"},
           {"{ more = 0.5 }", "{ moer = 0.5 }", "did you mean 'more'"},
           {"share     = 0.5", "share     = 1.5", "a phase needs either 'share'"}}) {
    files.folder.write("bad.toml", replaced(text_of(files.folder / "two.toml"), from, to));
    const Result bad = cpuflowc(words("train " + (files.folder / "bad.toml") + " --data " + (files.folder / "text.txt") + " --steps 4 --out " + (files.folder / "bad")));
    INFO(bad.err);
    CHECK(bad.status == 3);
    CHECK(contains(bad.err, message));
    std::filesystem::remove_all(files.folder / "bad");
  }
}
