#pragma once
#include "ir/graph.h"

#include <functional>
#include <unordered_map>

namespace cpuflow::passes {

/// Values with something else in the place of an axis: what is elementwise is computed again, of inputs in which that is done, each once.
class Substitution {
 public:
  /// What takes the place of a value that has the axis and is not elementwise: of a counter, or of something to be read under another name or elsewhere.
  using Leaf = std::function<ir::NodeId(ir::NodeId id)>;

  /// Whether an elementwise value is not computed again, but is a leaf.
  using Whole = std::function<bool(ir::NodeId id)>;

  Substitution(ir::Graph& graph, const ir::Axis& axis, Leaf leaf, Whole whole = nullptr) : g_(graph), axis_(axis), leaf_(std::move(leaf)), whole_(std::move(whole)) {}

  ir::NodeId operator()(ir::NodeId id);

 private:
  ir::Graph& g_;
  ir::Axis axis_;
  Leaf leaf_;
  Whole whole_;
  std::unordered_map<ir::NodeId, ir::NodeId> done_;
};

/// A value with an axis under another name, down to what is not elementwise: no renames are left between operations.
ir::NodeId rename_below(ir::Graph& graph, ir::NodeId id, const ir::Axis& from, const ir::Axis& to);

}  // namespace cpuflow::passes
