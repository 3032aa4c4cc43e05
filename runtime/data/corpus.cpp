#include "runtime/data/corpus.h"

#include <array>
#include <map>

#include "runtime/atomic_file.h"
#include "runtime/data/corpus_grammar.h"

namespace cpuflow::rt {
namespace {

using corpus::Templates;

/// SplitMix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(uint64_t state) : state_(state) {}
  uint64_t next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  size_t below(size_t n) { return static_cast<size_t>((next() >> 32) * n >> 32); }
  std::string_view pick(Templates list) { return list[below(list.size())]; }
  std::string_view pick_other(Templates list, std::string_view taken) {
    for (;;) {
      const std::string_view choice = pick(list);
      if (choice != taken) return choice;
    }
  }

 private:
  uint64_t state_;
};

class Story {
 public:
  explicit Story(uint64_t state) : random_(state) { cast(); }

  std::string tell() {
    const corpus::Plot& plot = corpus::kPlots[random_.below(corpus::kPlots.size())];
    add(corpus::kOpenings);
    add(corpus::kFriendships);
    add(corpus::kTreasures);
    paragraph();
    add(corpus::kPlans);
    if (random_.below(2) == 0) add(corpus::kWalks);
    paragraph();
    add(plot.trouble);
    add(plot.help);
    add(plot.turn);
    add(plot.lesson);
    paragraph();
    add(corpus::kEndings);
    while (text_.back() == ' ') text_.pop_back();
    return std::move(text_);
  }

 private:
  void cast() {
    const bool girl = random_.below(2) == 0;
    const auto set = [&](const char* key, std::string_view value) { words_[key] = value; };
    set("hero", random_.pick(girl ? corpus::kGirls : corpus::kBoys));
    set("child", girl ? "girl" : "boy");
    set("he", girl ? "she" : "he");
    set("He", girl ? "She" : "He");
    set("his", girl ? "her" : "his");
    set("His", girl ? "Her" : "His");
    set("him", girl ? "her" : "him");
    set("trait", random_.pick(corpus::kTraits));
    set_row(corpus::kCompanions, {"friend", "kind", "Song"});
    set_row(corpus::kTreasureWords, {"colour", "thing"});
    set_row(corpus::kPlaces, {"place", "helper"});
    set_row(corpus::kFamilies, {"family", "food"});
  }

  /// Chooses one row and names its words.
  template <size_t N>
  void set_row(std::span<const std::array<std::string_view, N>> rows, const std::array<const char*, N>& keys) {
    const auto& row = rows[random_.below(rows.size())];
    for (size_t i = 0; i < N; ++i) words_[keys[i]] = row[i];
  }

  void add(Templates list) { expand(random_.pick(list)); }

  void paragraph() {
    while (!text_.empty() && text_.back() == ' ') text_.pop_back();
    text_ += '\n';
  }

  void expand(std::string_view part) {
    for (size_t i = 0; i < part.size(); ++i) {
      if (part[i] == '{') {
        const size_t end = part.find('}', i);
        expand(words_.at(std::string(part.substr(i + 1, end - i - 1))));
        i = end;
      } else if (part[i] == '[') {
        i = expand_choice(part, i);
      } else {
        if (article_) {
          // Behind "a~" and its space comes the word that decides.
          if (part[i] == ' ') continue;
          text_ += std::string_view("aeiou").find(part[i]) != std::string_view::npos ? "n " : " ";
          article_ = false;
        }
        if (part[i] == '~') {
          article_ = true;
        } else {
          text_ += part[i];
        }
      }
    }
  }

  /// Expands one alternative of the choice that begins at `begin`; returns the place of its closing bracket.
  size_t expand_choice(std::string_view part, size_t begin) {
    std::vector<std::string_view> choices;
    int depth = 0;
    size_t from = begin + 1;
    for (size_t i = begin;; ++i) {
      if (part[i] == '[') ++depth;
      if (part[i] == ']') --depth;
      if ((part[i] == '|' && depth == 1) || depth == 0) {
        choices.push_back(part.substr(from, i - from));
        from = i + 1;
      }
      if (depth == 0) {
        expand(choices[random_.below(choices.size())]);
        return i;
      }
    }
  }

  Random random_;
  std::map<std::string, std::string_view> words_;
  std::string text_;
  bool article_ = false;
};

}  // namespace

std::string write_story(uint64_t seed, uint64_t index) {
  Random mixed(seed);
  return Story(mixed.next() ^ (index * 0xd1342543de82ef95u)).tell();
}

void write_corpus(const std::string& path, uint64_t stories, uint64_t seed) {
  AtomicFile file(path);
  std::string block;
  for (uint64_t i = 0; i < stories; ++i) {
    block += write_story(seed, i);
    block += "\n<|endoftext|>\n";
    if (block.size() >= (size_t{1} << 20)) {
      file.write(block);
      block.clear();
    }
  }
  file.write(block);
  file.commit();
}

}  // namespace cpuflow::rt
