#include "runtime/data/corpus_grammar.h"

namespace cpuflow::rt::corpus {
namespace {

constexpr std::string_view openings[] = {
    "Once upon a time there was a~ {trait} {child} named {hero}. ",
    "Once there lived a~ {trait} {child} whose name was {hero}. ",
    "Long ago there lived a little {child}, and {his} name was {hero}. {hero} was {trait}. ",
    "One day, a little {child} named {hero} woke up early. {hero} was a~ {trait} {child}. ",
    "There was a {child} called {hero}. Everybody knew that {hero} was {trait}. ",
    "This is the story of {hero}, a~ {trait} {child}. ",
};
constexpr std::string_view friendships[] = {
    "{His} best friend was {friend} the {kind}. ",
    "{hero} had a friend, a little {kind} named {friend}. ",
    "Next door lived {friend} the {kind}, and {friend} was {his} best friend. ",
    "Every day {he} played with {friend}, a little {kind}. ",
};
constexpr std::string_view treasures[] = {
    "{hero} loved {his} {colour} {thing} more than anything. ",
    "For {his} birthday {his} {family} gave {him} a~ {colour} {thing}. ",
    "{hero} had a~ {colour} {thing}, which {his} {family} had made. ",
    "\"Take good care of it,\" said {his} {family} and gave {him} a~ {colour} {thing}. ",
};
constexpr std::string_view plans[] = {
    "\"Let us go to the {place},\" said {hero} to {friend} the {kind}, \"and take the {colour} {thing} along!\" ",
    "One morning {hero} and {friend} the {kind} took the {colour} {thing} and some {food} and walked to the {place}. ",
    "\"Have you ever seen the {place}?\" asked {friend} the {kind}. \"Never,\" said {hero}. So {he} took {his} {colour} {thing}, and they "
    "went to the {place}. ",
    "{hero} wished to see the {place}. So {he} packed {his} {colour} {thing} and some {food}, and {friend} the {kind} came along. ",
};
constexpr std::string_view walks[] = {
    "On the way they sang, \"{Song}!\" ",
    "\"{Song}!\" sang {hero}. \"{Song}!\" sang {friend}. ",
    "\"{Song}!\" they sang, because that was their song. ",
};
constexpr std::string_view endings[] = {
    "Then {hero} and {friend} the {kind} went home with the {colour} {thing} and ate {food} with {his} {family}. ",
    "In the evening {his} {family} made {food}, and {hero} told the story of the {helper} and the {place}. ",
    "All the way home from the {place} they sang, \"{Song}!\" ",
    "That night the {colour} {thing} lay beside {his} bed, and {hero} dreamed of {friend} the {kind} and the {place}. ",
    "And if you go to the {place}, you may hear them sing, \"{Song}!\" ",
    "{His} {family} hugged {him}, and there was {food} for {hero} and for {friend} the {kind}. ",
};

}  // namespace

const Templates kOpenings = openings, kFriendships = friendships, kTreasures = treasures, kPlans = plans, kWalks = walks,
                kEndings = endings;

}  // namespace cpuflow::rt::corpus
