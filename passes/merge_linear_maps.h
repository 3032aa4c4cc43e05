#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Linear maps with nothing between them become one: sum over j of A[i][j] (sum over k of B[j][k] y[k]) is sum over k of (sum over j of A[i][j] B[j][k]) y[k].
/// The matrix in brackets is known once a step, and so are the gradients of A and B, by the chain rule from its own.
/// Where it pays: multiply-adds of a micro-batch without the map in the middle, and those of the matrix, are fewer.
/// Requires: before differentiate, after normalise_sums.  Ensures: the same values but for rounding.
ir::Graph merge_linear_maps(const ir::Graph& in);

}  // namespace cpuflow::passes
