#pragma once
#include <map>
#include <string>

#include "runtime/cli/compile.h"

/// Choices that are measured on this machine: both programs are compiled and take training steps in turn.
namespace cpuflow::cli {

/// What `precision = "auto"` stands for: "fp32" or "bf16", whichever trains this model faster.  Without instructions for bf16 nothing is
/// measured.  Says on standard error what it found.  Throws what compile_model throws.
std::string faster_precision(const CompileOptions& options, int threads);

/// The value of the setting tile_rows with which the model trains fastest, found in about `seconds`; "0", the compiler's own choice, where no other is
/// clearly faster.  What was found is kept beside the compiled code, for this program, target and number of threads.  Says on standard error
/// what it found.  Throws what compile_model throws.
std::string faster_tiles(const CompileOptions& options, int threads, double seconds);

/// Adds to `settings` what is left open, measured: the precision where `precision`, the model's, is "auto", and tile_rows in `seconds` if
/// that is not 0.  `threads`: 0 for all that there are.
void measure_choices(std::map<std::string, std::string>& settings, const std::string& precision, CompileOptions options, int threads, double seconds);

}  // namespace cpuflow::cli
