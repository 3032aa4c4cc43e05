#pragma once
#include "codegen/emit/names.h"

namespace cpuflow::codegen {

/// The loops of a nest.  `indent` is the number of spaces before its outermost line.
std::string emit_nest(const ir::LoopProgram& program, const Names& names, const ir::Nest& nest, const std::vector<ir::Reach>& reaches, int indent);

/// The part of a nest's loop that belongs to a block of a product: columns `first` up to `first + columns` of the row t.  What it reduces goes to elements
/// [row] of arrays, called sums<number>_<store>.
std::string emit_block_nest(const ir::LoopProgram& program, const Names& names, const ir::Nest& nest, int number, int indent);
/// The type of what reduces a row by blocks.
std::string block_reduction(ir::Store::How how);

}  // namespace cpuflow::codegen
