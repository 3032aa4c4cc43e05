#pragma once
#include "ir/graph.h"

namespace cpuflow::ir {

/// Checks that
/// - every input of a node exists and stands before it, except the first input of a carry, which may stand after it;
/// - axes and dtype are what the operation infers from the inputs; each axis stands once, and no size is 0;
/// - axes of all nodes but parameters are in the order of union_of;
/// - no carry is open, and every cycle passes through a carry;
/// - the members of a cycle share an axis along which they can be stepped in one direction;
/// - parameters of one name have the same axes;
/// - outputs have names, each once, and exist.
/// Throws InternalError that names the invariant and shows the node.
void verify(const Graph& graph);

}  // namespace cpuflow::ir
