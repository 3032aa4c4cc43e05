#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Puts the nodes into an order that depends on what they compute and not on how the text is laid out: operands of commutative
/// operations are sorted by structure, and values are numbered as the outputs need them.  Texts that differ in names, the
/// order of independent statements, or the sides of sums and products become one program.
/// Requires: nothing.  Ensures: same values.
ir::Graph canonicalise(const ir::Graph& in);

}  // namespace cpuflow::passes
