#pragma once
#include "ir/graph.h"

#include <string>
#include <vector>

namespace cpuflow::passes {

/// Adds the gradient of `loss` with respect to each node of `wrt`, as nodes and as outputs called `names`.  Source to source: every
/// operation's rule is in its op file.  A gradient has the axes of its value (as a set); what is not reached gets zeros.
/// Cycles become cycles that step the other way.
/// Requires: `loss` is Real and has no axes.  Ensures: the nodes that exist stay as they are.
void build_backward(ir::Graph& graph, ir::NodeId loss, const std::vector<ir::NodeId>& wrt, const std::vector<std::string>& names);

}  // namespace cpuflow::passes
