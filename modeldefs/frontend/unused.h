#pragma once
#include "modeldefs/frontend/model_file.h"

namespace cpuflow::frontend {

/// Warns of sizes and constants that nothing in the model file reads, and of blocks that nothing runs.  B, T and V have their meaning without.
void warn_of_unused(const ModelFile& file, ir::Diagnostics& diagnostics);

}  // namespace cpuflow::frontend
