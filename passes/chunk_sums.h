#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// The largest usual chunk that divides the positions; 0 if there is none.
uint32_t chunk_size(uint32_t positions);

/// Sums over earlier positions of three factors, `sum(s, i | s <= t: q[t,i] * k[s,i] * v[s,j])`, run by chunks of positions: within a chunk
/// as products with a small square of positions, and before it from the state that the chunks before have summed up.  Memory and work of a
/// position do not grow with the length of a sequence.
/// Requires: before normalise_sums, which would multiply two factors for all pairs of positions.  Ensures: same values.  Positions that no
/// chunk size divides, and sums that are cheaper in one piece, stay as they are.
ir::Graph chunk_sums(const ir::Graph& in);

}  // namespace cpuflow::passes
