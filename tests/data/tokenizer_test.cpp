#include "runtime/data/tokenizer.h"

#include <fstream>

#include "runtime/atomic_file.h"
#include "runtime/data/bpe_trainer.h"
#include "runtime/data/dataset.h"
#include "runtime/data/regex.h"
#include "tests/data/data_test_util.h"

using namespace cpuflow::rt;
using Json = nlohmann::json;

namespace {

const std::string kSmall = CPUFLOW_SOURCE_DIR "/tests/data/tokenizer_small.json";

Json small_json() { return Json::parse(read_file(kSmall)); }
std::string error_of(const Json& json) {
  return message_of([&] { Tokenizer::from_json(json, "t.json"); });
}

std::string random_bytes(std::mt19937& random, size_t size) {
  std::string out;
  for (size_t i = 0; i < size; ++i) out += random() % 3 ? "the fox's 12 \n\xc3\xa9"[random() % 16] : static_cast<char>(random());
  return out;
}

}  // namespace

TEST_CASE("tokenizer: ids equal the Hugging Face library's") {
  const Json expected = Json::parse(read_file(CPUFLOW_SOURCE_DIR "/tests/data/tokenizer_expected.json"));
  const auto texts = expected["texts"].get<std::vector<std::string>>();
  REQUIRE(texts.size() == 250);
  for (const Json& variant : expected["variants"]) {
    Json json = small_json();
    json["pre_tokenizer"] = variant["pre_tokenizer"];
    const Tokenizer tokenizer = Tokenizer::from_json(json, "small");
    const Tokenizer again = Tokenizer::from_json(Json::parse(tokenizer.to_json().dump()), "again");
    int wrong = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto ids = tokenizer.encode(texts[i], variant["allow_special"].get<bool>());
      wrong += ids != variant["ids"][i].get<std::vector<uint32_t>>();
      wrong += ids != again.encode(texts[i], variant["allow_special"].get<bool>());
    }
    INFO(variant["name"].get<std::string>());
    CHECK(wrong == 0);
  }
}

TEST_CASE("tokenizer: both forms of merges are read") {
  Json json = small_json();
  const Tokenizer one = Tokenizer::from_json(json, "one");
  for (Json& merge : json["model"]["merges"]) {
    const std::string text = merge.get<std::string>();
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  const Tokenizer two = Tokenizer::from_json(json, "two");
  const std::string text = "Once upon a time there was a little fox named Mira.";
  CHECK(one.encode(text) == two.encode(text));
  CHECK(one.encode(text).size() < text.size() / 2);
}

TEST_CASE("regular expressions mean what they mean to Oniguruma") {
  auto pieces = [](const std::string& pattern, const std::string& text) {
    const Regex regex(pattern);
    std::vector<std::string> out;
    for (size_t at = 0, begin = 0, end = 0; at <= text.size() && regex.find(text, at, begin, end); at = std::max(end, at + 1)) out.push_back(text.substr(begin, end - begin));
    return out;
  };
  using Pieces = std::vector<std::string>;
  CHECK((pieces("\\w+", "e\u0301a \u0915\u093f_b") == Pieces{"e\u0301a", "\u0915\u093f_b"}));  // marks and connectors are of words
  CHECK((pieces("[^\\w\\s]+", "a! \u093f?") == Pieces{"!", "?"}));
  CHECK((pieces("\\h+", "1f g0") == Pieces{"1f", "0"}));
  CHECK((pieces("^a|b$", "ab\nab") == Pieces{"a", "b", "a", "b"}));  // of lines
  CHECK((pieces("\\bx", "x e\u0301x _x-x") == Pieces{"x", "x"}));
  CHECK((pieces("[[:digit:]]+", "a12") == Pieces{"12"}));
  for (const char* pattern : {"[^(\\s|[.,!?])]+", "[a-z&&[^b]]", "[\\W]"}) CHECK(has(message_of([&] { Regex regex(pattern); }), "not supported"));
}

TEST_CASE("tokenizer: decoding gives the bytes back, whatever they are") {
  const Tokenizer tokenizer = Tokenizer::load(kSmall);
  CHECK(tokenizer.missing_bytes().empty());
  std::mt19937 random(5);
  for (int i = 0; i < 400; ++i) {
    const std::string text = random_bytes(random, random() % 200);
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  }
  const std::string long_words = std::string(5000, 'a') + std::string(3000, ' ') + std::string(2000, '\xff');
  CHECK(tokenizer.decode(tokenizer.encode(long_words)) == long_words);
  CHECK(has(message_of([&] { tokenizer.token_bytes(600); }), "id 600 is not in the tokenizer's vocabulary of 600 (ids 0 to 599)"));
}

TEST_CASE("tokenizer: special strings in text are text unless they are allowed") {
  const Tokenizer tokenizer = Tokenizer::load(kSmall);
  const std::string text = "one<|endoftext|>two";
  CHECK(tokenizer.end_of_document() == 0u);
  const auto plain = tokenizer.encode(text);
  CHECK(std::count(plain.begin(), plain.end(), 0u) == 0);
  const auto special = tokenizer.encode(text, true);
  CHECK(std::count(special.begin(), special.end(), 0u) == 1);
  CHECK(tokenizer.decode(plain) == text);
  CHECK(tokenizer.decode(special) == text);
}

TEST_CASE("tokenizer: bytes without a token are dropped and counted") {
  Json json = small_json();
  json["model"]["vocab"].erase("z");
  json["model"]["merges"] = Json::array();
  const Tokenizer tokenizer = Tokenizer::from_json(json, "t.json");
  CHECK(tokenizer.missing_bytes() == std::vector<uint8_t>{'z'});
  std::vector<uint32_t> ids;
  CHECK(tokenizer.encode("zoo zz top", ids) == 3);
  CHECK(tokenizer.encode("zoo zz top", ids) == 3);  // also from the cache
  CHECK(tokenizer.decode(tokenizer.encode("zoo zz top")) == "oo  top");
}

TEST_CASE("tokenizer: what is not supported is named by its JSON path") {
  const auto with = [](const char* pointer, Json value) {
    Json json = small_json();
    json[Json::json_pointer(pointer)] = std::move(value);
    return error_of(json);
  };
  CHECK(error_of(small_json()) == "");
  CHECK(has(with("/normalizer", {{"type", "NFC"}}), "t.json: normalizer: type NFC is not supported"));
  CHECK(with("/normalizer", {{"type", "Sequence"}, {"normalizers", Json::array()}}) == "");
  CHECK(has(with("/model/type", "Unigram"), "model.type: 'Unigram' is not supported, only BPE is"));
  CHECK(has(with("/model/dropout", 0.1), "model.dropout: is not supported"));
  CHECK(has(with("/model/byte_fallback", true), "model.byte_fallback: true is not supported"));
  CHECK(has(with("/model/end_of_word_suffix", "</w>"), "model.end_of_word_suffix: is not supported"));
  CHECK(has(with("/model/unk_token", "<unk>"), "model.unk_token: \"<unk>\" is not in model.vocab"));
  CHECK(has(with("/model/vocab/zz", -1), "model.vocab[\"zz\"]: expected an id from 0 to 16777215, found -1"));
  CHECK(has(with("/model/vocab/zz", 5), "the id 5 is used twice"));
  CHECK(has(with("/model/merges/3", "a b c"), "model.merges[3]: expected two tokens with a space between them"));
  CHECK(has(with("/model/merges/3", "q qqq"), "model.merges[3]: the token \"qqq\" is not in model.vocab"));
  CHECK(has(with("/model/merges/3", 7), "model.merges[3]: expected \"a b\" or [\"a\", \"b\"]"));
  CHECK(has(with("/pre_tokenizer", nullptr), "pre_tokenizer: is missing"));
  CHECK(has(with("/pre_tokenizer", {{"type", "Metaspace"}}), "pre_tokenizer.type: 'Metaspace' is not supported"));
  CHECK(has(with("/pre_tokenizer", {{"type", "Digits"}}), "none of its parts is of type ByteLevel"));
  CHECK(has(with("/added_tokens/1/lstrip", true), "added_tokens[1].lstrip: true is not supported"));
  CHECK(has(with("/added_tokens/1/id", 99), "added_tokens[1]: its id 99 belongs to another token"));
  const Json split = {
      {"type", "Sequence"},
      {"pretokenizers", {{{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}, {"invert", false}}}}};
  CHECK(has(with("/pre_tokenizer", split), "pre_tokenizer.pretokenizers[0].pattern: regular expression '(a', byte 2:"));

  TemporaryFolder folder;
  write_file_atomically(folder / "t.json", "{\"model\": {}, \"model\": {}}");
  CHECK(message_of([&] { Tokenizer::load(folder / "t.json"); }) ==
        (folder / "t.json") + ": the key \"model\" appears twice; a tokenizer.json of Hugging Face tokenizers is needed");
}

TEST_CASE("tokenizer: any damage to the file throws, nothing crashes") {
  const std::string good = read_file(kSmall);
  TemporaryFolder folder;
  std::mt19937 random(2);
  int refused = 0;
  for (int i = 0; i < 600; ++i) {
    put(folder / "t.json", mutated(good, random));
    try {
      Tokenizer::load(folder / "t.json").encode("The fox <|endoftext|> 12");
    } catch (const std::runtime_error&) {
      ++refused;
    }
  }
  CHECK(refused > 200);
}

TEST_CASE("BPE trainer: the most frequent pair first, as few tokens as the text is worth") {
  BpeTrainerOptions options;
  options.vocab_size = 1000;
  const Tokenizer tokenizer = train_bpe({"aaab aaab aaab", "xy xy"}, options);
  CHECK(tokenizer.end_of_document() == 0u);
  CHECK(tokenizer.token_bytes(1 + 'a') == "a");
  CHECK(tokenizer.token_bytes(257) == "aa");  // 6 times
  CHECK(tokenizer.vocab_size() < 270);
  CHECK(tokenizer.missing_bytes().empty());
  CHECK(tokenizer.decode(tokenizer.encode("aaab\xff")) == "aaab\xff");
  CHECK(tokenizer.encode("aaab").size() == 1);
  CHECK(train_bpe({"aaab aaab aaab", "xy xy"}, options).to_json() == tokenizer.to_json());

  options.vocab_size = 256;
  CHECK(has(message_of([&] { train_bpe({"a"}, options); }), "a vocabulary of 256 is too small: 1 special tokens and 256 bytes need 257"));
  options.vocab_size = 300;
  options.specials = {"<eos>", "<eos>"};
  CHECK(has(message_of([&] { train_bpe({"a"}, options); }), "special token '<eos>'"));

  TemporaryFolder folder;
  tokenizer.save(folder / "t.json");
  CHECK(Tokenizer::load(folder / "t.json").to_json() == tokenizer.to_json());
}

TEST_CASE("tokenizer: TinyStories in full") {
  const std::string file = shared_file("data/tokenizer/flashlm-4096.json");
  const std::string text = shared_file("data/tinystories/valid.txt");
  const std::string golden = shared_file("golden/tinystories-valid-ids.bin");
  if (file.empty() || text.empty() || golden.empty()) return;
  const Tokenizer tokenizer = Tokenizer::load(file);
  CHECK(tokenizer.missing_bytes().size() == 78);
  CHECK(tokenizer.end_of_document() == 3u);
  const TokenData valid = encode_documents(read_documents({text}).texts, tokenizer, 3, "valid.txt");
  CHECK(valid.ids.size() == 193953);
  TemporaryFolder folder;
  write_token_file(folder / "valid.bin", valid.ids, 4096);
  CHECK(read_file(folder / "valid.bin") == read_file(golden));
  CHECK(count_text_bytes(valid.ids, tokenizer) + valid.dropped_bytes == valid.bytes);

  const std::string train = shared_file("data/tinystories/train.txt");
  if (train.empty()) return;
  const TokenData ids = encode_documents(read_documents({train}).texts, tokenizer, 3, "train.txt");
  CHECK(ids.ids.size() == 3509973);
}
