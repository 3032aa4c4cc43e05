#pragma once
#include "ir/loops.h"

#include <cstddef>
#include <vector>

namespace cpuflow::codegen {

/// The axis that a step counts in its outermost loop, where that is a loop over layers and all that the step writes belongs to the layer at hand; else null.
const ir::Axis* outer_layers(const ir::LoopProgram& program, const ir::Step& step);

/// How many of the steps from `first` on may run together for one layer after the other, in any order or at once: each has the same outer_layers(), and
/// what one of them writes, all read at their own layer only.  0: not even the first.
size_t run_of_layers(const ir::LoopProgram& program, const std::vector<ir::Step>& steps, size_t first);

/// The step without its outermost loop.
ir::Step of_one_layer(const ir::Step& step);

}  // namespace cpuflow::codegen
