#pragma once
#include "ir/graph.h"
#include "ir/interval.h"
#include "passes/audit/numbers.h"

#include <vector>

namespace cpuflow::passes::audit {

/// Interval of each node, in real arithmetic, for any parameters in their ranges, tokens and random numbers;
/// cycles are widened as in Cousot and Cousot, "Abstract interpretation", 1977.
std::vector<ir::Interval> intervals(const ir::Graph& graph, const ParamRanges& ranges = {});

}  // namespace cpuflow::passes::audit
