#pragma once
#include <span>
#include <string_view>

namespace cpuflow::rt::corpus {

/// Templates: `[a|b]` is one of the alternatives, also nested; `{name}` is what the story has chosen; `a~` is "a" or "an".
using Templates = std::span<const std::string_view>;

/// One kind of trouble, told in five parts; the lesson belongs to the trouble.
struct Plot {
  Templates trouble, attempt, help, resolution, lesson;
};

extern const Templates kGirls, kBoys, kSpecies, kTraits, kHomes, kPlaces, kThings, kColours, kMaterials, kGivers, kFoods, kWeathers,
    kElders, kSongs;
extern const Templates kOpenings, kTreasures, kFriends, kPlans, kWalks, kTalks, kEndings;
extern const std::span<const Plot> kPlots;

}  // namespace cpuflow::rt::corpus
