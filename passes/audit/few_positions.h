#pragma once
#include "ir/graph.h"

#include <optional>

namespace cpuflow::passes::audit {

/// How many positions show everything that the equations of a model say of positions, or nothing where fewer than all may hide something.
/// `model` and `fewer` are the same model, with all of its positions and with fewer: they must differ in nothing but sizes and in numbers that
/// are about T.  What chooses (conditions, indices) must be comparisons of positions with each other, shifted by numbers, or of their
/// chunks: such a condition shows both sides of itself at a few positions.  Counters, real numbers in conditions, chunks of chunks and the like
/// may do something else later.
std::optional<int64_t> positions_that_show(const ir::Graph& model, const ir::Graph& fewer);

/// Whether two Graphs of a model at other sizes have the same operations, and axes and numbers that differ by these sizes only: T, its chunks, or B.
bool same_but_for_size(const ir::Graph& a, const ir::Graph& b);

}  // namespace cpuflow::passes::audit
