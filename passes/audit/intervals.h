#pragma once
#include "ir/graph.h"
#include "ir/interval.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace cpuflow::passes::audit {

/// The lowest and highest value that training leaves to parameters, by the text of their nodes; those that are missing may be any number.
using ParamRanges = std::map<std::string, std::pair<double, double>>;

/// Interval of each node, in real arithmetic, for any parameters in their ranges, tokens and random numbers;
/// cycles are widened as in Cousot and Cousot, "Abstract interpretation", 1977.
std::vector<ir::Interval> intervals(const ir::Graph& graph, const ParamRanges& ranges = {});

}  // namespace cpuflow::passes::audit
