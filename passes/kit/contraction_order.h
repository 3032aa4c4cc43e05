#pragma once
#include "ir/graph.h"

#include <optional>
#include <utility>
#include <vector>

namespace cpuflow::passes {

/// A sum over `over` of a product of factors, of which only axes matter, where conditions hold.
struct Contraction {
  struct Condition {
    ir::Axes axes;
    bool orders = false;  // it compares two positions: a sum under it alone can be a prefix sum
  };
  std::vector<ir::Axes> factors;
  std::vector<Condition> conditions;
  ir::Axes over;
  bool by_row = false;  // rows are made one at a time: a prefix sum is a state, and there are no products of matrices
};

/// A factor that is summed over the positions s up to t under a condition, and nothing else speaks of s.
struct Prefix {
  size_t factor;
  ir::Axis s, t;
};
std::optional<Prefix> find_prefix(const Contraction& contraction, size_t condition);

/// The two factors to multiply first, with the sum over what only they have, when the sum is computed pair by pair at the least cost.
/// Costs are multiply-adds over the speed of the loops that they become: products of matrices run several times as fast as other nests.
/// Requires: three factors or more, and none with all axes of another.
std::pair<size_t, size_t> first_pair(const Contraction& contraction);

}  // namespace cpuflow::passes
