#pragma once
#include "ir/graph.h"

namespace cpuflow::passes::lower {

/// Whether the outputs of a graph stay the same, but for rounding, if each element of `reference` is replaced by any other number: as the largest logit,
/// that a softmax subtracts and a loss adds again.  Values on the way may be exp(difference) as large, or as small, but not the square of that.  False where that is not
/// seen.
bool any_reference_does(const ir::Graph& graph, ir::NodeId reference);

}  // namespace cpuflow::passes::lower
