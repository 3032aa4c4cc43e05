#pragma once
#include "ir/graph.h"

namespace cpuflow::ir {

struct LoopProgram;

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

/// Checks that
/// - every buffer has a stride for each axis, and its last element lies inside it and inside its space;
/// - expressions read earlier ones only, with as many operands as their operation takes;
/// - every index names loops that are around it, and its bounds, where they do not come from data, lie inside the buffer's axis
///   (rows before the first are allowed as far as the buffer holds them);
/// - what is read was written before, or is written in the same region (at an earlier row); a value that holds a part of its rows, or
///   none, is read only where those are;
/// - parameters, tokens, sums and literals are only read, results only written; gradients are read by `finish` only, shared values written by
///   `prepare` only;
/// - a plain store writes each element once; a product's columns are neighbours, and its panels as large as it reads them and of its format;
/// - values of one function that are in use at the same time share no memory; what is kept between calls shares none at all, and
///   everything fits the scratch that the function asks for.
/// Throws InternalError that names the invariant, the function and the region.
void verify(const LoopProgram& program);

}  // namespace cpuflow::ir
