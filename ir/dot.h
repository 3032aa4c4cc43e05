#pragma once
#include "ir/graph.h"

#include <string>

namespace cpuflow::ir {

/// The Graph for Graphviz: parameters and inputs as boxes, carries' first inputs as dashed edges.
std::string to_dot(const Graph& graph);

}  // namespace cpuflow::ir
