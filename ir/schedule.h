#pragma once
#include "ir/graph.h"

#include <set>
#include <vector>

namespace cpuflow::ir {

/// The order in which a Graph can be evaluated: nodes, and cycles that are stepped along an axis.
struct ScheduleItem {
  NodeId node = kNoNode;           // or, if kNoNode, a cycle:
  Axis axis;                       // stepped along this axis,
  int64_t step = 1;                // +1 from index 0 up, -1 from the last index down;
  std::vector<ScheduleItem> body;  // at each index these in order, where carries along `axis` read the slice before
};

/// Schedules `nodes`; what else they read is known already.  Throws InternalError for a cycle that cannot be stepped.
std::vector<ScheduleItem> schedule(const Graph& graph, const std::vector<NodeId>& nodes, const std::set<Axis>& stepped = {});

/// The strongly connected components of `nodes`, inputs first.  The first inputs of carries along the axes `stepped` are not followed.
std::vector<std::vector<NodeId>> components(const Graph& graph, const std::vector<NodeId>& nodes, const std::set<Axis>& stepped = {});

/// Whether a component is a cycle: more than one node, or one that reads itself.
bool is_cycle(const Graph& graph, const std::vector<NodeId>& component, const std::set<Axis>& stepped = {});

/// The nodes that `roots` need, in order; what carries that are still open will read is not among them.
std::vector<NodeId> needed_by(const Graph& graph, const std::vector<NodeId>& roots);

}  // namespace cpuflow::ir
