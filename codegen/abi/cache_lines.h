#pragma once
#include <concepts>

namespace cpuflow::codegen {

/// Floats rounded up to whole cache lines of 64 bytes: what follows them in memory begins a line of its own.
template <std::integral Count>
constexpr Count whole_cache_lines(Count floats) {
  return (floats + 15) / 16 * 16;
}

/// Floats rounded up to an odd number of cache lines: what stands so far apart does not compete for the same places of a cache.
template <std::integral Count>
constexpr Count odd_cache_lines(Count floats) {
  return ((floats + 15) / 16 | 1) * 16;
}

}  // namespace cpuflow::codegen
