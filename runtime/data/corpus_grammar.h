#pragma once
#include <array>
#include <span>
#include <string_view>

namespace cpuflow::rt::corpus {

/// Templates: `[a|b]` is one of the alternatives, also nested; `{name}` is what the story has chosen; `a~` is "a" or "an".
using Templates = std::span<const std::string_view>;

/// One kind of trouble, told in four parts; the lesson belongs to the trouble.
struct Plot {
  Templates trouble, help, turn, lesson;
};

/// Each list has one role, and no word stands in two of them: a word that comes back in a story means the same thing again.
extern const Templates kGirls, kBoys, kTraits;
/// Things that belong together: a companion, its kind and its song; a treasure's colour and name; a place and who lives there; a member of
/// the family and what they cook.
extern const std::span<const std::array<std::string_view, 3>> kCompanions;
extern const std::span<const std::array<std::string_view, 2>> kTreasureWords, kPlaces, kFamilies;
extern const Templates kOpenings, kFriendships, kTreasures, kPlans, kWalks, kEndings;
extern const std::span<const Plot> kPlots;

}  // namespace cpuflow::rt::corpus
