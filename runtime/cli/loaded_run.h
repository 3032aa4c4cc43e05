#pragma once
#include <string>
#include <vector>

#include "runtime/cli/model_options.h"
#include "runtime/cli/run_folder.h"
#include "runtime/train/arrays.h"
#include "runtime/train/checkpoint.h"

namespace cpuflow::cli {

/// The model of a run, compiled as it was trained.
CompileOptions run_compile_options(const std::string& dir, const RunRecord& record);

/// Fills `params` from the newest checkpoint of a run; warns of damaged ones that were passed over.
rt::Checkpoint open_checkpoint(const std::string& dir, const codegen::Manifest& manifest, float* params);

/// All documents of `files`, or the ids of the file `ids`, as one stream.
rt::TokenData read_all(const DataSources& sources, const std::vector<std::string>& files, const std::string& ids, int64_t V);

}  // namespace cpuflow::cli
