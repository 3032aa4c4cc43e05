#pragma once
#include "ir/graph.h"

#include <utility>
#include <vector>

namespace cpuflow::passes {

/// A sum over `over` of a product of factors, of which only axes matter, where conditions hold.
struct Contraction {
  std::vector<ir::Axes> factors;
  std::vector<ir::Axes> conditions;
  ir::Axes over;
};

/// The two factors to multiply first, with the sum over what only they have, when the sum is computed pair by pair at the least cost.
/// Costs are multiply-adds over the speed of the loops that they become: products of matrices run several times as fast as other nests.
/// Requires: three factors or more, and none with all axes of another.
std::pair<size_t, size_t> first_pair(const Contraction& contraction);

}  // namespace cpuflow::passes
