#pragma once
#include "codegen/abi/manifest.h"
#include "modeldefs/frontend/syntax.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cpuflow::frontend {

/// A size or constant as written: an expression, or a list of them.
struct SizeEntry {
  std::string name;
  ir::SourceLoc at;  // the key
  bool list = false;
  bool constant = false;  // stands in [constants]
  std::vector<Expr> values;
};

/// What a parameter starts as: one of normal(mean, deviation), uniform(low, high), constant(value), zeros, ones.
struct InitEntry {
  std::string parameter;  // of the layer; "" for its first one
  Expr value;
};

/// An entry of a [params] table: a parameter or layer (`kind`), or a sub-module (`inner`).
struct ParamEntry {
  std::string key;
  ir::SourceLoc at;  // the key
  std::optional<Expr> kind, when;
  std::string name;  // the checkpoint's own name; "" when it is the path
  std::vector<InitEntry> init;
  std::vector<Expr> range;  // none, or lowest and highest
  bool trainable = true;
  std::vector<ParamEntry> inner;
};

struct LayerDef {
  std::string name;
  ir::SourceLoc at;
  std::vector<std::pair<std::string, std::optional<Expr>>> sizes;  // with their defaults
  std::vector<ParamEntry> params;
  bool has_forward = false;
  std::vector<Statement> forward;
};

struct FunctionDef {
  std::string name;
  ir::SourceLoc at;
  Expr head;                    // name(x, z[b,t,v], key = default)
  std::vector<Statement> body;  // the last one gives `name` its value
  bool library = false;         // of the prelude: sees T alone of the sizes
};

struct BlockDef {
  std::string name;  // what calls it
  ir::SourceLoc at;
  std::optional<Expr> repeat;
  std::string path;  // of its parameters; "" for `name.{layer}`
  std::vector<ParamEntry> params;
  std::vector<Statement> forward;
};

/// A named piece of equations: a loss term, something to watch.
struct TermDef {
  std::string name;
  ir::SourceLoc at;
  std::vector<Statement> statements;
};

/// A part of the training that differs from [train].
struct Phase {
  double share = 0;  // of the budget; 0: given in steps
  int64_t steps = 0;
  std::vector<std::string> freeze;         // name patterns of parameters that keep their values
  std::map<std::string, double> settings;  // of [train], changed
  std::map<std::string, double> constants; // of [constants], changed: weights of losses
  std::map<std::string, ir::SourceLoc> at = {}, constants_at = {};  // of the values, by key
};

/// A model file, parsed: nothing is evaluated yet.
struct ModelFile {
  std::string name;
  std::vector<SizeEntry> sizes;
  std::vector<ParamEntry> params;
  std::vector<LayerDef> layers;
  std::vector<FunctionDef> functions;
  std::vector<BlockDef> blocks;
  std::vector<Statement> forward;      // [model]
  std::vector<Statement> loss_shared;  // `where` of [loss]
  std::vector<TermDef> losses, watch;
  std::map<std::string, ir::SourceLoc> sections_at;  // of their names, and of the first byte under ""
  codegen::TrainSettings train;
  std::map<std::string, ir::SourceLoc> train_at;  // of the values that [train] and --set say, by key
  std::vector<ir::SourceLoc> groups_at;  // of train.groups
  std::string precision = "fp32";
  int64_t tile_rows = 0;
  std::vector<Phase> phases;
  std::vector<std::string> allow;

  /// Where a section begins: what is missing in it is told there.  The first byte of the file for a section that it does not have.
  ir::SourceLoc section(const std::string& name) const {
    auto it = sections_at.find(name);
    return it != sections_at.end() ? it->second : sections_at.at("");
  }
};

/// Reads the sections of a model file.  `library`: of the prelude, which has layers and functions only.  Every error of the text is
/// reported; what has none is returned.
ModelFile read_model_file(std::shared_ptr<const ir::SourceText> source, bool library, ir::Diagnostics& diagnostics);

/// Applies `--set` overrides: sizes and constants by name, settings as `train.lr`.
void apply_overrides(ModelFile& file, const std::map<std::string, std::string>& overrides, ir::Diagnostics& diagnostics);

}  // namespace cpuflow::frontend
