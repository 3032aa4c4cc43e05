#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// What a sequence reads of chosen sequences of its micro-batch, as a sum over all of them in which each has an element of its own.
ir::Graph collect_sequences(const ir::Graph& in);

/// Whether a sum is such a collection.  Nothing may leave it: a parameter outside would have a gradient made of sums over all sequences, which other sequences read.
bool is_collected(const ir::Graph& graph, const ir::Node& sum);

}  // namespace cpuflow::passes
