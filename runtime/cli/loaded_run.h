#pragma once
#include <string>
#include <vector>

#include "runtime/cli/model_options.h"
#include "runtime/cli/run_folder.h"
#include "runtime/train/arrays.h"
#include "runtime/train/checkpoint.h"

namespace cpuflow::cli {

/// Whose weights a command uses: those of a run, or a file of weights for a model.
struct WeightOptions : CodeOptions {
  std::string where;  // the folder of a run, or a model
  std::string weights, tokenizer, precision;
  std::vector<std::string> settings;
};
void add_weight_options(CLI::App& app, WeightOptions& options);

/// Where the ids of a tokenizer and of the one in the file `other` first differ, for people: `id 7 is "a" in it, and "b" in the other`, or why they
/// cannot be compared; "" where they are the same.
std::string id_difference(const rt::Tokenizer& now, const std::string& other);

/// A model to compile, and where its weights are.
class TrainedModel {
 public:
  /// Warns when --tokenizer has other ids than the run's.  Throws UsageError, rt::FileError where there is neither a run nor a file of weights.
  TrainedModel(const WeightOptions& options, const std::string& command);

  CompileOptions compile;  // as it was trained
  RunRecord record;        // of a run; otherwise what a new run would have
  std::string tokenizer;   // path; "" where there is none
  /// Fills `params`; warns of what was passed over.  Returns for people what they are: "v5ln after 300 steps".
  std::string load(const codegen::Manifest& manifest, float* params);
  int64_t steps() const { return steps_; }  // of the run, once loaded

 private:
  WeightOptions options_;
  int64_t steps_ = 0;
};

/// All documents of `files`, or the ids of the file `ids`, as one stream to evaluate on.
rt::TokenData read_all(const DataSources& sources, const std::vector<std::string>& files, const std::string& ids, int64_t V);

}  // namespace cpuflow::cli
