#pragma once
#include "ir/graph.h"

#include <vector>

namespace cpuflow::passes::audit {

/// Every element of a value lies in low .. high (both included where finite); `positive`: zero is excluded though it is the bound.
struct Interval {
  double low = 0, high = 0;
  bool empty = true;     // nothing is known to get here yet
  bool positive = false;
  bool has_zero() const { return !empty && low <= 0 && high >= 0 && !(positive && low == 0); }
};

/// Interval of each node, in real arithmetic, for any parameters, tokens and random numbers.  Reference: Moore, "Interval Analysis", 1966;
/// cycles are widened as in Cousot and Cousot, "Abstract interpretation", 1977.
std::vector<Interval> intervals(const ir::Graph& graph);

}  // namespace cpuflow::passes::audit
