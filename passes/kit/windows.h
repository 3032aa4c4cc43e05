#pragma once
#include "ir/graph.h"

#include <map>
#include <optional>

namespace cpuflow::passes {

/// The positions `t - size < s <= t`; where size is that of the axis, all that are not later than t.
struct Window {
  ir::Axis t, s;
  int64_t size = 0;
};

/// What is known of the positions s, seen from each axis t.
struct Limit {
  bool not_later = false;
  int64_t size = INT64_MAX;  // t - s < size
};
using Limits = std::map<ir::Axis, Limit>;

/// Where a condition can hold.
Limits limits_of(const ir::Graph& graph, ir::NodeId condition, const ir::Axis& s);

/// Whether a condition is known to hold where the position s is that of another axis, so that no row is without any.
bool holds_at_own_position(const ir::Graph& graph, ir::NodeId condition, const ir::Axis& s);

/// Where a value can be other than `otherwise`.
Limits support(const ir::Graph& graph, ir::NodeId value, const ir::Axis& s, double otherwise);

/// Where elements of what a reduction reduces can change its result, whichever axes it reduces; nowhere known of other nodes.
Limits effect(const ir::Graph& graph, ir::NodeId reduction, const ir::Axis& s);

/// The window that limits describe, if they do.
std::optional<Window> window_of(const Limits& limits, const ir::Axis& s);

}  // namespace cpuflow::passes
