// What `sample` can be asked for beyond a prompt and a temperature.
#include <nlohmann/json.hpp>
#include <set>

#include "tests/catch.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

namespace {

/// A run of the tiny model with 16 positions, of which nothing depends on where a sequence ends.
TemporaryFolder& trained() {
  static TemporaryFolder folder;
  static bool done = false;
  if (!done) {
    folder.write("tiny.toml", kTinyModel);
    folder.write("rows.toml", replaced(replaced(kTinyModel, "mix   = \"linear(d, d)\"", "mix   = \"linear(d, d)\"\nplace = \"table(T, d)\""), "x = embed[tokens]", "x = embed[tokens] + place[t]"));
    folder.write("tiny.txt", tiny_text());
    for (const char* name : {"tiny", "rows"}) {
      const Result run = cpuflowc(words("train " + folder / (std::string(name) + ".toml") + " --data " + folder / "tiny.txt" + " --out " + folder / name + " --steps 60"));
      INFO(run.err);
      REQUIRE(run.status == 0);
    }
    done = true;
  }
  return folder;
}

nlohmann::json sampled(const std::string& run, const std::vector<std::string>& more) {
  const Result result = cpuflowc(std::vector<std::string>{"sample", trained() / run, "Once there was", "--json"} + more);
  INFO(result.err);
  REQUIRE(result.status == 0);
  return nlohmann::json::parse(result.out);
}

}  // namespace

TEST_CASE("several texts have the seeds that follow each other") {
  const nlohmann::json many = sampled("tiny", words("--samples 3 --seed 5 --tokens 6")), one = sampled("tiny", words("--seed 6 --tokens 6"));
  REQUIRE(many.size() == 3);
  CHECK(many[1]["seed"] == 6);
  CHECK(many[1]["ids"] == one["ids"]);
  CHECK(many[0]["ids"] != many[2]["ids"]);
}

TEST_CASE("ids that stand for no text are not chosen") {
  TemporaryFolder& folder = trained();
  const Result run = cpuflowc(words("train " + folder / "tiny.toml" + " --data " + folder / "tiny.txt" + " --out " + folder / "padded" + " --steps 1 --set V=900"));
  REQUIRE(run.status == 0);
  CHECK(contains(run.err, "the others stand for no text and are never sampled"));
  for (const char* more : {"--tokens 12 --temperature 5", "--tokens 12 --samples 3"}) CHECK_FALSE(sampled("padded", words(more)).empty());
}

TEST_CASE("a model whose equations change with T is not continued beyond where they do") {
  TemporaryFolder& folder = trained();
  folder.write("window.toml", replaced(replaced(kTinyModel, "d = 16\n", "d = 16\nw = \"max(4, T // 8)\"\n"), "x = embed[tokens]\n",
                                       "x = embed[tokens]\ny[t,i] = x[t,i] + sum(s | s <= t, s > t - w: x[s,i])\nx = y\n"));
  const Result run = cpuflowc(words("train " + folder / "window.toml" + " --data " + folder / "tiny.txt" + " --out " + folder / "window" + " --steps 10"));
  INFO(run.err);
  REQUIRE(run.status == 0);
  const Result text = cpuflowc({"sample", folder / "window", "Once there was", "--tokens", "90", "--ignore-end"});
  INFO(text.err);
  CHECK(text.status == 0);
  CHECK(contains(text.err, "with T = 64 its equations are others"));
  CHECK(contains(text.err, "T = 32"));
}

TEST_CASE("texts depend neither on how many are made together nor on the number of threads") {
  // beyond the positions, where each goes on with a longer model, and with products that are large enough to be shared
  TemporaryFolder& folder = trained();
  const Result run = cpuflowc(words("train " + folder / "tiny.toml" + " --data " + folder / "tiny.txt" + " --out " + folder / "wide" + " --steps 40 --set d=192"));
  REQUIRE(run.status == 0);
  const nlohmann::json many = sampled("wide", words("--samples 5 --tokens 40 --threads 3 --ignore-end"));
  REQUIRE(many.size() == 5);
  for (size_t i = 0; i < many.size(); ++i) {
    for (const char* threads : {"1", "2"}) {
      const nlohmann::json one = sampled("wide", words("--tokens 40 --ignore-end --threads " + std::string(threads) + " --seed " + std::to_string(i + 1)));
      CHECK(many[i]["ids"] == one["ids"]);
      CHECK(many[i]["text"] == one["text"]);
      CHECK(many[i]["end"] == one["end"]);
    }
  }
  std::vector<nlohmann::json> ahead;  // every thread goes back to where the candidates begin
  for (const char* threads : {"1", "2", "4"}) ahead.push_back(sampled("wide", {"--tokens", "10", "--look-ahead", "4", "--head", "x[b,t,0]", "--beta", "1e6", "--ignore-end", "--threads", threads})["ids"]);
  CHECK(ahead[1] == ahead[0]);
  CHECK(ahead[2] == ahead[0]);
}

TEST_CASE("a text goes on beyond the positions that it was trained with, where the model has more") {
  const nlohmann::json far = sampled("tiny", words("--tokens 60 --ignore-end"));
  CHECK(far["ids"].size() == 60);
  CHECK(far["end"] == "--tokens");
  // the beginning is what it was
  const nlohmann::json near = sampled("tiny", words("--tokens 5 --ignore-end"));
  for (size_t i = 0; i < 5; ++i) CHECK(far["ids"][i] == near["ids"][i]);
  const Result rows = cpuflowc({"sample", trained() / "rows", "Once", "--tokens", "60", "--ignore-end"});
  CHECK(rows.status == 0);
  CHECK(contains(rows.err, "the text ends here: the model has positions for T = 16 tokens, and there are no more: place.weight has one row a position"));
}

TEST_CASE("a prompt that is too long is refused before anything is shown") {
  std::string prompt;
  for (int i = 0; i < 20; ++i) prompt += "quartz " + std::to_string(i) + " ";
  for (const char* more : {"--tokens 3", "--samples 2", "--json"}) {
    const Result result = cpuflowc(std::vector<std::string>{"sample", trained() / "rows", prompt} + words(more));
    INFO(result.err);
    CHECK(result.status == 4);
    CHECK(result.out.empty());
    CHECK(contains(result.err, "the model has positions for T = 16, and there are no more: place.weight has one row a position; give a shorter prompt"));
  }
  const Result more = cpuflowc({"sample", trained() / "tiny", prompt, "--tokens", "3", "--ignore-end"});
  CHECK(more.status == 0);  // no parameter of this one has a row a position
  CHECK(more.out.starts_with(prompt));
}

TEST_CASE("stop strings and blocked n-grams") {
  const nlohmann::json whole = sampled("tiny", words("--tokens 10 --temperature 0"));
  const std::string text = whole["text"];
  const std::string stop = text.substr(text.size() - 2);
  const nlohmann::json cut = sampled("tiny", {"--tokens", "10", "--temperature", "0", "--stop", stop});
  CHECK(cut["end"] == "--stop");
  CHECK(cut["text"].get<std::string>() == text.substr(0, text.find(stop, std::string("Once there was").size())));
  const nlohmann::json distinct = sampled("tiny", words("--tokens 12 --temperature 0 --no-repeat-ngram 2 --ignore-end"));
  std::set<std::pair<int, int>> pairs;
  const std::vector<int> ids = distinct["ids"];
  for (size_t i = 1; i < ids.size(); ++i) CHECK(pairs.insert({ids[i - 1], ids[i]}).second);
}

TEST_CASE("look-ahead takes the candidate after which the head is lowest") {
  // with a huge beta only the head decides: any other seed gives the same text
  const std::vector<std::string> ahead{"--look-ahead", "6", "--head", "x[b,t,0]", "--beta", "1e6", "--tokens", "6", "--temperature", "2"};
  const nlohmann::json a = sampled("tiny", ahead + words("--seed 1")), b = sampled("tiny", ahead + words("--seed 2"));
  CHECK(a["ids"] == b["ids"]);
  const nlohmann::json likely = sampled("tiny", {"--look-ahead", "6", "--head", "x[b,t,0]", "--beta", "0", "--tokens", "6"}), greedy = sampled("tiny", words("--temperature 0 --tokens 6"));
  CHECK(likely["ids"] == greedy["ids"]);
  CHECK(a["ids"] != greedy["ids"]);
  auto error = [&](const std::vector<std::string>& more) { return cpuflowc(std::vector<std::string>{"sample", trained() / "tiny", "Once"} + more).err; };
  CHECK(contains(error({"--look-ahead", "3"}), "also give --head EQUATION"));
  CHECK(contains(error({"--look-ahead", "3", "--head", "x[b,t,0]", "--samples", "2"}), "the same each time; leave out one of them"));
  CHECK(contains(error({"--head", "x[b,t,0]"}), "--head: goes with --look-ahead K"));
  CHECK(contains(error({"--look-ahead", "3", "--head", "y[b,t,0]"}), "--head:1:14: error: unknown name 'y'"));
  CHECK(contains(error({"--look-ahead", "3", "--head", "targets[b,t]"}), "depends on 'targets', the tokens that are to be chosen"));
  CHECK(contains(error({"--look-ahead", "3", "--head", "mean(s: x[b,s,0])"}), "it may read position t and earlier ones only"));
  CHECK(contains(error({"--look-ahead", "3", "--head", "where(t > 4, log(-1 + 0 * x[b,t,0]), x[b,t,0])"}), "is another number, or none"));
  CHECK(contains(error({"--stop", ""}), "--stop: an empty text ends nothing"));
}
