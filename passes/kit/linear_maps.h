#pragma once
#include "ir/graph.h"

#include <optional>
#include <vector>

namespace cpuflow::passes {

/// A sum over `over` of matrix * x, where the matrix is made of parameters alone, and x is not.
struct LinearMap {
  ir::NodeId matrix, x;
  ir::Axes over;
};

/// The linear maps of a Graph.  Requires: sums in normal form, before differentiate.
class LinearMaps {
 public:
  explicit LinearMaps(const ir::Graph& graph);

  /// The linear map that a node is, if it is one.
  std::optional<LinearMap> at(ir::NodeId id) const;
  /// Whether a value is made of parameters alone: the same for all sequences and positions.
  bool fixed(ir::NodeId id) const { return fixed_[id]; }
  /// What x is under other names, and how that calls the axes; kNoNode where it has no such axes.  `alone`: only as far as nothing else reads it.
  ir::NodeId behind_names(ir::NodeId x, ir::Axes& axes, bool alone) const;
  /// Nodes that read a value, each once; kNoNode for an output.
  const std::vector<ir::NodeId>& users(ir::NodeId id) const { return users_[id]; }

 private:
  const ir::Graph& graph_;
  std::vector<std::vector<ir::NodeId>> users_;
  std::vector<bool> fixed_;
};

}  // namespace cpuflow::passes
