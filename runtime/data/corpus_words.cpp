#include "runtime/data/corpus_grammar.h"

namespace cpuflow::rt::corpus {
namespace {

constexpr std::string_view girls[] = {"Mira",  "Tilda", "Nora",  "Pippa",  "Anouk", "Lotte",  "Sela",  "Wilma",  "Greta",  "Ivy",
                                      "Juno",  "Kaya",  "Lumi",  "Maren",  "Nilla", "Odette", "Petra", "Quilla", "Rosie",  "Saskia",
                                      "Thea",  "Una",   "Vera",  "Winnie", "Yara",  "Zelda",  "Amber", "Bea",    "Clover", "Dora",
                                      "Elsie", "Fern",  "Gilda", "Hazel",  "Inga",  "Josie",  "Kiri",  "Lila",   "Mabel",  "Nettie",
                                      "Olive", "Poppy", "Rhea",  "Suki",   "Tansy", "Ursa",   "Viola", "Willa"};
constexpr std::string_view boys[] = {"Anton", "Bruno", "Caspar", "Dill",    "Emil",  "Finn",    "Gustav",  "Hugo",   "Ivo",   "Jasper",
                                     "Kip",   "Leo",   "Milo",   "Nils",    "Oskar", "Pim",     "Quentin", "Rufus",  "Sami",  "Tobi",
                                     "Ulf",   "Viggo", "Wendel", "Yannick", "Zeno",  "Arlo",    "Basil",   "Corin",  "Digby", "Ezra",
                                     "Felix", "Gus",   "Henrik", "Igor",    "Jonas", "Kasimir", "Linus",   "Magnus", "Ned",   "Otto",
                                     "Percy", "Quill", "Ralf",   "Sven",    "Theo",  "Umber",   "Vito",    "Walt"};
constexpr std::string_view species[] = {"fox",     "rabbit", "hedgehog", "bear",    "mouse",  "otter",  "squirrel", "badger",
                                        "mole",    "duck",   "goat",     "puppy",   "kitten", "beaver", "piglet",   "lamb",
                                        "raccoon", "frog",   "crow",     "sparrow", "turtle", "deer"};
constexpr std::string_view traits[] = {"curious", "shy",    "cheerful", "clever",   "sleepy", "brave", "gentle", "noisy",
                                       "careful", "dreamy", "busy",     "stubborn", "funny",  "quiet", "eager",  "playful"};
constexpr std::string_view homes[] = {"the old mill",       "the edge of the forest", "the hollow oak", "the little blue house",
                                      "the riverbank",      "the foot of the hill",   "the harbour",    "the hay barn",
                                      "the bakery",         "the end of the lane",    "the canal lock", "the apple orchard",
                                      "the village square", "the cottage by the sea"};
constexpr std::string_view places[] = {"the windy hill",  "the silver lake", "the old bridge",  "the tall lighthouse",
                                       "the mossy cave",  "the market",      "the far meadow",  "the beach",
                                       "the pine forest", "the castle ruin", "the waterfall",   "the train station",
                                       "the rose garden", "the island",      "the stone tower", "the pumpkin field"};
constexpr std::string_view things[] = {"kite", "lantern", "drum", "scarf",   "basket", "boat",   "bell",    "umbrella",
                                       "ball", "whistle", "hat",  "wagon",   "button", "marble", "blanket", "key",
                                       "book", "flute",   "cup",  "compass", "sled",   "puppet", "ring",    "music box"};
constexpr std::string_view colours[] = {"red",    "blue",   "green", "yellow", "purple", "orange",
                                        "silver", "golden", "white", "pink",   "brown",  "striped"};
constexpr std::string_view materials[] = {"wood", "paper", "wool", "tin", "glass", "clay", "leather", "straw"};
constexpr std::string_view givers[] = {"grandmother", "grandfather", "mother", "father", "uncle", "aunt", "big sister", "big brother"};
constexpr std::string_view foods[] = {"blueberry pie", "warm soup",    "pancakes",      "honey bread", "plum cake",   "roasted chestnuts",
                                      "apple tart",    "cheese rolls", "cinnamon buns", "carrot stew", "nut cookies", "pear jam"};
constexpr std::string_view weathers[] = {"sunny", "rainy", "snowy", "windy", "foggy", "frosty"};
constexpr std::string_view elders[] = {"Mrs Owl",  "Old Badger",    "Grandmother Goose", "Mr Heron",     "Aunt Tortoise", "Captain Gull",
                                       "Mrs Hare", "Old Mr Beetle", "Miss Magpie",       "Uncle Walrus", "Mrs Stork",     "Mr Toad"};
constexpr std::string_view songs[] = {"a song about the moon",       "a song about the sea", "a song about a lazy cloud",
                                      "an old sailing song",         "a counting song",      "a song about the stars",
                                      "a song about falling leaves", "a sleepy song"};

}  // namespace

const Templates kGirls = girls, kBoys = boys, kSpecies = species, kTraits = traits, kHomes = homes, kPlaces = places, kThings = things,
                kColours = colours, kMaterials = materials, kGivers = givers, kFoods = foods, kWeathers = weathers, kElders = elders,
                kSongs = songs;

}  // namespace cpuflow::rt::corpus
