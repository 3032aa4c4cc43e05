#pragma once
#include <string>

#include "runtime/cli/compile.h"

namespace cpuflow::cli {

/// What `precision = "auto"` stands for: "fp32" or "bf16", whichever trains this model faster on this machine: both are compiled, and take steps in turn.  Without instructions for
/// bf16 nothing is measured.  Says on standard error what it found.  Throws what compile_model throws.
std::string faster_precision(const CompileOptions& options, int threads);

}  // namespace cpuflow::cli
