#pragma once
#include "passes/kit/sum_terms.h"

namespace cpuflow::passes {

/// A sum of nothing is 0, and so is a term that no condition lets through; 0 / 0 and 0 times infinity are not.  Factors that may be no finite number become 0
/// where no condition asks for them, since only one factor of a product keeps a condition.  What it returns is the condition under which the sum over
/// `over` has terms, where what will stand outside of it may be no finite number, else kNoNode.
ir::NodeId must_have_terms(ir::Graph& graph, SumTerms& terms, const ir::Axes& over);

}  // namespace cpuflow::passes
