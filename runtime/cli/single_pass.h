#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/interpret.h"
#include "runtime/cli/compile.h"
#include "runtime/safetensors.h"

namespace cpuflow::cli {

/// What one forward and backward pass takes.
struct PassInputs {
  int64_t B = 1, T = 1;
  std::vector<int32_t> tokens, targets;              // [B, T]
  std::map<std::string, std::vector<float>> params;  // by checkpoint name, row-major
};

struct NamedTensor {
  std::string name;  // logits, loss.<term>, grad.<parameter>
  std::vector<int64_t> shape;
  std::vector<double> values;
};

/// The sizes B and T of `tokens`, and the sizes and constants of the file's metadata `config` (JSON) that the model file has, as
/// --set would give them.  Throws InputError, ModelError.
std::map<std::string, std::string> settings_from_file(const rt::SafetensorsFile& file, const std::string& model);

/// Reads tokens and targets, and param.* unless the parameters are those of `weights` (by their own names), as the model wants them; throws
/// InputError for ids outside the vocabulary, rt::FileError for missing tensors and wrong shapes.
PassInputs read_pass_inputs(const rt::SafetensorsFile& file, const codegen::Manifest& manifest, const rt::TensorFile* weights = nullptr);

/// Logits, losses and gradients by the compiled code.
std::vector<NamedTensor> run_compiled(const codegen::Executable& exe, const PassInputs& inputs);

/// Losses and watched numbers by eval_sequence as `eval.loss.<term>` and `eval.watch.<name>`, and logits made one position at a time as `logits`.
std::vector<NamedTensor> run_other_schedules(const codegen::Executable& exe, const PassInputs& inputs);

/// What the reference interpreter takes.
struct InterpreterInputs {
  std::map<std::string, ir::Tensor> params, ids;
};
InterpreterInputs interpreter_inputs(const ir::Graph& graph, const PassInputs& inputs);

/// Logits, losses and gradients by the reference interpreter, in double precision: of the equations as they are written, differentiated, before any other pass.
std::vector<NamedTensor> run_interpreter(const CompiledModel& model, const PassInputs& inputs);

}  // namespace cpuflow::cli
