#pragma once
#include "ir/graph.h"
#include "ir/interval.h"

#include <map>

namespace cpuflow::passes {

/// exp of more may be no float32.
inline constexpr double kLargestExponent = 88;

/// Bounds of what a value is made of, whatever parameters and carried states are: for passes that add to the Graph while they ask.  (`audit/intervals`
/// knows more, of a Graph that is there.)
class Bounds {
 public:
  explicit Bounds(const ir::Graph& graph) : g_(graph) {}

  ir::Interval of(ir::NodeId id);

  /// Whether the operation of a node is undefined or infinite for some of its operands, in float32.
  bool is_partial(ir::NodeId id);

  /// Whether its derivative is: that of the square root at 0, too.
  bool has_partial_derivative(ir::NodeId id);

  /// Whether an operation in a value is partial, down to what reductions made: that is asked for by more than one reader.
  bool may_be_undefined(ir::NodeId id);

 private:
  ir::Interval compute(const ir::Node& node);
  bool sums_positive(const ir::Node& sum);

  const ir::Graph& g_;
  std::map<ir::NodeId, ir::Interval> known_;
  std::map<ir::NodeId, bool> undefined_;
};

}  // namespace cpuflow::passes
