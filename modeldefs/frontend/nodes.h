#pragma once
#include "ir/graph.h"
#include "modeldefs/frontend/static_eval.h"

#include <vector>

namespace cpuflow::frontend {

/// Makes graph nodes for the language's operations, which take any mixture of types, and values that lack an axis.
class Nodes {
 public:
  ir::Graph graph;
  StaticEval statics{graph};

  const ir::Node& operator[](ir::NodeId id) const { return graph[id]; }
  bool is(ir::NodeId id, ir::DType type) const { return graph[id].dtype == type; }
  bool has(ir::NodeId id, const ir::Axis& axis) const { return ir::contains(graph[id].axes, axis); }

  ir::NodeId number(double value, ir::DType type);
  ir::NodeId real(double v) { return graph.real(v); }
  ir::NodeId integer(int64_t v) { return graph.integer(v); }
  ir::NodeId to_real(ir::NodeId x);
  ir::NodeId to_bool(ir::NodeId x);
  ir::NodeId unary(ir::Op op, ir::NodeId x);
  /// Truth values count as the real numbers 0 and 1.
  ir::NodeId arithmetic(ir::Op op, ir::NodeId a, ir::NodeId b);
  ir::NodeId power(ir::NodeId a, ir::NodeId b);
  ir::NodeId compare(ir::Op op, ir::NodeId a, ir::NodeId b);
  ir::NodeId both(ir::NodeId a, ir::NodeId b);
  ir::NodeId negation(ir::NodeId condition);
  ir::NodeId select(ir::NodeId condition, ir::NodeId a, ir::NodeId b);
  ir::NodeId mul(ir::NodeId a, ir::NodeId b) { return arithmetic(ir::Op::Mul, a, b); }
  ir::NodeId add(ir::NodeId a, ir::NodeId b) { return arithmetic(ir::Op::Add, a, b); }
  ir::NodeId sub(ir::NodeId a, ir::NodeId b) { return arithmetic(ir::Op::Sub, a, b); }

  /// All renames at once; axes that x does not have are left out.
  ir::NodeId rename(ir::NodeId x, const ir::Axes& from, const ir::Axes& to);
  /// x with axes that it may not have had; its values are the same along them.
  ir::NodeId spread(ir::NodeId x, const ir::Axes& axes);
  /// Sum, Max, Min or Prod over axes; x need not have them.
  ir::NodeId reduce(ir::Op op, ir::NodeId x, const ir::Axes& over);
  ir::NodeId gather(ir::NodeId x, const ir::Axis& axis, ir::NodeId index);
  /// An axis of size 1 more, or less.
  ir::NodeId with_unit(ir::NodeId x, const ir::Axis& axis);

  /// A copy of the graph with the nodes that its outputs need, in a good order.
  ir::Graph reachable() const;
};

}  // namespace cpuflow::frontend
