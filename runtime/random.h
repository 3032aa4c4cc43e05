#pragma once
#include <array>
#include <cstdint>

namespace cpuflow::rt {

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011): four random words that are a pure
/// function of a 128-bit counter and a 64-bit key.
inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, uint64_t key) {
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0], b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(a)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// Number `index` of the stream (`key`, `stream`) as two words of 64 bits.
inline std::array<uint64_t, 2> random_words(uint64_t key, uint64_t stream, uint64_t index) {
  const std::array<uint32_t, 4> r = philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), static_cast<uint32_t>(stream),
                                            static_cast<uint32_t>(stream >> 32)},
                                           key);
  return {uint64_t{r[1]} << 32 | r[0], uint64_t{r[3]} << 32 | r[2]};
}

/// 53 random bits as a number in [0, 1).
inline double unit_interval(uint64_t word) { return static_cast<double>(word >> 11) * 0x1p-53; }

}  // namespace cpuflow::rt
