#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Turns scatters whose target is known into reads: `out[j] = x at the i with index(i) == j`.
/// Requires: nothing.  Ensures: same values; a scatter that is left has an index that depends on data.
/// Handles: no summed axis (a comparison), an index affine in one summed axis (its inverse), sums of axes (`t + w`: solved for the longer one, so that few terms are left).
ir::Graph solve_scatters(const ir::Graph& in);

}  // namespace cpuflow::passes
