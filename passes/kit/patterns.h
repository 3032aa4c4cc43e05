#pragma once
#include "ir/graph.h"

#include <optional>
#include <vector>

namespace cpuflow::passes {

// What many passes look for in a Graph.

/// The constant 0.
bool is_zero(const ir::Graph& graph, ir::NodeId id);

/// Whether a value is what a condition lets through, and 0 elsewhere.
bool is_zero_else(const ir::Graph& graph, ir::NodeId id);

/// Whether a value is the index along its axis.
bool is_counter(const ir::Node& node);

/// The value without stops.
ir::NodeId without_stops(const ir::Graph& graph, ir::NodeId id);

/// The Max that a value is, perhaps with a constant where there is no element; kNoNode if it is none.
ir::NodeId as_maximum(const ir::Graph& graph, ir::NodeId id);

/// Whether `top` is max(x), along all of an axis; that may have another name there.
bool is_maximum_of(const ir::Graph& graph, ir::NodeId top, ir::NodeId x);

/// Whether `total` is max(x) + log(sum(exp(x - max(x)))): it is not below max(x).
bool is_logsumexp_of(const ir::Graph& graph, ir::NodeId total, ir::NodeId x);

/// The conditions that `condition` is the conjunction of.
std::vector<ir::NodeId> conjuncts(const ir::Graph& graph, ir::NodeId condition);

/// The axes that any of the values has.
ir::Axes all_axes(const ir::Graph& graph, const std::vector<ir::NodeId>& values);

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
