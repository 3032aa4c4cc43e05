#pragma once
#include <string>

#include "modeldefs/frontend/build_graph.h"
#include "runtime/cli/compile.h"
#include "runtime/cli/run_folder.h"

namespace cpuflow::cli {

/// Compares the model that a run is to go on with and the run's own model file, both with the settings of `compile`: the run samples and
/// evaluates with its own.  Comments and [train] may differ; sizes, parameters and losses are compared with the checkpoint.
/// Throws rt::RunError that names both files and the first difference; ir::ModelError when the run's file is no model.
void check_same_equations(const std::string& dir, const RunRecord& record, const CompileOptions& compile, const frontend::Model& now);

}  // namespace cpuflow::cli
