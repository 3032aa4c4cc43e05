#pragma once
#include <cstdint>
#include <string_view>

/// Random draws are a function of where they stand: nothing is kept between them, and resuming costs nothing.
namespace cpuflow::ir {

/// Streams whose draws matter in training only: an evaluation takes 1 for each.  Followed by a number.
inline constexpr const char* kDropoutStream = "drop";

/// The number of a stream of draws (FNV-1a of its name).
constexpr uint32_t stream_number(std::string_view name) {
  uint32_t h = 0x811c9dc5u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x01000193u;
  return h;
}

/// Uniform in [0, 1): what kernel::uniform (codegen/prelude/loops.h) draws for the run's seed, the number of the micro-batch, the
/// sequence in it, the stream and the element.
constexpr double uniform_draw(uint64_t seed, uint64_t counter, uint64_t sequence, uint32_t stream, uint32_t element) {
  uint64_t z = seed + 0x9e3779b97f4a7c15ull * ((counter << 32) + sequence + 1);
  z ^= (static_cast<uint64_t>(stream) << 32) | element;
  for (int round = 0; round < 2; ++round) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
  }
  return static_cast<double>(z >> 40) * 0x1p-24;
}

}  // namespace cpuflow::ir
