#pragma once
#include "ir/graph.h"

#include <vector>

namespace cpuflow::passes {

/// A sum as a product of factors where conditions hold, divided by divisors that are the same for all that is summed.
struct SumTerms {
  std::vector<ir::NodeId> factors, conditions, divisors;
  bool negative = false;
};

/// The terms of a Sum node whose inputs are nodes of `graph`.  What softmax divides by is a divisor, though it stands below a condition and a rename.
SumTerms terms_of(ir::Graph& graph, const ir::Node& sum);

/// Whether a factor may stand outside of a sum over `over`.  What comes from the sequences of one micro-batch stays inside of the
/// sums over them: they are accumulated over several.
bool may_leave(const ir::Graph& graph, ir::NodeId factor, const ir::Axes& over);

}  // namespace cpuflow::passes
