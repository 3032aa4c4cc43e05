#pragma once
#include "codegen/abi/manifest.h"
#include "modeldefs/frontend/model_file.h"
#include "modeldefs/frontend/nodes.h"
#include "modeldefs/frontend/sizes.h"
#include "modeldefs/frontend/value.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cpuflow::frontend {

struct ParamScope;

/// A layer with its sizes and parameters.
struct LayerInstance {
  const LayerDef* def = nullptr;
  SizeMap sizes;
  std::vector<int64_t> arguments;  // the sizes in order
  std::shared_ptr<ParamScope> params;
};

/// What a name of a [params] table stands for.
struct ParamItem {
  ir::SourceLoc at;
  std::optional<Value> value;
  std::shared_ptr<LayerInstance> layer;
};

/// A stretch of a repeated block's layers that have the same structure.
struct LayerRun {
  int64_t first = 0, count = 1;
  bool repeated = false;  // the block has a `repeat`
  ir::Axis axis;          // where count > 1
};

/// An entry whose `when` does not hold.
struct AbsentParam {
  ir::SourceLoc when;
  LayerRun run;  // where it does not
};

/// The parameters that a text sees, by their names in the equations (`attn.qkv`, `attn.qkv.weight`).
struct ParamScope {
  std::map<std::string, ParamItem> items;
  std::map<std::string, AbsentParam> absent;
};

/// What a [params] entry says beyond its kind, in numbers.
struct ParamOptions {
  std::map<std::string, codegen::ParamInfo> init;  // of a layer's parameters by name, "" the first one: init, init_a, init_b
  std::optional<std::pair<double, double>> range;
  bool trainable = true;
  bool of_layer = false;
};

/// Makes the parameters of model files.
class Params {
 public:
  Params(Nodes& nodes, const std::map<std::string, const LayerDef*>& layers, int64_t positions)
      : nodes_(nodes), layers_(layers), positions_(positions) {}

  /// Adds the entries of a table to `scope`.  `prefix` begins their checkpoint names, `{layer}` included.  Reports errors.
  void add(const std::vector<ParamEntry>& entries, const std::string& prefix, const SizeMap& sizes, const LayerRun& run, ParamScope& scope,
           ir::Diagnostics& diagnostics);
  /// What add would make, as text: layers with equal texts have the same structure.  Throws Fault.
  std::string structure(const std::vector<ParamEntry>& entries, const SizeMap& sizes);
  /// All parameters, their names written out for every layer, with offsets.
  std::vector<codegen::ParamInfo> infos() const;

  struct Made {
    std::string name;  // with `{layer}`
    LayerRun run;
    codegen::ParamInfo info;
    ir::SourceLoc at;
  };
  /// For a scratch evaluation: the parameters made so far, and back to them.
  size_t count() const { return made_.size(); }
  void forget(size_t count) {
    made_.resize(count);
    std::erase_if(by_name_, [&](const auto& named) { return named.second >= count; });
  }

 private:
  struct Place;
  void add_all(const std::vector<ParamEntry>& entries, const Place& place, const ParamOptions* outer);
  void add_entry(const ParamEntry& entry, const Place& place, const ParamOptions& options, bool first);
  void add_layer(const ParamEntry& entry, const Place& place, const ParamOptions& options, const LayerDef& def);
  bool present(const ParamEntry& entry, const SizeMap& sizes) const;
  ParamOptions options_of(const ParamEntry& entry, const SizeMap& sizes, const ParamOptions* outer) const;
  std::vector<int64_t> shape_of(const Expr& kind, const SizeMap& sizes) const;
  Value tensor(const ParamEntry& entry, const Place& place, const ParamOptions& options, bool first);
  LayerInstance instance(const Expr& kind, const LayerDef& def, const SizeMap& sizes) const;
  const LayerDef* layer_def(const Expr& kind) const;
  void structure_of(const std::vector<ParamEntry>& entries, const SizeMap& sizes, std::string& out, int depth) const;

  Nodes& nodes_;
  const std::map<std::string, const LayerDef*>& layers_;
  int64_t positions_;
  std::vector<Made> made_;
  std::map<std::string, size_t> by_name_;  // of each layer: which of these
};

}  // namespace cpuflow::frontend
