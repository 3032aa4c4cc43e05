#include "runtime/safetensors.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/data/data_test_util.h"

using namespace cpuflow::rt;

namespace {

std::string with_header(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), 8);
  return out + header + std::string(data_bytes, '\0');
}

std::string header_error(const std::string& header, size_t data_bytes) {
  TemporaryFolder folder;
  const std::string path = folder / "x.safetensors";
  write_file_atomically(path, with_header(header, data_bytes));
  const std::string message = message_of([&] { SafetensorsFile file(path); });
  if (!message.empty()) CHECK(message.compare(0, path.size() + 2, path + ": ") == 0);
  return message;
}

}  // namespace

TEST_CASE("safetensors: what is written is read again") {
  TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  const std::vector<double> doubles{1.5, -2.25, 1e300};
  const std::vector<float> floats{0.1f, -0.0f, 3e38f, 4, 5, 6};
  const std::vector<int64_t> longs{-5, 7, 2147483647};
  const std::vector<uint16_t> halves{0x3c00, 0x0001, 0x7c00, 0xc000};
  const std::vector<uint16_t> brains{0x3f80, 0xff80, 0x0000};
  const uint8_t flags[] = {0, 1, 1};
  const std::vector<TensorView> tensors{{"z.weight", TensorType::F32, {2, 3}, floats.data()},
                                        {"d", TensorType::F64, {3}, doubles.data()},
                                        {"l", TensorType::I64, {3, 1}, longs.data()},
                                        {"h", TensorType::F16, {4}, halves.data()},
                                        {"b", TensorType::BF16, {3}, brains.data()},
                                        {"empty", TensorType::F32, {0, 5}, nullptr},
                                        {"flags", TensorType::Bool, {3}, flags},
                                        {"scalar", TensorType::F32, {}, floats.data()}};
  write_safetensors(path, tensors, {{"note", "two \"words\"\n"}, {"a", "1"}});
  const SafetensorsFile file(path);
  CHECK(file.metadata().at("note") == "two \"words\"\n");
  CHECK(file.tensors().size() == tensors.size());
  CHECK(file.floats("z.weight") == floats);
  CHECK(file.doubles("d") == doubles);
  CHECK(file.int32s("l") == std::vector<int32_t>{-5, 7, 2147483647});
  CHECK(file.floats("h") == std::vector<float>{1.0f, std::ldexp(1.0f, -24), std::numeric_limits<float>::infinity(), -2.0f});
  CHECK(file.floats("b") == std::vector<float>{1.0f, -std::numeric_limits<float>::infinity(), 0.0f});
  CHECK(file.int32s("flags") == std::vector<int32_t>{0, 1, 1});
  CHECK(file.floats("scalar") == std::vector<float>{0.1f});
  CHECK(file.info("scalar").shape.empty());
  CHECK(file.floats("empty").empty());
  CHECK(file.doubles("l") == std::vector<double>{-5, 7, 2147483647});
  for (const TensorInfo& tensor : file.tensors()) CHECK(tensor.offset % tensor_type_bytes(tensor.type) == 0);

  SECTION("the same input gives the same bytes, in any order") {
    const std::string again = folder / "b.safetensors";
    write_safetensors(again, {tensors.rbegin(), tensors.rend()}, {{"a", "1"}, {"note", "two \"words\"\n"}});
    CHECK(read_file(again) == read_file(path));
  }
  SECTION("wrong use is named") {
    CHECK(has(message_of([&] { file.floats("q"); }), "there is no tensor 'q' (there are 8: b, d, empty,"));
    CHECK(has(message_of([&] { file.int32s("d"); }), "tensor 'd' is F64, and integers are needed"));
    CHECK(has(message_of([&] {
                file.expect("z.weight", std::vector<int64_t>{3, 2});
              }),
              "tensor 'z.weight' is [2, 3], and [3, 2] is needed"));
    CHECK(has(message_of([&] { write_safetensors(path, {tensors[0], tensors[0]}); }), "two tensors named 'z.weight'"));
  }
}

TEST_CASE("safetensors: damaged headers are refused by name") {
  const auto one = [](const std::string& entry) { return "{\"a\":" + entry + "}"; };
  CHECK(header_error(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), 8) == "");
  CHECK(has(header_error(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), 4),
            "tensor 'a': F32 [2] needs 8 bytes, its entry has 4"));
  CHECK(
      has(header_error(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), 7), "the file has 7 bytes of data; it may be cut off"));
  CHECK(has(header_error(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), 9), "1 bytes at the end belong to no tensor"));
  CHECK(has(header_error(one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), 8), "4 bytes before tensor 'a' belong to no tensor"));
  CHECK(has(header_error(one(R"({"dtype":"F4","shape":[1],"data_offsets":[0,4]})"), 4), "type F4 is not supported (known: F64, F32,"));
  CHECK(has(header_error(one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), 4), "the shape holds -1"));
  CHECK(has(header_error(one(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,4]})"), 4), "the shape holds 1.5"));
  CHECK(has(header_error(one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})"), 0), "is too large"));
  CHECK(has(header_error(one(R"({"dtype":"F32","shape":[1],"data_offsets":[8,4]})"), 8), "its bytes are 8..4"));
  CHECK(has(header_error(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3),
            "tensors 'a' and 'b' overlap"));
  CHECK(has(header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2),
            "the key \"a\" appears twice"));
  CHECK(has(header_error(R"({"__metadata__":{"a":1}})", 0), "__metadata__.a is not a string"));
  CHECK(has(header_error("{\"a\"", 0), "not valid JSON at byte"));
  CHECK(has(header_error(" {}", 0), "does not begin with '{'"));
  CHECK(has(header_error("{\"a\":" + std::string(100000, '['), 0), "nested more than 8 levels deep"));

  TemporaryFolder folder;
  const std::string path = folder / "x";
  write_file_atomically(path, "short");
  CHECK(has(message_of([&] { SafetensorsFile file(path); }), "it has 5 bytes"));
  write_file_atomically(path, std::string(64, 'x'));
  CHECK(has(message_of([&] { SafetensorsFile file(path); }), "not a safetensors file"));
  CHECK(has(message_of([&] { SafetensorsFile file(folder.path()); }), "this is a folder"));
  CHECK(has(message_of([&] { SafetensorsFile file(folder / "none"); }), "there is no such file"));
}

TEST_CASE("safetensors: any damage throws, nothing crashes") {
  TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  const std::vector<float> values(12, 1.0f);
  write_safetensors(path, {{"a", TensorType::F32, {3, 4}, values.data()}, {"bb", TensorType::I16, {2}, values.data()}}, {{"k", "v"}});
  const std::string good = read_file(path);
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    put(path, mutated(good.substr(0, 8) + mutated(good.substr(8), random), random));
    try {
      const SafetensorsFile file(path);
      for (const TensorInfo& tensor : file.tensors()) CHECK(file.floats(tensor.name).size() == tensor.elements());
    } catch (const FileError&) {
      ++refused;
    }
  }
  CHECK(refused > 1500);
}

TEST_CASE("safetensors: files of another writer") {
  for (const char* name : {"v5ln", "v5ln-odd", "v5ln-one", "gru", "gpt2"}) {
    const SafetensorsFile file(std::string(CPUFLOW_SOURCE_DIR "/tests/golden/") + name + ".safetensors");
    CHECK_FALSE(file.metadata().empty());
    const TensorInfo& tokens = file.info("tokens");
    CHECK(file.int32s("tokens").size() == tokens.elements());
    const auto parameter =
        std::find_if(file.tensors().begin(), file.tensors().end(), [](const TensorInfo& t) { return t.name.rfind("param.", 0) == 0; });
    REQUIRE(parameter != file.tensors().end());
    CHECK(file.floats(parameter->name).size() == parameter->elements());
    CHECK(std::isfinite(file.doubles("loss.total").at(0)));
  }
}

TEST_CASE("atomic files: an old file survives failure") {
  TemporaryFolder folder;
  const std::string path = folder / "a.txt";
  write_file_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write("new, but never finished");
  }
  CHECK(read_file(path) == "old");
  write_file_atomically(path, "new");
  CHECK(read_file(path) == "new");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);

  CHECK(has(message_of([&] { AtomicFile file(path, uint64_t{1} << 60); }), "the disk is full: 1.2 EB needed"));
  CHECK(has(message_of([&] { AtomicFile file(path, uint64_t{1} << 60); }),
            "free in " + folder.path() + "; free some space or choose another folder"));
  CHECK(has(message_of([&] { write_file_atomically(folder.path(), "x"); }), "it is a folder"));
  CHECK(has(message_of([&] { write_file_atomically(folder / "no/x", "x"); }), "there is no folder " + (folder / "no")));
  CHECK(has(message_of([&] { read_file(folder.path()); }), "this is a folder"));
  CHECK(has(message_of([&] { read_file(folder / "none"); }), "there is no such file"));
  CHECK(has(message_of([&] { read_file("https://example.org/text.txt"); }), "download it"));
  if (std::filesystem::exists("/dev/full")) CHECK(has(message_of([&] { write_file_atomically("/dev/full", "x"); }), "the disk is full"));
  if (geteuid() != 0) {
    chmod(folder.path().c_str(), 0500);
    CHECK(has(message_of([&] { write_file_atomically(folder / "b", "x"); }), "no permission"));
    chmod(folder.path().c_str(), 0700);
    chmod(path.c_str(), 0);
    CHECK(has(message_of([&] { read_file(path); }), "no permission to read"));
  }
  CHECK(format_bytes(999) == "999 bytes");
  CHECK(format_bytes(12'340'000) == "12.3 MB");
}
