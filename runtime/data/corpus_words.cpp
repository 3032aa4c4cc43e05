#include "runtime/data/corpus_grammar.h"

namespace cpuflow::rt::corpus {
namespace {

constexpr std::string_view girls[] = {"Mira", "Nora", "Lila", "Ivy", "Rosie", "Dora", "Hazel", "Willa"};
constexpr std::string_view boys[] = {"Anton", "Finn", "Hugo", "Leo", "Milo", "Felix", "Theo", "Oskar"};
constexpr std::string_view traits[] = {"curious", "shy", "cheerful", "clever", "brave", "gentle", "dreamy", "stubborn"};
constexpr std::array<std::string_view, 3> companions[] = {{"Pip", "fox", "Hop, hum and twirl"},
                                                          {"Momo", "rabbit", "Skip, sing and spin"},
                                                          {"Tuffy", "hedgehog", "Roll, giggle and stop"},
                                                          {"Fidget", "mouse", "Run, whisper and hide"},
                                                          {"Pepper", "squirrel", "Climb, clap and swing"},
                                                          {"Biscuit", "bear", "March, cheer and sway"},
                                                          {"Pebble", "duck", "Splash, shout and dive"},
                                                          {"Muffin", "kitten", "Jump, purr and wiggle"}};
constexpr std::array<std::string_view, 2> treasure_words[] = {
    {"red", "kite"},      {"golden", "lantern"}, {"yellow", "drum"},  {"brown", "basket"}, {"white", "boat"},
    {"blue", "umbrella"}, {"green", "whistle"},  {"silver", "flute"}, {"purple", "crown"}, {"pink", "mask"}};
constexpr std::array<std::string_view, 2> places[] = {{"hill", "goose"},  {"lake", "beaver"},   {"lighthouse", "gull"},
                                                      {"cave", "badger"}, {"market", "donkey"}, {"beach", "tortoise"},
                                                      {"forest", "owl"},  {"castle", "crow"}};
constexpr std::array<std::string_view, 2> families[] = {{"grandmother", "soup"}, {"grandfather", "bread"}, {"mother", "cake"},
                                                        {"father", "cheese"},    {"uncle", "pie"},         {"aunt", "pudding"}};

}  // namespace

const Templates kGirls = girls, kBoys = boys, kTraits = traits;
const std::span<const std::array<std::string_view, 3>> kCompanions = companions;
const std::span<const std::array<std::string_view, 2>> kTreasureWords = treasure_words, kPlaces = places, kFamilies = families;

}  // namespace cpuflow::rt::corpus
