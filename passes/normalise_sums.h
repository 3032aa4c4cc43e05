#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Brings every sum into its normal form: factors that do not depend on the summed axes stand outside, sums over earlier (or later)
/// positions are prefix sums, and a sum of three or more factors is a chain of sums of two, cheapest first.
/// Requires: nothing.  Ensures: same values up to rounding; a sum is over one factor, or over a product of two of which each has an axis that the other lacks.
/// Conditions stay on the factor that has their axes: what they exclude is zero, even where another factor is not finite.
ir::Graph normalise_sums(const ir::Graph& in);

/// The normal form of one Sum node whose inputs are nodes of `graph`; `by_row`: for rows that are made one at a time, where a prefix sum
/// of a product of factors is a state and costs less than products over all earlier rows.
ir::NodeId normal_sum(ir::Graph& graph, const ir::Node& sum, bool by_row);

}  // namespace cpuflow::passes
