#pragma once
#include "codegen/abi/manifest.h"
#include "ir/diagnostics.h"
#include "ir/graph.h"
#include "modeldefs/frontend/model_file.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace cpuflow::frontend {

/// A model file, compiled to a graph.
///
/// Outputs: "logits" over the axes b, t and a feature axis of size V; "loss.<term>" without axes for every key of [loss];
/// "watch.<name>" without axes for every key of [watch].
struct Model {
  ir::Graph graph;
  std::string name;
  std::map<std::string, int64_t> dims;  // every size of [dims]
  int64_t B = 1, T = 1, V = 1;
  std::vector<codegen::ParamInfo> params;  // checkpoint names, written out for every layer; offsets are aligned to 16 floats
  std::vector<std::string> losses, watch;  // in the order of the file
  int64_t cross_entropy = -1;              // the loss that is the mean cross-entropy of logits[t] and targets[t], or targets[t+j] of a fixed j; -1: none
  codegen::TrainSettings train;
  std::string precision = "fp32";  // of the operands of products: "fp32", "bf16", or "auto", the faster one here
  int64_t tile_rows = 0;           // that loops over a sequence take at a time; 0: the compiler's choice
  std::vector<Phase> phases;
  std::vector<std::string> allow;  // audits that may be refuted
};

struct LoadOptions {
  /// An equation over positions, as `guess[b,t,0]`: its value follows the logits of each position, as one more column.
  std::string head;
  /// The sizes are not those that were asked for: what [train] and phases say of layers that are not there now is no mistake.
  bool other_sizes = false;
  /// The model is written as it is where there are too many pairs of positions to know a value for each.
  bool as_if_long = false;
  bool warn_of_unused = false;  // of sizes and constants that nothing reads
};

/// Whether a model of so many positions has too many pairs of them.
bool is_long(int64_t positions);

/// The text of a model file.  Throws ModelError where it cannot be read.
std::string read_model_text(const std::string& path);

/// Reads, checks and builds the model file at `path`.  `overrides`: sizes, constants and `train.` settings by name, as --set gives
/// them.  Errors are collected in `diagnostics`, all of a stage at once; then ModelError is thrown.
Model load_model(const std::string& path, const std::map<std::string, std::string>& overrides, ir::Diagnostics& diagnostics,
                 const LoadOptions& options = {});
/// The same for a text; `name` stands for its path in errors.
Model load_model_text(const std::string& text, const std::string& name, const std::map<std::string, std::string>& overrides,
                      ir::Diagnostics& diagnostics, const LoadOptions& options = {});
/// A path, or the name of a model of the zoo (`v5ln`, `v5ln.toml`), looked up in CPUFLOW_MODELS and in the source's modeldefs folder.
/// Throws ModelError, also for a CPUFLOW_MODELS that is no folder.
std::string find_model(const std::string& name);

}  // namespace cpuflow::frontend
