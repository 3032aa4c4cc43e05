#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// A summand of a gradient that depends on parameters only, also one that was added before something linear, is multiplied with sum(b: b == 0), which is 1 for every micro-batch: gradients of a
/// step are sums over its micro-batches, and a term that no sequence takes part in would be counted once a step.
/// Requires: after everything that folds constants.  Ensures: same values.
ir::Graph count_micro_batches(const ir::Graph& in);

}  // namespace cpuflow::passes
