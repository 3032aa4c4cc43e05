#pragma once
#include "ir/graph.h"

#include <functional>
#include <vector>

namespace cpuflow::passes {

/// What takes the place of a node.  `node` is a copy of the node whose inputs are nodes of `out`; `id` is its number in the old
/// graph, and `map` says what the old nodes before it have become.  kNoNode: the node itself.
using Replace = std::function<ir::NodeId(ir::Graph& out, const ir::Node& node, ir::NodeId id, const std::vector<ir::NodeId>& map)>;

/// Copies what the outputs need, with replacements; names and places are carried over.  Carries are copied as they are.
ir::Graph rewrite(const ir::Graph& in, const Replace& replace);

/// `rewrite` without replacements: what the outputs need.
ir::Graph pruned(const ir::Graph& in);

/// A Replace that keeps every node.
inline ir::NodeId keep(ir::Graph&, const ir::Node&, ir::NodeId, const std::vector<ir::NodeId>&) { return ir::kNoNode; }

/// `rewrite`, added to a graph that has nodes already, and without its outputs; what each node of `in` became.
std::vector<ir::NodeId> rewrite_into(ir::Graph& out, const ir::Graph& in, const Replace& replace);

/// `rewrite` for sequences that are there as a whole.  What makes rows of logits one at a time keeps its form: as the output "rows.logits", if there is a difference.
ir::Graph rewrite_whole(const ir::Graph& in, const Replace& replace);

/// The users of each node, each once, in order.
std::vector<std::vector<ir::NodeId>> users_of(const ir::Graph& graph);

/// Whether `roots` need each node.
std::vector<bool> reachable(const ir::Graph& graph, const std::vector<ir::NodeId>& roots);

/// Strongly connected components with a cycle: component number of each node, or -1.  Carries along an axis for which `cut` holds are not followed.
std::vector<int> cycles(const ir::Graph& graph, const std::function<bool(const ir::Node&)>& cut);

}  // namespace cpuflow::passes
