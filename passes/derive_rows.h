#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Adds the output "rows.logits": the logits in the form in which they cost least when positions come one at a time.  Sums over earlier positions are
/// carried as running states, and sums over a chunk are collected.  Where that form is the same, no output is added.
/// Requires: before what brings sums into the form for whole sequences.  Ensures: same values.
ir::Graph derive_rows(const ir::Graph& in);

}  // namespace cpuflow::passes
