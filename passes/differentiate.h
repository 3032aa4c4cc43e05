#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Adds the outputs `grad.<param>`: the gradient of the output `loss.total` with respect to every parameter.  Without that output
/// the graph stays as it is.
ir::Graph differentiate(const ir::Graph& in);

}  // namespace cpuflow::passes
