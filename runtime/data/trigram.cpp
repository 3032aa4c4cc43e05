#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "runtime/data/corpus.h"

namespace cpuflow::rt {
namespace {

/// What follows one context: total count, and how many continuations occur once, twice, more often.
struct Context {
  uint64_t total = 0;
  std::array<uint32_t, 3> kinds{};
};

/// Counts of one order, raw or of continuations, with the three discounts of modified Kneser-Ney.
struct Level {
  std::unordered_map<uint64_t, uint32_t> counts;  // context << 21 | id
  std::unordered_map<uint64_t, Context> contexts;
  std::array<double, 3> discount{};

  void finish() {
    std::array<double, 5> of{};  // of[r]: how many entries have count r
    for (const auto& [key, count] : counts) {
      if (count <= 4) of[count] += 1;
      Context& context = contexts[key >> 21];
      context.total += count;
      ++context.kinds[std::min<uint32_t>(count, 3) - 1];
    }
    const double y = of[1] > 0 ? of[1] / (of[1] + 2 * of[2]) : 0.5;
    for (int r = 1; r <= 3; ++r) {
      const double estimate = of[r] > 0 ? r - (r + 1) * y * of[r + 1] / of[r] : 0.5 * r;
      discount[r - 1] = std::clamp(estimate, 0.05, r - 0.05);
    }
  }

  /// Probability of `id` in `context`, given that of the lower order.
  double probability(uint64_t context, uint32_t id, double lower) const {
    const auto seen = contexts.find(context);
    if (seen == contexts.end()) return lower;
    const Context& c = seen->second;
    const double total = static_cast<double>(c.total);
    double kept = 0, left = 0;
    for (int r = 0; r < 3; ++r) left += discount[r] * c.kinds[r];
    const auto count = counts.find(context << 21 | id);
    if (count != counts.end()) kept = count->second - discount[std::min<uint32_t>(count->second, 3) - 1];
    return (kept + left * lower) / total;
  }
};

}  // namespace

double trigram_cross_entropy(const TokenIds& train, const TokenIds& valid, uint32_t vocab) {
  if (vocab == 0 || vocab > (1u << 21))
    throw DataError(fmt::format("a trigram model needs a vocabulary of 1 to {}, not {}", 1u << 21, vocab));
  for (const TokenIds* ids : {&train, &valid}) {
    if (ids->size() < 3) throw DataError(fmt::format("a trigram model needs at least 3 ids, {} are there", ids->size()));
    for (uint64_t i = 0; i < ids->size(); ++i) {
      if ((*ids)[i] >= vocab) throw DataError(fmt::format("id {} at position {} is not below {}", (*ids)[i], i, vocab));
    }
  }
  const auto pair = [](uint64_t a, uint64_t b) { return a << 21 | b; };
  Level three, two, one;
  for (uint64_t i = 2; i < train.size(); ++i) ++three.counts[pair(train[i - 2], train[i - 1]) << 21 | train[i]];
  // Lower orders count in how many different contexts an id follows.
  for (const auto& [key, count] : three.counts) ++two.counts[key & ((uint64_t{1} << 42) - 1)];
  for (const auto& [key, count] : two.counts) ++one.counts[key & ((uint64_t{1} << 21) - 1)];
  for (Level* level : {&three, &two, &one}) level->finish();
  double nats = 0;
  for (uint64_t i = 2; i < valid.size(); ++i) {
    double p = one.probability(0, valid[i], 1.0 / vocab);
    p = two.probability(valid[i - 1], valid[i], p);
    p = three.probability(pair(valid[i - 2], valid[i - 1]), valid[i], p);
    nats -= std::log(p);
  }
  return nats / static_cast<double>(valid.size() - 2);
}

}  // namespace cpuflow::rt
