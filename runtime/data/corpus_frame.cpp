#include "runtime/data/corpus_grammar.h"

namespace cpuflow::rt::corpus {
namespace {

constexpr std::string_view openings[] = {
    "Once upon a time there was a~ {trait} little {kind} named {hero}. {He} lived at {home} with {his} {giver}. ",
    "[Long ago|Once|In a time of long winters], at {home}, there lived a~ {kind} called {hero}. {He} was the most {trait} {kind} [for "
    "miles around|anyone had "
    "ever met|in the whole valley]. ",
    "This is the story of {hero}, a~ {trait} {kind} who lived at {home}. Every morning {he} ate {food} with {his} {giver}, and every "
    "evening {he} [counted the "
    "stars|looked out of the window|listened to the wind]. ",
    "At {home} lived a~ {kind}. {His} name was {hero}, and everybody knew that {he} was {trait}. It was a~ {weather} "
    "[morning|day|afternoon] when [it all "
    "began|this story began|something happened]. ",
    "There once was a~ {kind} whose name was {hero}. [Some said|People said|The neighbours said] {he} was too {trait}, but {his} {giver} "
    "loved {him} [just as "
    "{he} was|all the more for it|more than anything]. They lived together at {home}. ",
    "Do you know {hero}? {He} is a~ {trait} {kind}, and {he} lives at {home}. One {weather} day [long ago|not so long ago|last year], {he} "
    "had an adventure. ",
};
constexpr std::string_view treasures[] = {
    "{hero} had one thing that {he} loved more than all others: a~ {colour} {thing} made of {material}. {His} {giver} had [given it to "
    "{him}|made it for {him}|"
    "found it in the attic]. ",
    "For {his} birthday {his} {giver} had made {him} a~ {colour} {thing} out of {material}. {hero} took the {colour} {thing} "
    "[everywhere|to bed at night|along "
    "wherever {he} went]. ",
    "In {his} room {he} kept a~ {colour} {thing}. It was only made of {material}, but to {hero} it was [a treasure|worth more than "
    "gold|the best thing in the "
    "world]. \"[Take good care of it|Look after it well],\" {his} {giver} had said. ",
    "One day {his} {giver} gave {him} a~ {thing}. It was {colour}, and made of {material}. \"Is it really for me?\" asked {hero}. \"[Only "
    "for you|Of course it "
    "is],\" said {his} {giver}. ",
};
constexpr std::string_view friends[] = {
    "{hero} had a friend, a~ {fkind} named {friend}. {FHe} was {ftrait}, and {fhe} could sing {song}. ",
    "Next door lived {friend} the {fkind}. {friend} was as {ftrait} as {hero} was {trait}, and so the two were [best friends|never "
    "bored|always together]. ",
    "{His} best friend was {friend}, a~ {ftrait} {fkind}. When {hero} [was sad|could not sleep|was worried], {friend} sang {song} for "
    "{him}. ",
    "[On the way|At the gate|Under a tree] {he} met {friend}, the {fkind}. \"Good morning, {hero}!\" called {friend}. {FHe} was humming "
    "{song}. ",
};
constexpr std::string_view plans[] = {
    "One {weather} [morning|day], {hero} had an idea. \"Let us go to {place},\" {he} said to {friend}, \"and [take|bring] the {colour} "
    "{thing} along!\" \"[Oh yes|"
    "Hooray|What fun],\" said {friend}. ",
    "\"Have you ever been to {place}?\" {friend} asked. \"Never,\" said {hero}, \"but I have always wished to go there.\" So they packed "
    "some {food} and the "
    "{colour} {thing} and [set off|went on their way|started out]. ",
    "{hero} wished for only one thing: to see {place}. It was a~ {weather} day, but {he} did not mind. {He} [took|picked up] {his} "
    "{colour} {thing}, called "
    "{friend}, and off they went. ",
    "That day there was to be a~ [picnic|feast|party] at {place}. \"I will bring {food},\" said {friend}. \"And I will bring my {colour} "
    "{thing},\" said {hero}. ",
};
constexpr std::string_view walks[] = {
    "{Walk} ",
    "{Walk} {friend} sang {song}, and {hero} [clapped|hummed along|danced] to it. ",
    "They walked and walked until they were hungry, and then they sat down and ate {food}. \"[Nothing tastes better|I could eat this every "
    "day],\" said {friend} "
    "the {fkind}. ",
    "On the way to {place} they met {elder}. \"Where are you going, little {kind}?\" asked {elder}. \"To {place},\" said {hero} "
    "[politely|proudly|with a smile]. "
    "\"Then [mind your step|be home before dark|keep together],\" said {elder}. ",
    "\"Are we there yet?\" asked {hero}. \"[Soon|Almost|Not yet],\" said {friend}. After a while {he} asked again, and {friend} had to "
    "laugh. ",
};
constexpr std::string_view talks[] = {
    "\"What would you do without me?\" asked {friend}. \"[I would be lost|I would be very bored|I do not want to know],\" said {hero}, and "
    "{he} meant it. ",
    "{hero} looked at {his} friend. {friend} the {fkind} was still {ftrait}, even now. [That made {him} smile|That gave {him} hope|How "
    "good that was]. ",
    "{hero} thought of {his} {giver} at {home}, and of a plate of {food}. [{He} sighed|That helped a little|{He} felt a little braver]. ",
    "\"My {giver} always says that a~ {kind} never gives up,\" said {hero}. \"And what do they say about a~ {fkind}?\" asked {friend}. "
    "They both laughed. ",
};
constexpr std::string_view endings[] = {
    "In the evening {hero} came home to {home}, tired and happy. {His} {giver} had made {food}. {He} put the {colour} {thing} [beside "
    "{his} bed|on the shelf|"
    "under {his} pillow] and told {his} {giver} everything about {place}. Then {he} [fell asleep|slept until morning|closed {his} eyes].",
    "{Weatherend} {hero} and {friend} walked home together, and {friend} sang {song} once more. And if you ever come to {home}, you may "
    "see a~ {kind} and a~ "
    "{fkind} sitting there with a~ {colour} {thing} between them.",
    "From that day on, {hero} and {friend} went to {place} every year. They always took the {colour} {thing} along, and {elder} always "
    "brought {food}.",
    "That night {his} {giver} asked, \"How was your day, my little {kind}?\" \"It was the best day of all,\" said {hero}. {He} held {his} "
    "{colour} {thing} "
    "tight, and {he} dreamed of {place}.",
    "{Weatherend} At {home} a light was burning. {His} {giver} hugged {him} for a long time. \"And who is this?\" {his} {giver} asked. "
    "\"This is {friend}, and "
    "{fhe} is the best {fkind} in the world,\" said {hero}. They all ate {food} together.",
    "{hero} never forgot that day at {place}. When {he} was old, {he} gave the {colour} {thing} to another little {kind} and told the "
    "story of {friend} the {fkind}, "
    "and of {elder}, who had helped them.",
};

}  // namespace

const Templates kOpenings = openings, kTreasures = treasures, kFriends = friends, kPlans = plans, kWalks = walks, kTalks = talks,
                kEndings = endings;

}  // namespace cpuflow::rt::corpus
