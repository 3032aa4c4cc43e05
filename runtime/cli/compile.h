#pragma once
#include "codegen/abi/manifest.h"
#include "codegen/jit/jit.h"
#include "ir/cpu_target.h"
#include "ir/graph.h"
#include "ir/loops.h"
#include "modeldefs/frontend/build_graph.h"
#include "passes/costs.h"
#include "passes/lower_to_loops.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace cpuflow::cli {

/// What to compile, and how far.
struct CompileOptions {
  std::string model;                             // a path, or the name of a model of the zoo
  std::map<std::string, std::string> overrides;  // --set
  bool fuse = true;                              // --unfused: false
  int64_t threshold_divisor = 1;                 // sizes from which on values are treated as large are divided by it: tests of small models pass them
  std::string target;                            // "": this machine's best
  codegen::Exec exec = codegen::Exec::Orc;
  std::vector<std::string> freeze;               // name patterns of parameters that keep their values
  bool train = true, eval = true, rows = true;   // which functions are wanted
  std::string head;                              // an equation whose value `rows` gives beside the logits
  bool profile = false;                          // regions count their time
  int opt_level = 3;                             // of the C++ compiler
  bool run = true;                               // false: stop at the C++ text
  bool warn_of_unused = false;                   // where a model file is new: of sizes and parameters that nothing reads
  std::set<std::string> skip;                    // passes
  std::string stop_after;
  bool check_each = false;                       // the interpreter after every pass
  std::string dump_dir;                          // "": no dump
};

/// Settings of CompileOptions::overrides: the precision of products, the rows of a tile, the copies of the gradient.
inline constexpr const char *kPrecisionSetting = "train.precision", *kTilesSetting = "train.tile_rows", *kLanesSetting = "train.lanes";

struct PassTime {
  std::string name;
  double milliseconds = 0;
  bool changed = false;
};

/// A model at every stage of the compiler.
struct CompiledModel {
  std::string path;        // of the model file
  std::string text;        // its contents
  std::string header;      // one line: model, sizes, target
  ir::Graph parsed, graph; // before and after the passes
  ir::LoopProgram program;
  std::string cpp;
  ir::CpuTarget target;
  bool bf16 = false;       // products take operands rounded to bf16
  passes::Explanation explanation;
  std::vector<std::string> warnings;
  std::vector<PassTime> times;      // passes, lowering, emission, clang
  std::vector<passes::RegionCosts> costs;  // in the order of call->profile
  std::shared_ptr<codegen::Library> library;  // null when run is false
  codegen::JitOptions jit;
  codegen::Executable exe;          // kernels are null when run is false; the manifest is always there
};

/// The model as the front end reads it.  Throws ir::ModelError (all errors).
frontend::Model load(const CompileOptions& options);

/// Model file -> running code.  Throws ir::ModelError (all errors of a stage), codegen::JitError, ir::InternalError.
CompiledModel compile_model(const CompileOptions& options);

}  // namespace cpuflow::cli
