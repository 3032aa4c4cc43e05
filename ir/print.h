#pragma once
#include "ir/graph.h"

#include <string>

namespace cpuflow::ir {

/// The text form (grammar: README.md): one node a line, the outputs at the end.
std::string print(const Graph& graph);
/// The line of one node, without its place.
std::string print_node(const Graph& graph, NodeId id);

const char* dtype_name(DType type);

}  // namespace cpuflow::ir
