#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Sums that see positions by chunks, `sum(t | t // C == n: ..)` and `sum(.. x[t] * m[t // C - 1] ..)`, run over chunks and the positions
/// of a chunk: they are products of matrices then, one for each chunk.
/// Requires: before normalise_sums; chunks that divide the positions (others stay as they are).  Ensures: same values.
ir::Graph split_chunks(const ir::Graph& in);

}  // namespace cpuflow::passes
