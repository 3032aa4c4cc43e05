#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// A sum that is read only where a top-k has chosen, as the gradient of its weights is, is made there alone:
///   kept * f(sum x)  ->  kept * f(sum (x where kept, else 0)), f being of sums, differences and multiples
/// Requires: after differentiate, and after sums have their form, in which conditions are outside.  Ensures: the same outputs.
/// Does not: restrict a sum whose readers have chosen by different top-k.
ir::Graph restrict_to_chosen(const ir::Graph& in);

}  // namespace cpuflow::passes
