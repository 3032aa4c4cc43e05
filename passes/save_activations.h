#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// What the backward pass reads of the forward pass of every layer becomes a value of its own (`saved`), which programs of bf16 keep in two bytes.
/// The forward pass, and all that it gives back, stays as it is: it reads what was not rounded.
///
/// Rounding does no harm to factors.  These stay what they are: what a gradient compares, chooses by or takes a function of, what it subtracts from
/// something similar, what it multiplies the state of a recurrence with, where errors would add up, and what is no larger than a few numbers a row.
///
/// Where the backward pass reads both x and x / r, with one r for a row, as that of a norm does, only x / r is saved: x is that times r.  Where it reads x,
/// but only where conditions hold, and (x where they hold, else 0), only the latter is saved.  What follows by cheap operations from copies, or from few
/// numbers that many share, is computed from them, unless a product reads it.
/// Requires: nothing behind it looks for the form of gradients.  Ensures: the same values but for rounding.
ir::Graph save_activations(const ir::Graph& in);

/// For programs of float32: where the backward pass reads x only where conditions hold, and (x where they hold, else 0), it reads the latter alone,
/// so that one of the two is kept.  Requires: as above.  Ensures: the same values.
ir::Graph save_masked(const ir::Graph& in);

}  // namespace cpuflow::passes
