#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Terms of a sum that are multiples of x - mean(x), the mean being taken over what is summed, are left out: they sum to 0.  The gradient of a LayerNorm
/// subtracts such a sum, which would wait for the one before it.
/// Requires: after use_reciprocals (a mean is a sum times a constant).  Ensures: the same values but for rounding.
ir::Graph drop_deviations(const ir::Graph& in);

}  // namespace cpuflow::passes
