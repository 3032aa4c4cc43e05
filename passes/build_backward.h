#pragma once
#include "ir/graph.h"

#include <string>
#include <string_view>
#include <vector>

namespace cpuflow::passes {

/// The name of a value's gradient: this and the value's name.
inline constexpr std::string_view kGradientOf = "grad_";

/// Adds the gradient of `loss` with respect to each node of `wrt`, as nodes and as outputs called `names`.  Source to source: every
/// operation's rule is in its op file.  A gradient has the axes of its value (as a set); what is not reached gets zeros.
/// Cycles become cycles that step the other way.
/// Gradients of named values have names.
/// Requires: `loss` is Real and has no axes.  Ensures: the nodes that exist stay as they are.
void build_backward(ir::Graph& graph, ir::NodeId loss, const std::vector<ir::NodeId>& wrt, const std::vector<std::string>& names);

}  // namespace cpuflow::passes
