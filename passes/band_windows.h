#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Reductions over a window of earlier positions, `softmax(s | s <= t, t - s < W: ..)`, run over a band: positions in chunks, and for
/// each chunk the positions from W - 1 before it to its end.  Memory and work of a position do not grow with the length of a sequence.
/// Requires: before normalise_sums.  Ensures: same values.  Positions that no chunk size divides, and windows that are not much smaller
/// than the sequence, stay as they are.
ir::Graph band_windows(const ir::Graph& in);

}  // namespace cpuflow::passes
