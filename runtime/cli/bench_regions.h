#pragma once
#include <string>
#include <vector>

#include "runtime/cli/bench_program.h"

namespace cpuflow::cli {

/// One region of a forward and backward pass.
struct RegionTime {
  std::string name;   // function, number in it, value
  double share = 0;   // of the time
  double flops = 0, bytes = 0;  // a token
  double unfused_share = 0, unfused_bytes = 0;  // of a fused region: what the regions of unfused code that compute the same values take
};

/// Where the time of one forward and backward pass goes, the longest first.  Both were compiled with counters.  `fused` tells what each of its
/// regions saves: unfused code computes a value in a region of its own, which counts where fused code computes the value, or what reads it.
struct RegionTimes {
  std::vector<RegionTime> fused, unfused;
};
RegionTimes region_times(BenchProgram& fused, BenchProgram& unfused);

}  // namespace cpuflow::cli
