#include <sys/stat.h>

#include "tests/catch.h"
#include "tests/end_to_end/process.h"
#include "tests/end_to_end/tiny_model.h"

namespace {

/// Without dropout: faults are put into the plain equation.
const std::string kPlainModel = replaced(kTinyModel, "dropout(mix(tanh(cumsum(x) / (t + 1))), 0.1)", "mix(tanh(cumsum(x) / (t + 1)))");

struct Fault {
  std::string what, from, to;         // the change to the tiny model
  std::string place;                  // line:column
  std::vector<std::string> messages;  // parts of what is said
};

std::vector<std::string> train_arguments(const TemporaryFolder& folder, const std::string& model, const std::string& data) {
  return {"train", model, "--data", data, "--out", folder / "run", "--steps", "3", "--threads", "1"};
}

void expect_failure(const std::vector<std::string>& arguments, int status, const std::vector<std::string>& messages,
                    const Limits& limits = {}) {
  const Result result = cpuflowc(arguments, {}, limits);
  std::string line;
  for (const std::string& argument : arguments) line += argument + " ";
  INFO(line);
  INFO(result.err);
  CHECK(result.status == status);
  CHECK(result.out.empty());
  for (const std::string& message : messages) {
    INFO(message);
    CHECK(contains(result.err, message));
  }
}

}  // namespace

TEST_CASE("mistakes in a model file are shown with file, line and column") {
  const std::vector<Fault> faults{
      {"an unknown name", "mix(tanh", "mixx(tanh", "16:9", {"mixx", "did you mean 'mix'?"}},
      {"an unknown value", "cumsum(x)", "cumsum(y)", "16:25", {"'y'"}},
      {"shapes that do not fit", "linear(d, d)", "linear(d, 12)", "16:5", {"12", "16"}},
      {"a parameter of the wrong size", "x @ transpose(embed)", "concat(x, x) @ transpose(embed)", "17:10", {"32", "16"}},
      {"sizes that are defined by each other", "d = 16", "d = \"e\"\ne = \"d\"", "7:1", {"size 'd' is defined by itself"}},
      {"TOML that is none", "d = 16", "d = = 16", "7:5", {"error"}},
      {"a section that does not exist", "[train]", "[trains]", "24:2", {"trains", "did you mean 'train'?"}},
      {"a setting that does not exist", "warmup_steps", "warmup_step", "26:1", {"warmup_step", "did you mean 'warmup_steps'?"}},
      {"a recurrence that does not step back",
       "x = x + mix(tanh(cumsum(x) / (t + 1)))",
       "h[t,i] = h[t,i] + x[t,i]\nx = x + h",
       "16:",
       {"h"}},
      {"a reduction over two sizes",
       "x = x + mix(tanh(cumsum(x) / (t + 1)))",
       "y[t] = sum(i: x[t,i] * embed[i,0])\nx = x + y[t]",
       "16:",
       {"16", "300"}},
  };
  const TemporaryFolder folder;
  for (const Fault& fault : faults) {
    INFO(fault.what);
    const std::string model = folder.write("model.toml", replaced(kPlainModel, fault.from, fault.to));
    std::vector<std::string> messages = fault.messages;
    messages.push_back(model + ":" + fault.place);
    expect_failure({"compile", model, "--emit", "parsed"}, 3, messages);
  }
}

TEST_CASE("all mistakes of a stage are told at once") {
  const TemporaryFolder folder;
  const std::string model = folder.write("model.toml", replaced(replaced(kPlainModel, "mix(tanh", "mixx(tanh"), "logits = x", "logits = z"));
  expect_failure({"compile", model}, 3, {model + ":16:9", model + ":17:10"});
}

TEST_CASE("sizes and parameters that nothing reads, and blocks that nothing runs, are named once, where a model file is new") {
  const TemporaryFolder folder;
  const std::string model = folder.write("model.toml", replaced(kPlainModel, "[params]", "L = 3\n\n[block]\nforward = 'x = 2 * x'\n\n[params]\nspare = \"vector(d)\""));
  const Result compiled = cpuflowc({"compile", model});
  CHECK(compiled.status == 0);
  CHECK(contains(compiled.err, "warning: nothing reads 'L'; a block runs once unless it says repeat = \"L\""));
  CHECK(contains(compiled.err, ":1: warning: nothing reads 'spare'"));
  CHECK(contains(compiled.err, ": warning: nothing runs 'blocks', and its parameters are not there; an equation of the model does, as in x = blocks(x)"));
  CHECK(contains(cpuflowc({"audit", model}).err, "nothing runs 'blocks'"));
  CHECK_FALSE(contains(cpuflowc({"compile", folder.write("plain.toml", kPlainModel)}).err, "nothing "));
}

TEST_CASE("batches that do not divide are told before text is read") {
  const TemporaryFolder folder;
  const std::string model = folder.write("model.toml", kPlainModel);
  expect_failure({"train", model, "--set", "train.batch=7", "--set", "B=4", "--steps", "1", "--data", "missing.txt", "--out", folder / "run"}, 3, {"train.batch = 7 is not a multiple", "set train.batch=8"});
}

TEST_CASE("a model file in another encoding is told so") {
  const TemporaryFolder folder;
  expect_failure({"compile", folder.write("wide.toml", std::string("\xFF\xFEn\0a\0", 6))}, 3, {"wide.toml:1:1", "this file is UTF-16: save it as UTF-8"});
}

TEST_CASE("control characters of a file do not reach the terminal") {
  const TemporaryFolder folder;
  const Result result = cpuflowc({"audit", folder.write("escape.toml", "\x1b[31mred\n")});
  CHECK(result.status == 3);
  CHECK(contains(result.err, "?[31mred"));
  CHECK_FALSE(contains(result.err, "\x1b"));
}

TEST_CASE("settings and models that do not exist are named") {
  const TemporaryFolder folder;
  const std::string model = folder.write("model.toml", kPlainModel);
  expect_failure({"compile", model, "--set", "train.lrr=1"}, 3, {"lrr", "did you mean"});
  expect_failure({"compile", model, "--set", "T=0"}, 3, {"--set:1:1", "size 'T' is 0", "T=0"});
  expect_failure({"compile", model, "--set", "d=70000000000"}, 3, {"--set:1:1", "from 1 to 2147483647"});
  expect_failure({"compile", model, "--set", "dd=1"}, 3, {"--set:1:1", "dd", "did you mean 'd'?"});
  expect_failure({"compile", model, "--set", "d=-1"}, 3, {"d"});
  expect_failure({"sample", "run", "--temperature", "hot"}, 2, {"--temperature: expected a number from 0 on, found 'hot'"});
  expect_failure({"sample", "run", "--repetition-penalty", "0"}, 2, {"--repetition-penalty: expected a number above 0, found '0'"});
  expect_failure({"compile", "v5lm"}, 3, {"v5lm", "did you mean 'v5ln"});
  expect_failure({"compile", folder / "none.toml"}, 3, {folder / "none.toml"});
  expect_failure({"compile", folder / "."}, 3, {"is a folder; give the model file in it"});
  expect_failure({"compile", model, "--skip", "solve_scater"}, 3, {"solve_scater", "did you mean 'solve_scatters'?"});
}

TEST_CASE("the models that there are come from CPUFLOW_MODELS and the source, each named once") {
  const Result unknown = cpuflowc({"compile", "v5lm"}, {{"CPUFLOW_MODELS", CPUFLOW_SOURCE_DIR "/modeldefs"}});
  INFO(unknown.err);
  CHECK(unknown.status == 3);
  const size_t first = unknown.err.find(" gpt2,");
  CHECK(first != std::string::npos);
  CHECK(unknown.err.find(" gpt2,", first + 1) == std::string::npos);
  const Result nowhere = cpuflowc({"compile", "v5ln"}, {{"CPUFLOW_MODELS", "/no/such/folder"}});
  INFO(nowhere.err);
  CHECK(nowhere.status == 3);
  CHECK(contains(nowhere.err, "CPUFLOW_MODELS: there is no folder '/no/such/folder' to look for 'v5ln' in"));
  CHECK(cpuflowc({"compile", CPUFLOW_SOURCE_DIR "/modeldefs/v5ln.toml", "--emit", "parsed"}, {{"CPUFLOW_MODELS", "/no/such/folder"}}).status == 0);
}

TEST_CASE("data that cannot be used is refused with a reason") {
  const TemporaryFolder folder;
  const std::string model = folder.write("model.toml", kPlainModel);
  const std::string good = folder.write("good.txt", tiny_text());
  expect_failure(train_arguments(folder, model, folder / "none.txt"), 4, {folder / "none.txt"});
  expect_failure(train_arguments(folder, model, folder.write("empty.txt", "")), 4, {"empty.txt"});
  expect_failure(train_arguments(folder, model, folder.write("blank.txt", " \n<|endoftext|>\n \n")), 4, {"blank.txt"});
  expect_failure(train_arguments(folder, model, good) + words("--set T=100000"), 4, {"100000"});
  // Ids 1, 2, 3, 999: the last one is not below V.
  std::string ids;
  for (int i = 0; i < 100; ++i) ids += std::string("\x01\x00\x02\x00", 4);
  ids += std::string("\xe7\x03", 2);
  expect_failure({"train", model, "--ids", folder.write("ids.bin", ids), "--out", folder / "run", "--steps", "2"}, 4,
                 {"ids.bin", "999", "200"});
  expect_failure({"train", model, "--ids", folder.write("odd.bin", "abc"), "--out", folder / "run", "--steps", "2"}, 4, {"odd.bin"});
  // A vocabulary with more ids than the model has.
  const std::string tokenizer = CPUFLOW_SOURCE_DIR "/tests/data/tokenizer_small.json";
  expect_failure(train_arguments(folder, model, good) + std::vector<std::string>{"--tokenizer", tokenizer, "--set", "V=20"}, 4,
                 {"tokenizer_small.json", "20"});
  expect_failure(train_arguments(folder, model, good) + std::vector<std::string>{"--tokenizer", folder.write("bad.json", "{\"model\": ")},
                 4, {"bad.json"});
  expect_failure({"tokenize", "--tokenizer", folder / "none.json", good, folder / "x.bin"}, 4, {folder / "none.json"});
  CHECK(!std::filesystem::exists(folder / "x.bin"));
}

TEST_CASE("tensors that do not fit the model are refused") {
  const TemporaryFolder folder;
  expect_failure({"check", "v5ln", "--golden", folder / "none.safetensors"}, 4, {folder / "none.safetensors"});
  const std::string bytes = text_of(golden("v5ln"));
  expect_failure({"check", "v5ln", "--golden", folder.write("cut.safetensors", bytes.substr(0, bytes.size() / 2))}, 4, {"cut.safetensors"});
  expect_failure({"check", "v5ln", "--golden", golden("v5ln"), "--set", "d=16"}, 4, {"param.", "[96, 16]", "[96, 32]"});
  expect_failure({"check", "v5ln", "--golden", golden("v5ln"), "--set", "V=40"}, 4, {"40"});
  expect_failure({"check", "v5ln", "--golden", golden("gru")}, 4, {"param."});
}

TEST_CASE("no command writes over a file that it reads") {
  const TemporaryFolder folder;
  const std::string model = folder.write("model.toml", kPlainModel), text = folder.write("text.txt", tiny_text());
  const std::string tokenizer = folder.write("tokenizer.json", text_of(CPUFLOW_SOURCE_DIR "/tests/data/tokenizer_small.json"));
  const std::string tensors = folder.write("in.safetensors", text_of(golden("v5ln")));
  const std::string linked = folder / "linked.txt", graph = folder.write("graph.ir", kPlainModel);
  std::filesystem::create_symlink(text, linked);
  struct Case {
    std::vector<std::string> arguments;
    std::string file, option;
  };
  const std::vector<Case> cases{
      {{"tokenize", "--tokenizer", tokenizer, text, text}, text, "IN reads it"},
      {{"tokenize", "--tokenizer", tokenizer, text, linked}, text, "IN reads it"},
      {{"tokenize", "--tokenizer", tokenizer, text, tokenizer}, tokenizer, "--tokenizer reads it"},
      {{"grad", "v5ln", "--inputs", tensors, "--out", tensors}, tensors, "--inputs reads it"},
      {{"grad", model, "--inputs", tensors, "--out", model}, model, "MODEL reads it"},
      {{"bench", model, "--repetitions", "1", "--threads", "1", "--html", model}, model, "MODEL reads it"},
      {{"compile", graph, "--out", folder / "."}, graph, "MODEL reads it"},
  };
  for (const Case& c : cases) {
    const std::string before = text_of(c.file);
    expect_failure(c.arguments, 2, {c.option, "give another name"});
    CHECK((text_of(c.file) == before));
  }
}

TEST_CASE("a file that cannot be written is told before the work") {
  const TemporaryFolder folder;
  const std::string model = folder.write("model.toml", kPlainModel), missing = folder / "missing/speed.html";
  const Result result = cpuflowc({"bench", model, "--html", missing});
  CHECK(result.status == 4);
  CHECK(contains(result.err, "there is no folder " + folder / "missing; create it first"));
  CHECK_FALSE(contains(result.err, "compiling"));
}

TEST_CASE("what cannot be written is said, and what was there stays") {
  const TemporaryFolder folder;
  const std::string old = folder.write("old.txt", "precious");
  const Limits small{.file_bytes = 20000, .unprivileged = false};
  expect_failure({"corpus", old, "--stories", "500"}, 4, {"old.txt"}, small);
  CHECK(text_of(old) == "precious");
  if (std::filesystem::exists("/dev/full")) expect_failure({"corpus", "/dev/full", "--stories", "500"}, 4, {"/dev/full", "disk is full"});
  expect_failure({"corpus", folder / "none/stories.txt"}, 4, {"none/stories.txt"});
  expect_failure({"corpus", old + "/stories.txt"}, 4, {"stories.txt"});
  expect_failure({"train", folder.write("model.toml", kPlainModel), "--data", old, "--out", old, "--steps", "1"}, 4, {"old.txt", "--out expects a folder"});
  CHECK(text_of(old) == "precious");

  expect_failure({"compile", folder / "model.toml", "--dump", old}, 4, {"old.txt"});
  expect_failure({"sample", std::string(5000, 'x')}, 4, {"cannot be looked at", "too long"});
  CHECK(text_of(old) == "precious");

  Limits nobody;
  nobody.unprivileged = true;
  if (cpuflowc({"--version"}, {}, nobody).status == 127) {
    WARN("skipped: the built program lies in a folder that only root may enter, so nobody cannot run it");
    return;
  }
  const std::string closed = folder.write("closed.txt", "text");
  ::chmod(closed.c_str(), 0);
  expect_failure({"tokenize", "--tokenizer", closed, closed, "/dev/null"}, 4, {"closed.txt", "ermission"}, nobody);
  const std::string shut = folder / "shut";
  std::filesystem::create_directory(shut);
  ::chmod(shut.c_str(), 0555);
  expect_failure({"corpus", shut + "/stories.txt"}, 4, {"shut", "ermission"}, nobody);
  ::chmod(shut.c_str(), 0);
  expect_failure({"sample", shut + "/run"}, 4, {"shut", "cannot be looked at", "ermission"}, nobody);
  expect_failure({"train", folder / "model.toml", "--data", folder.write("text.txt", "text"), "--out", shut + "/run", "--steps", "1"}, 4, {"shut", "ermission"}, nobody);
}
