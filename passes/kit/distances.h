#pragma once
#include "ir/graph.h"

#include <vector>

namespace cpuflow::passes {

/// A value of pairs of positions that depends on nothing but parameters and the distance of the two, as a decay a[i]^(t - s), is a filter f[j,i] read at j = t - s: the
/// graph computes T numbers of a channel instead of T^2.  Requires: what `conditions` exclude is not read, and is 0 then.  kNoNode where the value is another one,
/// where no condition says s <= t, or where all pairs are few enough to be kept.
ir::NodeId as_filter(ir::Graph& graph, ir::NodeId value, const std::vector<ir::NodeId>& conditions);

}  // namespace cpuflow::passes
