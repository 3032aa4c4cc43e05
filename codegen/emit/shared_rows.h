#pragma once
#include "ir/loops.h"

namespace cpuflow::codegen {

/// Whether the rows of a product in a function over a range of rows may be those of several streams: what it multiplies them with is the same for all.
bool takes_streams(const ir::LoopProgram& program, const ir::Step& step, const ir::Region& region);

/// Whether partners compute some columns each of such a product's row: it takes longer to read for than they take to meet.
bool shared_by_partners(const ir::LoopProgram& program, const ir::Step& step, const ir::Region& region);

/// Floats of the widest row that partners pass on; 0: there is none.
uint64_t widest_shared_row(const ir::LoopProgram& program);

}  // namespace cpuflow::codegen
