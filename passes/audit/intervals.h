#pragma once
#include "ir/graph.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace cpuflow::passes::audit {

/// Every element of a value lies in low .. high (both included where finite); `positive`: zero is excluded though it is the bound.
struct Interval {
  double low = 0, high = 0;
  bool empty = true;     // nothing is known to get here yet
  bool positive = false;
  bool has_zero() const { return !empty && low <= 0 && high >= 0 && !(positive && low == 0); }
};

/// The lowest and highest value that training leaves to parameters, by the text of their nodes; those that are missing may be any number.
using ParamRanges = std::map<std::string, std::pair<double, double>>;

/// Interval of each node, in real arithmetic, for any parameters in their ranges, tokens and random numbers.  Reference: Moore, "Interval Analysis", 1966;
/// cycles are widened as in Cousot and Cousot, "Abstract interpretation", 1977.
std::vector<Interval> intervals(const ir::Graph& graph, const ParamRanges& ranges = {});

}  // namespace cpuflow::passes::audit
