#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/cli/compile.h"

namespace cpuflow::cli {

/// Which operation of the model is the first whose value is not a finite float32 number, for one sequence: computed by the reference
/// interpreter.  `params` is the parameter array.  "" when it cannot be found out.
std::string first_nonfinite(const CompiledModel& model, const float* params, const std::vector<int32_t>& tokens,
                            const std::vector<int32_t>& targets);

}  // namespace cpuflow::cli
