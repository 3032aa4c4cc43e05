#pragma once
#include <string>

#include "modeldefs/frontend/build_graph.h"
#include "runtime/cli/compile.h"
#include "runtime/cli/run_folder.h"

namespace cpuflow::cli {

/// The run's own model, with the settings that it began with: it samples and evaluates with this one.  Throws ir::ModelError.
frontend::Model own_model(const std::string& dir, const RunRecord& record);

/// Compares the model that a run is to go on with, `now` (of `compile`), and the run's own: equations, constants, and how parameters are trained
/// must be the same.  Comments and [train] may differ; sizes, parameters and losses are compared with the checkpoint.
/// Throws rt::RunError that names the settings, or both files and the first difference.
void check_same_equations(const std::string& dir, const RunRecord& record, const frontend::Model& own, const CompileOptions& compile, const frontend::Model& now);

}  // namespace cpuflow::cli
