#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// A prefix sum over positions carries, besides the sum, what its roundings have lost (Kahan 1965, "Further remarks on reducing
/// truncation errors"): the error of a sum of T terms no longer grows with T.
/// Where products take bf16 it would not be seen: their operands err by 2^-9.
/// Requires: after everything that recognises prefix sums.  Ensures: same values up to rounding.
ir::Graph compensate_sums(const ir::Graph& in);

}  // namespace cpuflow::passes
