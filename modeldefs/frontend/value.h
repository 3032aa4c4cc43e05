#pragma once
#include "ir/graph.h"

#include <string>
#include <vector>

namespace cpuflow::frontend {

/// A feature axis of a value.  Axes of size 1 have no axis in the graph.
struct Dim {
  uint32_t size = 1;
  ir::Axis axis;  // where size > 1
  bool operator==(const Dim&) const = default;
};

/// What an expression means: a graph node, the indices it depends on by name (`b`, `t`, bound ones), and its feature axes in order.
/// The node may lack some of these axes; it is the same along them.
struct Value {
  ir::NodeId node = ir::kNoNode;
  std::vector<std::string> lead;
  std::vector<Dim> features;
  bool zero = false;  // the state before the first position, of a shape that is not known yet
};

/// The range of an index and the axis it runs along.  An index over one number has no axis.
struct Index {
  int64_t low = 0, high = 1;  // low .. high-1
  bool has_axis = false;
  ir::Axis axis;
  int64_t size() const { return high - low; }
};

}  // namespace cpuflow::frontend
