#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Whether any of several indices is v, asked for every v, is counted: max over w of (index[w] == v) becomes 0 < scatter of ones at the
/// indices, which visits each index once instead of once for each v.
/// Requires: after differentiate (the largest of comparisons has no gradient).  Ensures: the same values.
ir::Graph count_matches(const ir::Graph& in);

}  // namespace cpuflow::passes
