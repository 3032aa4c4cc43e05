#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// A division of many values by one becomes a multiplication by its reciprocal: one division for a row, not one for each element.
/// Requires: after differentiate.  Ensures: same values up to one rounding.
ir::Graph use_reciprocals(const ir::Graph& in);

}  // namespace cpuflow::passes
