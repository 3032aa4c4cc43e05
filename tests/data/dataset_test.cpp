#include "runtime/data/dataset.h"

#include <cstring>
#include <set>

#include "runtime/atomic_file.h"
#include "runtime/data/bpe_trainer.h"
#include "runtime/data/corpus.h"
#include "runtime/data/corpus_grammar.h"
#include "runtime/data/windows.h"
#include "tests/data/data_test_util.h"

using namespace cpuflow::rt;

namespace {

TokenData counting(uint64_t n) {
  TokenData out;
  out.name = "counting.bin";
  for (uint64_t i = 0; i < n; ++i) out.ids.append(static_cast<uint32_t>(i));
  return out;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

TEST_CASE("documents: separated, stripped, empty ones dropped") {
  const Documents documents = split_documents(" one\n<|endoftext|>\n \n<|endoftext|>two  words\xff\n", kDefaultSeparator, "x");
  CHECK(documents.texts == std::vector<std::string_view>{"one", "two  words\xff"});
  CHECK(documents.bytes == 14);
  CHECK(split_documents("a--b", "--", "x").texts.size() == 2);

  TemporaryFolder folder;
  write_file_atomically((folder / "a"),
                        "\xef\xbb\xbf"
                        "first");
  write_file_atomically(folder / "b", "second");
  write_file_atomically(folder / "empty", " \n<|endoftext|>\n");
  CHECK(read_documents({folder / "a", folder / "b"}).texts == std::vector<std::string_view>{"first", "second"});
  CHECK(message_of([&] { read_documents({folder / "empty"}); }) ==
        (folder / "empty") +
            ": no text to train on: 16 bytes, and nothing but white space and '<|endoftext|>' in them; give a file with text");
  CHECK(has(message_of([&] { read_documents({folder / "none"}); }), "there is no such file"));
  CHECK(has(message_of([&] { read_documents({folder.path()}); }), "this is a folder"));
  CHECK(has(message_of([&] { read_documents({folder / "a"}, ""); }), "must not be empty"));
}

TEST_CASE("held-out documents: by their text only, and never none of many") {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "document " + std::to_string(i) + "<|endoftext|>";
  const Documents documents = split_documents(text, kDefaultSeparator, "x");
  const HeldOut split = hold_out(documents);
  CHECK(split.train.size() + split.valid.size() == 2000);
  CHECK(split.valid.size() > 60);
  CHECK(split.valid.size() < 140);
  CHECK(has(split.rule, "XXH64 modulo 100 is below 5"));
  const Documents fewer = split_documents(text.substr(0, text.size() / 2), kDefaultSeparator, "x");
  const HeldOut part = hold_out(fewer);
  const std::set<std::string_view> all(split.valid.begin(), split.valid.end());
  for (const std::string_view document : part.valid) CHECK((all.count(document) == 1 || document == fewer.texts.back()));

  for (int n = 1; n < 60; ++n) {
    std::string some;
    for (int i = 0; i < n; ++i) some += "text " + std::to_string(i * 31 + n) + "<|endoftext|>";
    const HeldOut small = hold_out(split_documents(some, kDefaultSeparator, "x"));
    CHECK(small.train.size() >= 1);
    if (n >= 20) CHECK(small.valid.size() >= 1);
  }
  const HeldOut none = hold_out(split_documents("only one", kDefaultSeparator, "x"));
  CHECK(none.train.size() == 1);
  CHECK(has(none.rule, "--valid FILE"));

  std::string lines;
  for (int i = 0; lines.size() < 30000; ++i) lines += "line " + std::to_string(i) + "\n";
  const Documents whole = split_documents(lines, kDefaultSeparator, "x");
  const HeldOut end = hold_out(whole);
  REQUIRE(end.valid.size() == 1);
  CHECK(std::string(end.train[0]) + std::string(end.valid[0]) == std::string(whole.texts[0]));
  CHECK(end.train[0].back() == '\n');
  CHECK(end.valid[0].size() > 1000);
  CHECK(end.valid[0].size() <= 1600);
  CHECK(has(end.rule, "the end of the one document"));
  const Documents books = split_documents("a preface<|endoftext|>" + lines + "<|endoftext|>a third", kDefaultSeparator, "x");
  const HeldOut of_book = hold_out(books);
  REQUIRE(of_book.valid.size() == 1);
  CHECK(of_book.train.size() == 3);
  CHECK(std::string(of_book.train[1]) + std::string(of_book.valid[0]) == std::string(books.texts[1]));
  CHECK(has(of_book.rule, "the end of the largest of 3 documents"));
  std::string words;
  while (words.size() < 30000) words += "no line ends ";
  CHECK(hold_out(split_documents(words, kDefaultSeparator, "x")).valid.at(0).size() > 1000);
  CHECK(has(hold_out(split_documents(std::string(30000, 'x'), kDefaultSeparator, "x")).rule, "--valid FILE"));
}

TEST_CASE("encoding: an end after each document, bytes counted") {
  const Tokenizer tokenizer = train_bpe({"some words, some more words"});
  const TokenData data = encode_documents({"some words", "more"}, tokenizer, 0, "x");
  CHECK(data.documents == 2);
  CHECK(data.bytes == 14);
  CHECK(data.dropped_bytes == 0);
  CHECK(data.ids[data.ids.size() - 1] == 0);
  CHECK(count_text_bytes(data.ids, tokenizer) == 14);
  check_vocabulary(tokenizer, "t.json", tokenizer.vocab_size());
  CHECK(has(message_of([&] { check_vocabulary(tokenizer, "t.json", 100); }), "and the model's vocabulary V is 100; set V = "));
}

TEST_CASE("token files: every layout, and what is wrong with them") {
  TemporaryFolder folder;
  const std::string path = folder / "ids.bin";
  const std::vector<uint16_t> narrow{1, 2, 65535, 4};
  const std::vector<uint32_t> wide{1, 70000, 3};
  const auto error = [&](uint32_t vocab, bool is_wide = false) { return message_of([&] { read_token_file(path, vocab, is_wide); }); };

  write_file_atomically(path, bytes_of(narrow));
  CHECK(read_token_file(path, 65536).ids[2] == 65535);
  CHECK(has(error(4096), "token 65535 at position 2 is out of range: the model's vocabulary V is 4096 (ids 0 to 4095)"));
  write_file_atomically(path, bytes_of(wide));
  CHECK(read_token_file(path, 70001, true).ids[1] == 70000);
  CHECK(has(error(70000, true), "token 70000 at position 1 is out of range"));
  write_file_atomically(path, "abc");
  CHECK(has(error(0), "3 bytes of ids are no multiple of 2"));
  write_file_atomically(path, "");
  CHECK(has(error(0), "there are no token ids in it"));

  std::string npy = std::string("\x93NUMPY\x01\x00\x36\x00", 10) + "{'descr': '<u2', 'fortran_order': False, 'shape': (4,)}";
  REQUIRE(npy.size() == 10 + 55);
  npy[8] = 55;
  write_file_atomically(path, npy + bytes_of(narrow));
  CHECK(read_token_file(path, 0).ids[3] == 4);
  write_file_atomically(path, npy + bytes_of(wide));
  CHECK(has(error(0), "says shape (4,), and one dimension of the 6 ids"));
  std::string other = npy;
  other.replace(other.find("<u2"), 3, "<f4");
  write_file_atomically(path, other + bytes_of(wide));
  CHECK(has(error(0), "the .npy file holds '<f4',"));

  std::vector<uint32_t> header(256, 0);
  header[0] = 20240520;
  header[1] = 1;
  header[2] = 4;
  write_file_atomically(path, bytes_of(header) + bytes_of(narrow));
  CHECK(read_token_file(path, 0).ids.size() == 4);
  header[2] = 5;
  write_file_atomically(path, bytes_of(header) + bytes_of(narrow));
  CHECK(has(error(0), "its header says 5 ids, and 4 are there"));
  header[1] = 9;
  write_file_atomically(path, bytes_of(header) + bytes_of(narrow));
  CHECK(has(error(0), "version 9"));
  header[0] = 20240801;  // with uint32 ids
  header[1] = 7;
  header[2] = 4;
  write_file_atomically(path, bytes_of(header) + bytes_of(std::vector<uint32_t>{1, 70000, 3, 4}));
  CHECK(read_token_file(path, 0).ids[1] == 70000);
  header[0] = 20240520;
  write_file_atomically(path, bytes_of(std::vector<uint32_t>(50, 7)));
  CHECK(has(error(0), "every second id is 0, as in a file of uint32 ids"));
  CHECK(read_token_file(path, 0, true).ids.size() == 50);

  const TokenData data = counting(70000);
  write_token_file(path, data.ids, 70000);
  CHECK(read_token_file(path, 70000, true).ids[69999] == 69999);
  CHECK(has(message_of([&] { write_token_file(path, data.ids, 100); }), "id 100 at position 100 is not below 100"));

  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    header[1] = 1 + static_cast<uint32_t>(i / 2 % 2);
    put(path, mutated((i % 2 ? npy : bytes_of(header)) + bytes_of(narrow), random));
    try {
      read_token_file(path, 4096);
    } catch (const std::runtime_error&) {
    }
  }
}

TEST_CASE("windows: T inputs, targets shifted by one") {
  const TokenData data = counting(41);
  const Windows windows(data, 10);
  CHECK(windows.count() == 4);
  std::vector<int32_t> tokens(10), targets(10);
  windows.copy(3, tokens.data(), targets.data());
  CHECK(tokens.front() == 30);
  CHECK(targets.front() == 31);
  CHECK(targets.back() == 40);
  CHECK(Windows(counting(40), 10).length() == 10);
  CHECK(message_of([&] { Windows(counting(40), 64); }) ==
        "counting.bin: 40 token ids, and one window of T = 64 needs 65; give more text, or take a smaller T (--set T=32)");
}

TEST_CASE("order: sequential wraps, shuffled is a permutation in every epoch") {
  const WindowOrder plain(WindowOrder::Kind::Sequential, 10, 4, 0);
  CHECK(plain.window(0, 3) == 3);
  CHECK(plain.window(2, 1) == 9);
  CHECK(plain.window(2, 2) == 0);
  CHECK(plain.epoch(3) == 1);
  for (const uint64_t n : {1u, 2u, 3u, 16u, 17u, 1000u, 13711u}) {
    const WindowOrder order(WindowOrder::Kind::Shuffled, n, 1, 7);
    for (const uint64_t epoch : {0u, 1u}) {
      std::vector<bool> seen(n, false);
      for (uint64_t i = 0; i < n; ++i) {
        const uint64_t w = order.window(epoch * n + i, 0);
        REQUIRE(w < n);
        REQUIRE_FALSE(seen[w]);
        seen[w] = true;
      }
    }
  }
  const uint64_t n = 1000;
  const WindowOrder one(WindowOrder::Kind::Shuffled, n, 8, 1), two(WindowOrder::Kind::Shuffled, n, 8, 2);
  int fixed = 0, same = 0, again = 0, neighbours = 0;
  for (uint64_t i = 0; i < n; ++i) {
    fixed += one.window(0, i) == i;
    same += one.window(0, i) == two.window(0, i);
    again += one.window(0, i) == one.window(n / 8, i);
    neighbours += one.window(0, i) + 1 == one.window(0, i + 1);
  }
  for (const int count : {fixed, same, again, neighbours}) CHECK(count < 12);
  CHECK(one.window(3, 5) == one.window(0, 29));
  CHECK(has(message_of([] { WindowOrder::parse_kind("random"); }), "order 'random' is not known; it is sequential or shuffled"));
}

TEST_CASE("trigram model: learns what three ids tell, and nothing more") {
  TokenIds cycle;
  for (int i = 0; i < 3000; ++i) cycle.append(i % 7);
  CHECK(trigram_cross_entropy(cycle, cycle, 7) < 0.05);
  std::mt19937 random(1);
  TokenIds noise, more;
  for (int i = 0; i < 40000; ++i) {
    noise.append(random() % 16);
    more.append(random() % 16);
  }
  const double nats = trigram_cross_entropy(noise, more, 16);
  CHECK(nats > std::log(16.0) - 0.01);
  CHECK(nats < std::log(16.0) + 0.15);
  CHECK(has(message_of([&] { trigram_cross_entropy(noise, more, 8); }), "is not below 8"));
}

/// How many of `words` stand in the story, as whole words.
size_t named(const std::string& story, std::span<const std::string_view> words) {
  const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  size_t found = 0;
  for (const std::string_view word : words) {
    for (size_t at = story.find(word); at != std::string::npos; at = story.find(word, at + 1)) {
      const bool begins = at == 0 || letters.find(story[at - 1]) == std::string::npos;
      const size_t end = at + word.size();
      if (!begins || (end < story.size() && letters.find(story[end]) != std::string::npos)) continue;
      ++found;
      break;
    }
  }
  return found;
}

/// One word of each row.
template <size_t N>
std::vector<std::string_view> column(std::span<const std::array<std::string_view, N>> rows, size_t i) {
  std::vector<std::string_view> out;
  for (const auto& row : rows) out.push_back(row[i]);
  return out;
}

TEST_CASE("corpus: stories differ, agree with themselves, and are the same again") {
  std::set<std::string> stories;
  for (int i = 0; i < 500; ++i) {
    const std::string story = write_story(1, i);
    INFO(story);
    CHECK(story == write_story(1, i));
    CHECK(story.size() > 400);
    CHECK(story.size() < 1100);
    CHECK(story.find_first_of("{}[]|~") == std::string::npos);
    CHECK_FALSE(has(story, "  "));
    CHECK_FALSE(has(story, " a a"));
    // One hero, one companion, one treasure, one place, one of the family, whenever they come back.
    CHECK(named(story, corpus::kGirls) + named(story, corpus::kBoys) == 1);
    const bool girl = named(story, corpus::kGirls) == 1;
    const std::vector<std::string_view> his{"he", "He", "his", "His", "him", "boy"}, her{"she", "She", "her", "Her", "girl"};
    CHECK(named(story, girl ? his : her) == 0);
    CHECK(named(story, column(corpus::kCompanions, 0)) == 1);
    for (const size_t word : {1u, 2u}) CHECK(named(story, column(corpus::kCompanions, word)) <= 1);
    for (const size_t word : {0u, 1u}) {
      CHECK(named(story, column(corpus::kTreasureWords, word)) <= 1);
      CHECK(named(story, column(corpus::kPlaces, word)) <= 1);
      CHECK(named(story, column(corpus::kFamilies, word)) <= 1);
    }
    stories.insert(story);
  }
  CHECK(stories.size() == 500);
  TemporaryFolder folder;
  write_corpus(folder / "a.txt", 50, 3);
  write_corpus(folder / "b.txt", 50, 3);
  write_corpus(folder / "c.txt", 50, 4);
  CHECK(read_file(folder / "a.txt") == read_file(folder / "b.txt"));
  CHECK(read_file(folder / "a.txt") != read_file(folder / "c.txt"));
  CHECK(read_documents({folder / "a.txt"}).texts.size() == 50);
}

TEST_CASE("corpus: much of a story is told by words that a trigram model has forgotten") {
  std::vector<std::string> stories;
  for (int i = 0; i < 3000; ++i) stories.push_back(write_story(1, i));
  const std::vector<std::string_view> views(stories.begin(), stories.end());
  const std::vector<std::string_view> train(views.begin(), views.end() - 300), valid(views.end() - 300, views.end());
  BpeTrainerOptions options;
  options.specials = {"<|endoftext|>"};
  const Tokenizer tokenizer = train_bpe(train, options);
  CHECK(tokenizer.vocab_size() < 1600);  // the words of the grammar and the pieces that they are made of
  const TokenData seen = encode_documents(train, tokenizer, 0, "train"), unseen = encode_documents(valid, tokenizer, 0, "valid");
  const double nats = trigram_cross_entropy(seen.ids, unseen.ids, tokenizer.vocab_size());
  CHECK(nats > 0.85);
  CHECK(nats < 1.3);
}
