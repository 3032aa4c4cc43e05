#include "runtime/data/corpus.h"

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
    const bool friend_first = random_.below(2) == 0;
    add(friend_first ? corpus::kFriends : corpus::kTreasures);
    add(friend_first ? corpus::kTreasures : corpus::kFriends);
    paragraph();
    add(corpus::kPlans);
    if (random_.below(4) != 0) add(corpus::kWalks);
    paragraph();
    add(plot.trouble);
    add(plot.attempt);
    if (random_.below(2) == 0) add(corpus::kTalks);
    paragraph();
    add(plot.help);
    add(plot.resolution);
    if (random_.below(3) != 0) add(plot.lesson);
    paragraph();
    add(corpus::kEndings);
    return std::move(text_);
  }

 private:
  void cast() {
    const bool girl = random_.below(2) == 0;
    const bool friend_girl = random_.below(2) == 0;
    const auto set = [&](const char* key, std::string_view value) { words_[key] = value; };
    set("hero", random_.pick(girl ? corpus::kGirls : corpus::kBoys));
    set("friend", random_.pick_other(friend_girl ? corpus::kGirls : corpus::kBoys, words_["hero"]));
    set("he", girl ? "she" : "he");
    set("He", girl ? "She" : "He");
    set("his", girl ? "her" : "his");
    set("His", girl ? "Her" : "His");
    set("him", girl ? "her" : "him");
    set("fhe", friend_girl ? "she" : "he");
    set("FHe", friend_girl ? "She" : "He");
    set("fhis", friend_girl ? "her" : "his");
    set("kind", random_.pick(corpus::kSpecies));
    set("fkind", random_.pick_other(corpus::kSpecies, words_["kind"]));
    do {
      set("otherkind", random_.pick_other(corpus::kSpecies, words_["kind"]));
    } while (words_["otherkind"] == words_["fkind"]);
    set("trait", random_.pick(corpus::kTraits));
    set("ftrait", random_.pick_other(corpus::kTraits, words_["trait"]));
    set("thing", random_.pick(corpus::kThings));
    set("otherthing", random_.pick_other(corpus::kThings, words_["thing"]));
    set("colour", random_.pick(corpus::kColours));
    set("othercolour", random_.pick_other(corpus::kColours, words_["colour"]));
    set("material", random_.pick(corpus::kMaterials));
    std::string material(words_["material"]);
    material[0] = static_cast<char>(material[0] - 'a' + 'A');
    set("Material", kept_ = std::move(material));
    set("home", random_.pick(corpus::kHomes));
    set("place", random_.pick(corpus::kPlaces));
    set("giver", random_.pick(corpus::kGivers));
    set("food", random_.pick(corpus::kFoods));
    set("elder", random_.pick(corpus::kElders));
    set("song", random_.pick(corpus::kSongs));
    const std::string_view weather = random_.pick(corpus::kWeathers);
    set("weather", weather);
    // What the weather does on the way and at the end of the day.
    struct Row {
      std::string_view weather, walk, end;
    };
    static constexpr Row kRows[] = {
        {"sunny", "The sun was warm, and [bees hummed|the grass smelled sweet|the road was dry].",
         "The sun went down [red|slowly] behind the hills."},
        {"rainy", "The rain ran down their noses, and they jumped into every puddle.", "The rain had stopped, and the puddles shone."},
        {"snowy", "The snow crunched under their feet, and they threw snowballs.", "Soft snow fell again and covered their footprints."},
        {"windy", "The wind pulled at their ears and pushed them along.", "The wind had gone to sleep, and no leaf moved."},
        {"foggy", "The fog was so thick that they held each other by the tail.", "The fog had lifted, and the first stars came out."},
        {"frosty", "The puddles were frozen, and their breath made little clouds.", "The frost drew flowers on the windows."}};
    for (const Row& row : kRows) {
      if (row.weather == weather) {
        set("Walk", row.walk);
        set("Weatherend", row.end);
      }
    }
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
  std::string kept_;
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
