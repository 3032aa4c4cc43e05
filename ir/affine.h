#pragma once
#include "ir/graph.h"

#include <optional>
#include <utility>
#include <vector>

namespace cpuflow::ir {

/// A number and a sum of positions on axes, each times a number that is not 0, in the order of the axes.
struct Affine {
  double offset = 0;
  std::vector<std::pair<Axis, double>> terms;

  /// The coefficient of an axis; 0 if the sum does not have it.
  double along(const Axis& axis) const;
  Affine& add(const Affine& other, double times);
  /// The largest value at any positions.
  double largest() const;
};

/// What a value is as such a sum, if the graph says so: counters, their sums, differences and multiples.
std::optional<Affine> affine(const Graph& graph, NodeId id);
/// The left side of a comparison less the right one, as such a sum.
std::optional<Affine> affine_difference(const Graph& graph, const Node& comparison);

}  // namespace cpuflow::ir
