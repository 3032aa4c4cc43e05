#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// A product of matrices adds so many terms in the time that one takes that is looked up, as those that are not 0.
inline constexpr int64_t kTermsAtOnce = 8;

/// At most so many elements of a value along an axis are not 0, as a top-k leaves them; the size of the axis where nothing is known.
int64_t most_nonzeros(const ir::Graph& graph, ir::NodeId id, const ir::Axis& axis);

}  // namespace cpuflow::passes
