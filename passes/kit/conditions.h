#pragma once
#include "ir/graph.h"

#include <optional>
#include <vector>

namespace cpuflow::passes {

/// Whether a condition follows from positions alone, element by element.
bool is_about_positions(const ir::Graph& graph, ir::NodeId condition);

/// Whether a condition is a comparison of sums of positions that holds at all positions.
bool holds_everywhere(const ir::Graph& graph, ir::NodeId condition);

/// Whether conditions are known to leave each row, which is an element of the other axes, a position of `s`.
bool hold_in_each_row(const ir::Graph& graph, const std::vector<ir::NodeId>& conditions, const ir::Axis& s);

/// For each position of `axis` whether all conditions hold there; nothing where they are not about that axis alone.
std::optional<std::vector<bool>> hold_along(const ir::Graph& graph, const std::vector<ir::NodeId>& conditions, const ir::Axis& axis);

/// The condition that all conditions hold together anywhere along `over`; kNoNode where they surely do.
ir::NodeId anywhere(ir::Graph& graph, const std::vector<ir::NodeId>& conditions, const ir::Axes& over);

}  // namespace cpuflow::passes
