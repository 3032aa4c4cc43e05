#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Removes `stop`, which only differentiation looks at.  Requires: after differentiate.
ir::Graph drop_stops(const ir::Graph& in);

}  // namespace cpuflow::passes
