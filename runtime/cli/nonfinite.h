#pragma once
#include <string>

#include "runtime/cli/compile.h"
#include "runtime/train/trainer.h"

namespace cpuflow::cli {

/// Which operation of the model is the first whose value is not a finite float32 number, for the sequence at fault: computed by the reference
/// interpreter, with the draws of that step.
std::string first_nonfinite(const CompiledModel& model, const rt::NonfiniteContext& context);

}  // namespace cpuflow::cli
