#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// A sum whose condition leaves few indices of an axis (at most three of four) is computed for those only: `sum(t | t % 16 == 0: e)` becomes a sum over an
/// axis of the chosen positions, and what only that sum needs is computed at those positions.
/// Requires: before differentiate, so that gradients are restricted as well.  Ensures: same values.
/// Does not: restrict a value that is needed in full elsewhere; it is read at the chosen positions.
ir::Graph restrict_rows(const ir::Graph& in);

}  // namespace cpuflow::passes
