#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

namespace fs = std::filesystem;

namespace {

/// The tensors of a run, by file.
std::map<std::string, std::string> tensors(const std::string& run) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(run)) {
    if (entry.path().extension() == ".safetensors") files[fs::relative(entry.path(), run).string()] = text_of(entry.path().string());
  }
  return files;
}

/// The objects of metrics.jsonl that tell of a step, by step; a step that was computed again after a resume stands last.
std::map<int, nlohmann::json> steps(const std::string& run) {
  std::map<int, nlohmann::json> out;
  std::istringstream lines(text_of(run + "/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    if (object.is_object() && object.contains("loss.total")) out[object["step"].get<int>()] = object;
  }
  return out;
}

void check_same_run(const std::string& a, const std::string& b) {
  const std::map<std::string, std::string> left = tensors(a), right = tensors(b);
  CHECK(!left.empty());
  CHECK((left == right));  // bit by bit
  const std::map<int, nlohmann::json> x = steps(a), y = steps(b);
  REQUIRE(x.size() == y.size());
  for (const auto& [step, object] : x) {
    INFO(step);
    for (const char* key : {"tokens", "lr", "loss.ce", "loss.total", "grad_norm"}) CHECK(object[key] == y.at(step)[key]);
  }
}

std::vector<std::string> train(const TemporaryFolder& folder, const std::string& run, const std::string& more) {
  return words("train " + folder / "tiny.toml" + " --data " + folder / "tiny.txt" + " --out " + folder / run + " " + more);
}

TemporaryFolder& prepared() {
  static TemporaryFolder folder;
  if (!fs::exists(folder / "tiny.toml")) {
    folder.write("tiny.toml", kTinyModel);
    folder.write("tiny.txt", tiny_text());
    const Result result = cpuflowc(train(folder, "whole", "--steps 20 --threads 1 --seed 5"));
    INFO(result.err);
    REQUIRE(result.status == 0);
  }
  return folder;
}

/// Starts a run, ends it by `number` once it has made some steps, and returns what the process left.
Result interrupted(const TemporaryFolder& folder, const std::string& run, int number, const std::string& more) {
  Process process(train(folder, run, more));
  for (int i = 0; i < 600 && process.running() && steps(folder / run).size() < 20; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  process.signal(number);
  return process.wait();
}

}  // namespace

TEST_CASE("what cannot be trained is told at once, and no run begins") {
  TemporaryFolder& folder = prepared();
  folder.write("few.txt", "Too few words.");
  const Result few = cpuflowc(words("train " + folder / "tiny.toml" + " --data " + folder / "few.txt" + " --out " + folder / "refused" + " --steps 2"));
  CHECK(few.status != 0);
  CHECK(contains(few.err, "token ids, and one window of T ="));
  CHECK(!fs::exists(folder / "refused"));
  folder.write("file", "");
  const Result below_file = cpuflowc(words("train " + folder / "tiny.toml" + " --data " + folder / "tiny.txt" + " --steps 2 --out " + folder / "file/run"));
  CHECK(below_file.status == 4);
  CHECK_FALSE(contains(below_file.err, "tokenizer: training"));
  const Result nowhere = cpuflowc({"train", folder / "tiny.toml", "--data", folder / "tiny.txt", "--steps", "2", "--out", ""});
  CHECK(nowhere.status == 2);
  CHECK(contains(nowhere.err, "--out: expected the folder of the run"));
  const Result warm = cpuflowc(train(folder, "warm", "--steps 10 --set train.warmup_steps=40"));
  CHECK(warm.status == 0);
  CHECK(contains(warm.err, "note: the learning rate rises over 40 steps (warmup_steps), and 10 are trained"));
}

TEST_CASE("a model trains on text, says what it does, and leaves a run that samples and evaluates") {
  TemporaryFolder& folder = prepared();
  const std::map<int, nlohmann::json> record = steps(folder / "whole");
  REQUIRE(record.size() == 20);
  CHECK(record.rbegin()->second["loss.ce"].get<double>() < record.begin()->second["loss.ce"].get<double>() - 0.1);
  for (const char* key : {"step", "tokens", "elapsed_s", "lr", "loss.ce", "loss.total", "grad_norm", "tok_s"})
    CHECK(record.begin()->second.contains(key));
  CHECK(contains(text_of(folder / "whole/metrics.jsonl"), "val.ppl"));
  CHECK(contains(text_of(folder / "whole/metrics.jsonl"), "val.bits_per_byte"));

  const Result again = cpuflowc(train(folder, "again", "--steps 20 --threads 2 --seed 5"));
  INFO(again.err);
  REQUIRE(again.status == 0);
  CHECK(contains(again.err, "held out"));
  CHECK(contains(again.err, "memory"));
  check_same_run(folder / "whole", folder / "again");

  const Result other = cpuflowc(train(folder, "other", "--steps 20 --threads 2 --seed 6"));
  REQUIRE(other.status == 0);
  CHECK((tensors(folder / "other") != tensors(folder / "whole")));
}

TEST_CASE("a run that exists is not overwritten") {
  TemporaryFolder& folder = prepared();
  const auto before = tensors(folder / "whole");
  const Result result = cpuflowc(train(folder, "whole", "--steps 20"));
  INFO(result.err);
  CHECK(result.status == 4);
  CHECK(contains(result.err, "--resume"));
  CHECK((tensors(folder / "whole") == before));
}

TEST_CASE("a run that was ended by a signal resumes as if nothing had happened") {
  TemporaryFolder& folder = prepared();
  const std::string settings = "--steps 3000 --seed 5";
  const Result whole = cpuflowc(train(folder, "long", settings + " --threads 2"));
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  for (const auto& [number, status] : {std::pair{SIGTERM, 143}, {SIGINT, 130}, {SIGHUP, 129}, {SIGKILL, 137}}) {
    const std::string run = "ended-" + std::to_string(number);
    const Result first = interrupted(folder, run, number, settings + " --threads 1");
    INFO(first.err);
    REQUIRE(first.status == status);
    const Result second = cpuflowc(train(folder, run, settings + " --threads 2" + (fs::exists(folder / run) ? " --resume" : "")));
    INFO(second.err);
    CHECK(second.status == 0);
    check_same_run(folder / "long", folder / run);
  }
}

TEST_CASE("a run goes on with its own equations only") {
  TemporaryFolder& folder = prepared();
  REQUIRE(cpuflowc(train(folder, "own", "--steps 3 --threads 1")).status == 0);
  auto resumed = [&](const std::string& text) {
    folder.write("edited.toml", text);
    return cpuflowc(words("train " + folder / "edited.toml" + " --data " + folder / "tiny.txt" + " --out " + folder / "own" + " --steps 5 --threads 1 --resume"));
  };
  const std::map<std::string, std::string> before = tensors(folder / "own");
  const Result other = resumed(replaced(kTinyModel, "tanh(cumsum(x)", "sigmoid(cumsum(x)"));
  INFO(other.err);
  CHECK(other.status == 4);
  for (const std::string& part : {folder / "edited.toml" + ":16:", folder / "own/model.toml" + ":16:", folder / "own/checkpoint/model.safetensors"}) CHECK(contains(other.err, part));
  CHECK((tensors(folder / "own") == before));
  const Result fewer = resumed(replaced(kTinyModel, " / (t + 1)", ""));
  CHECK(fewer.status == 4);
  CHECK(contains(fewer.err, "its equations are not those of"));
  const Result sizes = resumed(replaced(kTinyModel, "T = 16", "T = 8"));
  CHECK(sizes.status == 4);
  CHECK(contains(sizes.err, "sizes.T was 16, now 8"));
  const Result same = resumed(replaced(replaced(kTinyModel, "x = embed[tokens]", "# what follows is as it was\nx = embed[ tokens ]"), "lr = 1e-2", "lr = 2e-2"));
  INFO(same.err);
  CHECK(same.status == 0);
  CHECK(contains(same.err, "changed on resuming: train.lr was 0.01, now 0.02"));
}

TEST_CASE("settings that a run began with hold when it goes on, and equations stay what they were") {
  TemporaryFolder& folder = prepared();
  folder.write("kept.toml", replaced(replaced(kTinyModel, "[params]", "[constants]\npart = 0.5\n[params]"), "cumsum(x)", "part * cumsum(x)"));
  auto kept = [&](const std::string& run, const std::string& more) {
    const Result result = cpuflowc(words("train " + folder / "kept.toml" + " --data " + folder / "tiny.txt" + " --out " + folder / run + " --threads 1 " + more));
    INFO(result.err);
    return result;
  };
  CHECK(kept("cut", "--steps 3 --set part=0.25 --set train.lr=3e-2").status == 0);
  const Result resumed = kept("cut", "--steps 6 --resume");
  CHECK(resumed.status == 0);
  CHECK(!contains(resumed.err, "changed on resuming: train."));
  const Result other = kept("cut", "--steps 9 --set part=0.75 --resume");
  CHECK(other.status == 4);
  CHECK(contains(other.err, "--set part=0.75; the run began with 0.25"));
  const Result range = cpuflowc(words("train " + folder.write("kept.toml", replaced(text_of(folder / "kept.toml"), "\"linear(d, d)\"", "{ kind = \"linear(d, d)\", trainable = false }")) + " --data " +
                                      folder / "tiny.txt" + " --out " + folder / "cut" + " --steps 9 --resume"));
  CHECK(range.status == 4);
  CHECK(contains(range.err, "the parameter mix.weight has another 'trainable'"));
}

TEST_CASE("a run's own files are those that its weights were trained with") {
  TemporaryFolder& folder = prepared();
  for (const char* name : {"model.toml", "run.json", "tokenizer.json"}) {
    fs::remove_all(folder / "edited");
    fs::copy(folder / "whole", folder / "edited", fs::copy_options::recursive);
    const std::string path = folder / "edited/" + std::string(name), copy = folder / "edited/checkpoint/" + std::string(name);
    folder.write("edited/" + std::string(name), text_of(path) + " ");
    for (const char* what : {"is not what the weights were trained with", "is not there any more"}) {
      for (const std::vector<std::string>& command : {std::vector<std::string>{"sample", folder / "edited", "Once"}, train(folder, "edited", "--steps 30 --resume")}) {
        const Result result = cpuflowc(command);
        INFO(result.err);
        CHECK(result.status == 4);
        CHECK(contains(result.err, path + ": this file " + what + "; " + copy + " is a copy"));
      }
      fs::remove(path);
    }
  }
}

TEST_CASE("one Ctrl-C that comes twice saves; a reader of the progress that goes away ends nothing") {
  TemporaryFolder& folder = prepared();
  Process twice(train(folder, "twice", "--steps 100000000 --threads 1"));
  for (int i = 0; i < 1500 && twice.running() && steps(folder / "twice").size() < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  twice.signal(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  twice.signal(SIGINT);
  const Result ended = twice.wait();
  CHECK(ended.status == 130);
  CHECK(contains(ended.err, "and saved"));
  const std::string command = "'" CPUFLOW_BINARY_DIR "/cpuflowc' train '" + folder / "tiny.toml" + "' --data '" + folder / "tiny.txt" + "' --steps 5 --out '" + folder / "unheard";
  CHECK(std::system((command + "' >/dev/null 2>/dev/full").c_str()) == 0);
  CHECK(std::system((command + "-2' >/dev/null 2>&-").c_str()) == 0);
  CHECK(steps(folder / "unheard").size() == 5);
}

TEST_CASE("one process at a time trains in a folder, and others may read it") {
  TemporaryFolder& folder = prepared();
  Process first(train(folder, "busy", "--steps 100000000 --threads 1"));
  for (int i = 0; i < 1500 && first.running() && steps(folder / "busy").size() < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  REQUIRE(first.running());
  for (const char* more : {"--steps 1 --resume", "--steps 1"}) {
    INFO(more);
    const Result second = cpuflowc(train(folder, "busy", more));
    INFO(second.err);
    CHECK(second.status == 4);
    CHECK(contains(second.err, folder / "busy" + ": another process trains there"));
  }
  CHECK(cpuflowc({"eval", folder / "busy", "--data", folder / "tiny.txt"}).status == 0);
  REQUIRE(first.running());
  first.signal(SIGKILL);
  CHECK(first.wait().status == 137);
  CHECK(cpuflowc(train(folder, "busy", "--steps 1 --resume")).status == 0);
}

TEST_CASE("a run in bf16 has the same bits on every number of threads, and stays in bf16") {
  TemporaryFolder& folder = prepared();
  for (const char* threads : {"1", "2", "4"}) {
    const Result result = cpuflowc(train(folder, std::string("bf16-") + threads, std::string("--steps 20 --seed 5 --precision bf16 --threads ") + threads));
    INFO(result.err);
    REQUIRE(result.status == 0);
    CHECK(contains(result.err, "bf16"));
    check_same_run(folder / "bf16-1", folder / (std::string("bf16-") + threads));
  }
  CHECK((tensors(folder / "bf16-1") != tensors(folder / "whole")));
  CHECK(contains(text_of(folder / "bf16-1/run.json"), "\"train.precision\": \"bf16\""));
  const Result resumed = cpuflowc(train(folder, "bf16-1", "--steps 20 --seed 5 --precision fp32 --resume"));
  CHECK(resumed.status == 0);
  CHECK(contains(resumed.err, "the run goes on with precision = bf16, as it began"));
}

TEST_CASE("the trigram model's figure is in the report of programs too") {
  const Result result = cpuflowc(train(prepared(), "trigram", "--steps 2 --trigram --json"));
  INFO(result.err);
  REQUIRE(result.status == 0);
  const nlohmann::json report = nlohmann::json::parse(result.out);
  CHECK(report["val.trigram"].get<double>() > 0);
  CHECK(report["val.trigram"].get<double>() < report["val.ce"].get<double>());  // after two steps
}

TEST_CASE("weights that are no numbers do not take the place of those that are") {
  TemporaryFolder& folder = prepared();
  const Result result = cpuflowc(train(folder, "spoiled", "--steps 3 --set train.lr=1e39 train.min_lr=1e39 train.warmup_steps=0"));
  INFO(result.err);
  CHECK(result.status == 6);
  CHECK(contains(result.err, "the checkpoint of step 0 stays"));
  CHECK(cpuflowc({"eval", folder / "spoiled", "--data", folder / "tiny.txt"}).status == 0);
  CHECK(contains(cpuflowc(train(folder, "no-eps", "--steps 3 --set train.eps=0")).err, "'eps' must be a number of at least 1.17549e-38"));
}

TEST_CASE("threads share the layers of what is computed once a step, and the bits stay") {
  TemporaryFolder& folder = prepared();
  const std::string model = "v5ln --set L=5 d=32 k=16 ff=32 T=64 V=300 train.batch=8";
  const Result code = cpuflowc(words("compile " + model + " --emit cpp"));
  CHECK(contains(code.out, "each_layer(5, "));
  CHECK(contains(code.out.substr(code.out.find("void finish_")), "each_layer(5, "));
  for (const char* threads : {"1", "2", "3", "4"}) {
    const std::string run = std::string("layers-") + threads;
    const Result result = cpuflowc(words("train " + model + " --data " + folder / "tiny.txt" + " --out " + folder / run + " --steps 10 --threads " + threads));
    INFO(result.err);
    REQUIRE(result.status == 0);
    check_same_run(folder / "layers-1", folder / run);
  }
}

TEST_CASE("more copies of the gradient keep more threads busy, and a run has as many as it began with") {
  TemporaryFolder& folder = prepared();
  const std::string settings = "--steps 10 --seed 5 --set train.batch=12 train.lanes=7";
  for (const char* threads : {"1", "2", "3", "7", "16"}) {
    const std::string run = std::string("lanes-") + threads;
    const Result result = cpuflowc(train(folder, run, settings + " --threads " + threads));
    INFO(result.err);
    REQUIRE(result.status == 0);
    check_same_run(folder / "lanes-1", folder / run);
  }
  REQUIRE(cpuflowc(train(folder, "lanes-own", "--steps 10 --seed 5 --set train.batch=12")).status == 0);
  CHECK((tensors(folder / "lanes-own") != tensors(folder / "lanes-1")));  // another order of adding
  CHECK(contains(text_of(folder / "lanes-own/run.json"), "\"train.lanes\": \""));
  const Result other = cpuflowc(train(folder, "lanes-16", "--steps 10 --seed 5 --set train.lanes=2 --resume"));
  INFO(other.err);
  CHECK(other.status == 0);
  CHECK(contains(other.err, "the run goes on with lanes = 7, as it began"));
  const Result many = cpuflowc(train(folder, "lanes-many", "--steps 1 --set train.batch=12 train.lanes=16"));
  CHECK(many.status == 3);
  CHECK(contains(many.err, "'lanes' is 16, and a step has 12 sequences"));
}

TEST_CASE("what --tune finds is recorded, kept for the next run, and stays while the run goes on") {
  TemporaryFolder& folder = prepared();
  const std::map<std::string, std::string> cache = {{"XDG_CACHE_HOME", folder / "cache"}};  // that nothing was measured before
  for (const std::string run : {"tuned", "tuned-again"}) {
    const Result result = cpuflowc(train(folder, run, "--steps 3 --threads 2 --tune 60s"), cache);
    INFO(result.err);
    REQUIRE(result.status == 0);
    CHECK(contains(result.err, "schedule: "));
    CHECK(contains(result.err, "measured earlier") == (run == "tuned-again"));
    CHECK(contains(text_of(folder / (run + "/run.json")), "\"train.tile_rows\": \""));
  }
  CHECK((tensors(folder / "tuned") == tensors(folder / "tuned-again")));
  const Result longer = cpuflowc(train(folder, "tuned-longer", "--steps 3 --set T=40 --tune 2s"), cache);
  CHECK(contains(longer.err, "faster"));  // tiles of 32 rows are other code
  const Result resumed = cpuflowc(train(folder, "tuned", "--steps 3 --set train.tile_rows=7 --tune 1s --resume"), cache);
  CHECK(resumed.status == 0);
  CHECK(contains(resumed.err, "the run goes on with tile_rows = "));
  CHECK(!contains(resumed.err, "schedule: "));
}

TEST_CASE("precision auto is measured once, and the run keeps what was found") {
  TemporaryFolder& folder = prepared();
  const Result result = cpuflowc(train(folder, "auto", "--steps 3 --precision auto"));
  INFO(result.err);
  REQUIRE(result.status == 0);
  CHECK(contains(result.err, "precision: "));
  CHECK(contains(text_of(folder / "auto/run.json"), contains(result.err, "precision: bf16") ? "\"bf16\"" : "\"fp32\""));
  const Result resumed = cpuflowc(train(folder, "auto", "--steps 3 --precision auto --resume"));
  CHECK(resumed.status == 0);
  CHECK(!contains(resumed.err, "measured"));
}

TEST_CASE("a damaged checkpoint is refused") {
  TemporaryFolder& folder = prepared();
  const std::string copy = folder / "damaged";
  fs::copy(folder / "whole", copy, fs::copy_options::recursive);
  for (const auto& [name, bytes] : tensors(copy)) {
    std::string changed = bytes;
    changed[changed.size() - 5] = static_cast<char>(changed[changed.size() - 5] ^ 0x40);
    folder.write("damaged/" + name, changed);
  }
  const Result result = cpuflowc({"sample", copy, "Once", "--tokens", "3"});
  CHECK(result.status == 4);
  CHECK(contains(result.err, "damaged/"));
  for (const auto& [name, bytes] : tensors(copy)) folder.write("damaged/" + name, bytes.substr(0, bytes.size() / 2));
  CHECK(cpuflowc({"sample", copy, "Once", "--tokens", "3"}).status == 4);
  fs::remove_all(copy);
  CHECK(cpuflowc({"sample", copy, "Once"}).status == 4);
}

TEST_CASE("a damaged run.json is named with what is wrong in it") {
  TemporaryFolder& folder = prepared();
  fs::copy(folder / "whole", folder / "unreadable", fs::copy_options::recursive);
  const std::string path = folder / "unreadable/run.json", good = text_of(path), checkpoint = folder / "unreadable/checkpoint";
  fs::rename(checkpoint, folder / "taken_away");  // with it, its copy of run.json is compared
  const std::vector<std::pair<std::string, std::string>> faults{
      {"", "not valid JSON at byte 1"},
      {"{", "not valid JSON at byte 2"},
      {"[]", "there is no \"settings\" in it"},
      {replaced(good, "has_tokenizer", "tokenizer"), "there is no \"has_tokenizer\" in it"},
      {replaced(good, "\"allow_special\": false", "\"allow_special\": 3"), "\"allow_special\": expected true or false, found 3"},
      {R"({"settings": {"V": 5}})", R"("settings": expected an object of texts, found {"V":5})"},
  };
  for (const auto& [text, message] : faults) {
    folder.write("unreadable/run.json", text);
    const std::vector<std::vector<std::string>> commands{
        {"sample", folder / "unreadable", "Once"}, {"eval", folder / "unreadable", "--data", folder / "tiny.txt"}};
    for (const std::vector<std::string>& command : commands) {
      const Result result = cpuflowc(command);
      INFO(result.err);
      CHECK(result.status == 4);
      CHECK(contains(result.err, path + ": damaged: " + message + "; restore it"));
      CHECK(!contains(result.err, "json.exception"));
    }
  }
  fs::rename(folder / "taken_away", checkpoint);
  fs::copy(checkpoint + "/run.json", path, fs::copy_options::overwrite_existing);
  CHECK(cpuflowc({"sample", folder / "unreadable", "Once", "--tokens", "2"}).status == 0);
}

TEST_CASE("sampling depends on the seed only") {
  TemporaryFolder& folder = prepared();
  const std::vector<std::string> base{
      "sample", folder / "whole", "Once there was", "--tokens", "12", "--temperature", "0.8", "--top-k", "40", "--top-p", "0.95"};
  const Result first = cpuflowc(base + words("--seed 3"));
  INFO(first.err);
  REQUIRE(first.status == 0);
  CHECK(contains(first.out, "Once there was"));
  CHECK(cpuflowc(base + words("--seed 3")).out == first.out);
  CHECK(cpuflowc(base + words("--seed 4")).out != first.out);
  const nlohmann::json json = nlohmann::json::parse(cpuflowc(base + words("--seed 3 --json")).out);
  CHECK(first.out == json["text"].get<std::string>() + "\n");
  // The most probable token each time: no seed matters.
  const std::vector<std::string> greedy{"sample", folder / "whole", "Once there was", "--tokens", "8", "--temperature", "0"};
  CHECK(cpuflowc(greedy + words("--seed 1")).out == cpuflowc(greedy + words("--seed 2")).out);
}

TEST_CASE("eval gives the validation figures of the training") {
  TemporaryFolder& folder = prepared();
  folder.write("valid.txt", tiny_text(25));
  const Result result = cpuflowc({"eval", folder / "whole", "--data", folder / "valid.txt", "--json"});
  INFO(result.err);
  REQUIRE(result.status == 0);
  const nlohmann::json report = nlohmann::json::parse(result.out);
  CHECK(report["ppl"].get<double>() > 1);
  CHECK(report["bits_per_byte"].get<double>() > 0);
  CHECK(report["losses"].contains("ce"));
  CHECK(contains(cpuflowc({"eval", folder / "whole", "--data", folder / "valid.txt"}).out, "perplexity"));
  // with other code, and other operands of products, than those of the training
  const double ppl = report["ppl"].get<double>();
  for (const char* code : {"--target portable", "--precision bf16"}) {
    INFO(code);
    const Result other = cpuflowc(std::vector<std::string>{"eval", folder / "whole", "--data", folder / "valid.txt", "--json"} + words(code));
    REQUIRE(other.status == 0);
    CHECK(nlohmann::json::parse(other.out)["ppl"].get<double>() == Approx(ppl).epsilon(0.02));
  }
  const Result unknown = cpuflowc({"eval", folder / "whole", "--data", folder / "valid.txt", "--target", "avx5"});
  CHECK(unknown.status == 2);
  CHECK(contains(unknown.err, "--target: unknown target 'avx5'; did you mean 'avx2'?"));
}

TEST_CASE("a tokenizer with other ids than the run's is used with a warning") {
  TemporaryFolder& folder = prepared();
  const std::string own = folder / "whole/tokenizer.json", small = CPUFLOW_SOURCE_DIR "/tests/data/tokenizer_small.json", text = folder / "tiny.txt";
  const std::string copy = folder.write("copy.json", text_of(own));
  const std::string warning = "warning: " + small + ": this is not the run's own tokenizer (" + own + "): ";
  for (const std::vector<std::string>& command : {std::vector<std::string>{"eval", folder / "whole", "--data", text}, {"sample", folder / "whole", "Once", "--tokens", "2"}}) {
    const Result other = cpuflowc(command + std::vector<std::string>{"--tokenizer", small}), same = cpuflowc(command + std::vector<std::string>{"--tokenizer", copy});
    INFO(other.err + same.err);
    CHECK(contains(other.err, warning));
    CHECK(same.status == 0);
    CHECK(!contains(same.err, "the run's own tokenizer"));
  }
}

TEST_CASE("a diverging run stops before it spoils the weights") {
  TemporaryFolder& folder = prepared();
  const Result result = cpuflowc(train(folder, "diverged", "--steps 200 --set train.lr=1e30 train.clip=0"));
  INFO(result.err);
  CHECK(result.status == 6);
  for (const auto& [name, bytes] : tensors(folder / "diverged")) CHECK(!contains(bytes, "nan"));
}

TEST_CASE("a budget in time ends in time with the smallest learning rate") {
  TemporaryFolder& folder = prepared();
  const Result result = cpuflowc(train(folder, "timed", "--budget 2s --set train.min_lr=1e-4"));
  INFO(result.err);
  REQUIRE(result.status == 0);
  const std::map<int, nlohmann::json> record = steps(folder / "timed");
  REQUIRE(record.size() > 5);
  CHECK(record.rbegin()->second["lr"].get<double>() < 5e-4);
  const Result shorter = cpuflowc(train(folder, "timed", "--budget 1s --set train.min_lr=1e-4 --resume"));
  INFO(shorter.err);
  CHECK(shorter.status == 0);
  CHECK(contains(shorter.err, "the budget of 1s is used up: the run has trained for 2s already; a longer --budget continues it"));
  CHECK(!contains(shorter.err, "steps already"));
}

TEST_CASE("a command that is to be copied has its paths in quotes where they need them") {
  TemporaryFolder& folder = prepared();
  for (const auto& [run, word] : {std::pair{folder / "plain", folder / "plain"}, {folder / "my 'own' run", "'" + folder / "my '\\''own'\\'' run'"}}) {
    const Result result = cpuflowc({"train", folder / "tiny.toml", "--data", folder / "tiny.txt", "--out", run, "--steps", "1", "--threads", "1"});
    INFO(result.err + result.out);
    CHECK(result.status == 0);
    CHECK(contains(result.out, "cpuflowc sample " + word + " \"Once upon a time\""));
  }
}

TEST_CASE("files of ids and a given tokenizer train the same model as the text") {
  TemporaryFolder& folder = prepared();
  std::string tokenizer;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "whole")) {
    if (entry.path().filename() == "tokenizer.json") tokenizer = entry.path().string();
  }
  REQUIRE(!tokenizer.empty());
  const Result tokenized = cpuflowc({"tokenize", "--tokenizer", tokenizer, folder / "tiny.txt", folder / "tiny.bin", "--json"});
  INFO(tokenized.err);
  REQUIRE(tokenized.status == 0);
  const nlohmann::json counts = nlohmann::json::parse(tokenized.out);
  CHECK(counts["documents"] == 60);
  CHECK(tokenized.err.find("NUL") == std::string::npos);
  CHECK(fs::file_size(folder / "tiny.bin") == 2 * counts["ids"].get<uint64_t>());
  const std::string common =
      " --valid " + folder / "tiny.txt" + " --tokenizer " + tokenizer + " --steps 5 --seed 9 --order sequential --out ";
  const Result text = cpuflowc(words("train " + folder / "tiny.toml" + " --data " + folder / "tiny.txt" + common + folder / "from-text"));
  const Result ids = cpuflowc(words("train " + folder / "tiny.toml" + " --ids " + folder / "tiny.bin" + common + folder / "from-ids"));
  INFO(text.err);
  INFO(ids.err);
  REQUIRE(text.status == 0);
  REQUIRE(ids.status == 0);
  check_same_run(folder / "from-text", folder / "from-ids");
}

TEST_CASE("a file without text is refused for what it was to be used for") {
  TemporaryFolder& folder = prepared();
  const std::string empty = folder.write("empty.txt", " \n<|endoftext|>\n");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"eval", folder / "whole", "--data", empty}, "no text to evaluate on: 16 bytes"},
      {train(folder, "no-valid", "--steps 1 --valid " + empty), "no text to evaluate on: 16 bytes"},
      {{"tokenize", "--tokenizer", folder / "whole/tokenizer.json", empty, folder / "empty.bin"}, "no text to tokenize: 16 bytes"},
      {{"train", folder / "tiny.toml", "--data", empty, "--out", folder / "no-data", "--steps", "1"}, "no text to train on: 16 bytes"},
  };
  for (const auto& [arguments, message] : cases) {
    const Result result = cpuflowc(arguments);
    INFO(result.err);
    CHECK(result.status == 4);
    CHECK(contains(result.err, empty + ": " + message));
  }
}

TEST_CASE("what is hardly text is used with a warning") {
  TemporaryFolder& folder = prepared();
  folder.write("wide.txt", std::string("O\0n\0c\0e\0", 8));
  const Result result = cpuflowc({"tokenize", "--tokenizer", folder / "whole/tokenizer.json", folder / "wide.txt", folder / "wide.bin"});
  INFO(result.err);
  CHECK(result.status == 0);
  CHECK(result.err.find("wide.txt: byte 1 is NUL") != std::string::npos);
  CHECK(!contains(result.err, "UTF-8"));
  const std::string latin = folder.write("latin.txt", "\xef\xbb\xbfOne caf\xe9 and another caf\xe9"), good = folder.write("good.txt", "One caf\xc3\xa9");
  const Result warned = cpuflowc({"train", folder / "tiny.toml", "--data", folder / "tiny.txt", latin, "--out", folder / "latin", "--steps", "1"});
  INFO(warned.err);
  CHECK(warned.status == 0);
  const std::string warning = "latin.txt: byte 10 (0xe9) is not UTF-8";
  CHECK(contains(warned.err, warning));
  CHECK(!contains(replaced(warned.err, warning, ""), "is not UTF-8"));  // once
  CHECK(!contains(cpuflowc({"tokenize", "--tokenizer", folder / "whole/tokenizer.json", good, folder / "good.bin"}).err, "UTF-8"));
}

TEST_CASE("bench measures fused beside unfused code") {
  TemporaryFolder& folder = prepared();
  const Result result = cpuflowc({"bench", folder / "tiny.toml", "--repetitions", "1", "--threads", "1", "--json", "--html", folder / "speed.html"});
  INFO(result.err);
  REQUIRE(result.status == 0);
  const nlohmann::json report = nlohmann::json::parse(result.out);
  for (const char* side : {"fused", "unfused"}) {
    for (const char* work : {"forward", "forward_backward", "step", "decode", "decode_16"}) CHECK(report[side][work]["tokens_per_s"].get<double>() > 0);
    CHECK(!report[side]["regions"].empty());
  }
  CHECK(report["peak"]["flops_per_s"].get<double>() > 0);
  const nlohmann::json& weights = report["weights"];
  CHECK(weights["read_bytes_per_s"].get<double>() > 0);
  CHECK(weights["bytes_per_token"].get<double>() > 0);
  CHECK(weights["decode_limit_tokens_per_s"].get<double>() * weights["bytes_per_token"].get<double>() == Approx(weights["read_bytes_per_s"].get<double>()));
  CHECK(weights["decode_fraction"].get<double>() * weights["decode_limit_tokens_per_s"].get<double>() == Approx(report["fused"]["decode"]["tokens_per_s"].get<double>()));
  double shares = 0, unfused_us = 0, unfused_us_of_fused = 0;
  for (const auto& region : report["fused"]["regions"]) {
    shares += region["share"].get<double>();
    unfused_us_of_fused += region["unfused_us_per_token"].get<double>();
    CHECK(region["name"] != "what fused code does not compute");
  }
  CHECK(std::abs(shares - 1) < 1e-6);
  // what unfused code takes is all told beside the fused regions
  for (const auto& region : report["unfused"]["regions"]) unfused_us += region["us_per_token"].get<double>();
  CHECK(std::abs(unfused_us - unfused_us_of_fused) < 1e-6 * unfused_us);
  const std::string page = text_of(folder / "speed.html");
  CHECK(page.starts_with("<!DOCTYPE html>"));
  for (const auto& region : report["fused"]["regions"]) {
    if (region["share"].get<double>() >= 0.002) CHECK(contains(page, region["name"].get<std::string>()));
  }
  CHECK(!contains(page, "http"));  // it needs no other file
}

TEST_CASE("what is not finite is named where it begins, in the layer and at the position that come first") {
  const TemporaryFolder folder;
  const std::string head = "name = \"m\"\n[dims]\nT = 8\nB = 2\nV = 11\nd = 4\nL = 3\n[constants]\nk = nan\n[params]\nembed = \"table(V, d)\"\n[block]\nrepeat = \"L\"\nforward = '''\n";
  const std::string rest = "\n'''\n[block.params]\nnorm = \"rmsnorm(d)\"\nW = \"linear(d, d)\"\n[model]\nforward = '''\nx = blocks(embed[tokens])\nlogits = x @ transpose(embed)\n'''\n"
                           "[loss]\ntotal = 'cross_entropy(logits, targets)'\n[train]\nbatch = 2\n";
  const std::string ids = folder.write("ids.bin", std::string(400, '\1'));
  auto blame = [&](const std::string& block) {
    const std::string model = folder.write("m.toml", head + block + rest);
    const Result result = cpuflowc({"train", model, "--ids", ids, "--out", folder / ("run" + std::to_string(block.size())), "--steps", "1", "--set", "V=300"});
    CHECK(result.status == 6);
    return result.err;
  };
  CHECK(contains(blame("n = norm(x)\nx = x + log(0 * W(n))"), "log in layer 0 (" + folder / "m.toml" + ":16:"));
  CHECK(contains(blame("n = norm(x)\nh[t,i] = log(0 * n[t,i] * h[t-1,i])\nx = x + h"), "log of 'h' in layer 0"));  // and later a product of it
  CHECK(contains(blame("x = x + k * W(norm(x)) + 0 * x"), "constant"));
}
