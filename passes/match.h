#pragma once
#include "ir/graph.h"

#include <optional>

namespace cpuflow::passes {

/// Whether an index is v, asked for every v along an axis: of an embedding, or a vocabulary.
struct Match {
  ir::NodeId index;  // does not have the axis
  ir::Axis axis;
};

/// The comparison `equal` as a match, if its input number `side` counts an axis of many elements: fewer are compared at once in a few vectors.
std::optional<Match> match_of(const ir::Graph& graph, const ir::Node& equal, size_t side);

/// Fewer elements along an axis are compared at once.
inline constexpr uint32_t kManyMatches = 64;

}  // namespace cpuflow::passes
