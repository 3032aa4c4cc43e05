#pragma once
#include "ir/loops.h"

namespace cpuflow::ir {

/// Whether the rows of a product may be those of several streams, or of several sequences: what it multiplies them with is the same for all.
bool takes_streams(const LoopProgram& program, const Step& step, const Region& region);

/// Whether partners compute some columns each of such a product's row: it takes longer to read for than they take to meet.
bool shared_by_partners(const LoopProgram& program, const Step& step, const Region& region);

/// Whether several sequences go through the rows of a group together: it multiplies each row as it comes, and reads as much for one as for some.
bool joins_sequences(const LoopProgram& program, const Group& group, const Region& region);

/// Whether a region has such a group: a recurrence over whole sequences.
bool joins_sequences(const LoopProgram& program, const Function& function, const Region& region);

/// How many sequences functions of a sequence take at most: one, unless there is such a region; fewer where a sequence takes much memory.
int64_t sequences_together(const LoopProgram& program);

/// Floats of the widest row that partners pass on; 0: there is none.
uint64_t widest_shared_row(const LoopProgram& program);

}  // namespace cpuflow::ir
