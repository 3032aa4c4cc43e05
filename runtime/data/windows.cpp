#include "runtime/data/windows.h"

#include <fmt/format.h>

#include <bit>

namespace cpuflow::rt {
namespace {

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit changes every output bit.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t permuted(uint64_t i, uint64_t n, uint64_t key) {
  constexpr int kRounds = 6;
  const int half = (std::bit_width(n - 1) + 1) / 2;
  if (half == 0) return 0;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  do {
    uint64_t left = i >> half, right = i & mask;
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t next = left ^ (mix(right ^ mix(key + static_cast<uint64_t>(round))) & mask);
      left = right;
      right = next;
    }
    i = left << half | right;
  } while (i >= n);
  return i;
}

Windows::Windows(const TokenData& data, uint32_t T) : data_(&data), T_(T) {
  if (data.ids.size() < uint64_t{T} + 1 || T == 0) {
    throw DataError(fmt::format("{}: {} token ids, and one window of T = {} needs {}; give more text, or take a smaller T (--set T={})",
                                data.name, data.ids.size(), T, uint64_t{T} + 1,
                                data.ids.size() > 2 ? std::bit_floor(data.ids.size() - 1) : 1));
  }
}

void Windows::copy(uint64_t w, int32_t* tokens, int32_t* targets) const {
  data_->ids.copy(w * T_, T_, tokens);
  data_->ids.copy(w * T_ + 1, T_, targets);
}

WindowOrder::Kind WindowOrder::parse_kind(std::string_view text) {
  if (text == "sequential") return Kind::Sequential;
  if (text == "shuffled") return Kind::Shuffled;
  throw DataError(fmt::format("order '{}' is not known; it is sequential or shuffled", text));
}

WindowOrder::WindowOrder(Kind kind, uint64_t windows, uint64_t batch, uint64_t seed)
    : kind_(kind), windows_(windows), batch_(batch), seed_(seed) {
  if (windows == 0) throw DataError("there is no window of text to train on");
  if (batch == 0) throw DataError("the batch must have at least one window");
}

uint64_t WindowOrder::window(uint64_t step, uint64_t row) const {
  const uint64_t n = step * batch_ + row;
  if (kind_ == Kind::Sequential) return n % windows_;
  return permuted(n % windows_, windows_, mix(seed_) ^ mix(~(n / windows_)));
}

}  // namespace cpuflow::rt
