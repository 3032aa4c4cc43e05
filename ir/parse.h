#pragma once
#include "ir/graph.h"

#include <string>

namespace cpuflow::ir {

/// The Graph of a text that `print` wrote or a person did; printed again it is the same text.  Nodes keep the places named in their
/// comments.  Throws ModelError with path, line and column.
Graph parse(const std::string& text, const std::string& path = "graph.ir");

}  // namespace cpuflow::ir
