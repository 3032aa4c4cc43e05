// Checkpoints that PyTorch 2.13 wrote (tests/data/torch): every type, views, wrapped state dicts, and what is no checkpoint.
#include <cmath>
#include <filesystem>
#include <fmt/format.h>

#include "runtime/pickle.h"
#include "runtime/tensor_file.h"
#include "tests/catch.h"
#include "tests/data/data_test_util.h"

using namespace cpuflow::rt;

namespace {

std::string sample(const std::string& name) { return std::string(CPUFLOW_SOURCE_DIR "/tests/data/torch/") + name; }

std::string refusal(const std::string& path) {
  return message_of([&] { open_tensor_file(path); });
}

}  // namespace

TEST_CASE("a state dict of PyTorch holds what it held there") {
  for (const char* name : {"state_dict.pt", "wrapped.pt"}) {
    INFO(name);
    const std::unique_ptr<TensorFile> file = open_tensor_file(sample(name));
    CHECK(file->tensors().size() == 12);
    CHECK((file->info("f32").shape == std::vector<int64_t>{4, 6}));
    CHECK(file->floats("f32")[23] == 23);
    CHECK((file->info("transposed").shape == std::vector<int64_t>{6, 4}));
    CHECK((file->floats("transposed") == std::vector<float>{0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23}));
    CHECK((file->floats("part") == std::vector<float>{8, 9, 10, 14, 15, 16}));
    CHECK((file->doubles("f64") == std::vector<double>{1.0 / 3, -2.0}));
    CHECK((file->floats("f16") == std::vector<float>{1.5f, -0.25f, 65504.0f}));
    CHECK(file->floats("bf16")[1] == -0.25f);
    CHECK(std::abs(file->floats("bf16")[2] / 3e38f - 1) < 0.01f);
    CHECK((file->int32s("ids") == std::vector<int32_t>{1, -2, 3, 4}));
    CHECK((file->int32s("small") == std::vector<int32_t>{-1, 127}));
    CHECK((file->int32s("mask") == std::vector<int32_t>{1, 0}));
    CHECK(file->info("scalar").shape.empty());
    CHECK((file->floats("scalar") == std::vector<float>{2.5f}));
    CHECK((file->info("empty").shape == std::vector<int64_t>{0, 3}));
    CHECK(file->floats("empty").empty());
    CHECK((file->floats("parameter") == std::vector<float>{7}));
  }
  CHECK(open_tensor_file(sample("one.pt"))->contains("a"));  // the only dictionary of tensors
}

TEST_CASE("what is no state dict is refused, with what was found") {
  CHECK(has(refusal(sample("several.pt")), "tensors lie under several keys (ema, raw); save the one that is meant under 'model'"));
  CHECK(has(refusal(sample("none.pt")), "no key of the file holds a dictionary of tensors (its keys: config)"));
  CHECK(has(refusal(sample("list.pt")), "the file holds no dictionary of tensors; save model.state_dict()"));
  CHECK(has(refusal(sample("legacy.pt")), "saved by PyTorch before 1.6, or without its zip format"));
  CHECK(has(refusal(sample("missing.pt")), "there is no such file"));
  CHECK(has(message_of([] { open_tensor_file(sample("state_dict.pt"))->floats("f33"); }), "there is no tensor 'f33' (there are 12: bf16, empty,"));
}

TEST_CASE("nothing in a checkpoint is executed") {
  // The file asks for os.system("touch ..").
  const std::filesystem::path trace = "/tmp/cpuflow-pickle-was-executed";
  std::filesystem::remove(trace);
  CHECK((open_tensor_file(sample("calls.pt"))->floats("a") == std::vector<float>{1, 1}));
  CHECK(!std::filesystem::exists(trace));
}

TEST_CASE("damaged checkpoints are refused and never crash") {
  const TemporaryFolder folder;
  const std::string whole = read_file(sample("wrapped.pt"));
  const auto try_all = [](const std::string& path) {
    try {
      const std::unique_ptr<TensorFile> file = open_tensor_file(path);
      for (const TensorInfo& t : file->tensors()) file->doubles(t.name);
      return true;
    } catch (const FileError&) {
      return false;
    }
  };
  const std::string path = folder / "damaged.pt";
  for (size_t length = 0; length < whole.size(); length += 37) {
    put(path, whole.substr(0, length));
    INFO(length << " bytes");
    CHECK(!try_all(path));
  }
  int refused = 0;
  for (size_t at = 0; at < whole.size(); at += 3) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    put(path, damaged);
    refused += !try_all(path);
  }
  CHECK(refused > 100);  // check sums cover names and data; some header fields mean nothing
}

TEST_CASE("pickles of every length are data or refused") {
  constexpr char kPickle[] = "\x80\x02}q\x00(X\x01\x00\x00\x00" "aq\x01]q\x02(K\x01M\x02\x01J\xff\xff\xff\xff\x8a\x02\x00\x80G?\xf8\x00\x00\x00\x00\x00\x00\x88Neu.";
  const std::string text(kPickle, sizeof kPickle - 1);
  const Pickle pickle(text);
  REQUIRE(pickle.root().items.size() == 2);
  CHECK(pickle.root().items[0]->text == "a");
  const std::vector<const Pickle::Value*>& list = pickle.root().items[1]->items;
  REQUIRE(list.size() == 7);
  CHECK(list[0]->number == 1);
  CHECK(list[1]->number == 258);
  CHECK(list[2]->number == -1);
  CHECK(list[3]->number == -32768);
  CHECK(list[4]->real == 1.5);
  CHECK(list[5]->kind == Pickle::Value::Kind::Bool);
  for (size_t length = 0; length < text.size(); ++length) CHECK_THROWS_AS(Pickle(text.substr(0, length)), PickleError);
  CHECK(has(message_of([] { Pickle p("\x80\x07."); }), "protocol 7 is newer than 5 at byte 0"));
  CHECK(has(message_of([] { Pickle p("\x80\x02\xff."); }), "unknown opcode 0xff at byte 2"));
  CHECK(has(message_of([] { Pickle p("u."); }), "a mark is missing"));
  CHECK(has(message_of([] { Pickle p("h\x05."); }), "it refers to a value that is not there"));
  // deep nesting takes memory, not stack
  std::string deep = std::string(200'000, ']') + std::string(199'999, 'a') + ".";
  CHECK(Pickle(deep).root().kind == Pickle::Value::Kind::List);
}
