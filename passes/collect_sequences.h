#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// What a sequence reads of chosen sequences of its micro-batch, as a sum over all of them in which each has an element of its own.
ir::Graph collect_sequences(const ir::Graph& in);

}  // namespace cpuflow::passes
