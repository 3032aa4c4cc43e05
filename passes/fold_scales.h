#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// The scale and the bias of a norm join the linear maps behind it: sum over k of W[n][k] (s[k] y[k] + b[k]) is
/// sum over k of (W[n][k] s[k]) y[k] + sum over k of W[n][k] b[k].  What is in brackets, and the second sum, is known once a step, and the gradients of
/// W, s and b follow from theirs once a step; what a position keeps for the backward pass is y alone.
/// Where it pays: everything that reads the scaled value is such a map, a map has few results beside the positions of a micro-batch, and products take
/// bf16: in float32 they take so long that nothing is gained.
/// Requires: before differentiate, after normalise_sums.  Ensures: the same values but for rounding.
ir::Graph fold_scales(const ir::Graph& in);

}  // namespace cpuflow::passes
