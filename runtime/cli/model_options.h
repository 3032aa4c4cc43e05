#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cli/command.h"
#include "runtime/cli/compile.h"

namespace cpuflow::cli {

/// For which processor code is made, and by what.
struct CodeOptions {
  std::string target, exec = "orc";
  bool may_interpret = false;  // the command has `--exec interpret`
  /// Throws UsageError for an unknown target, and for `--exec interpret` unless the command has it.
  void choose(CompileOptions& out, const std::string& command) const;
};
void add_code_options(CLI::App& app, CodeOptions& options, bool may_interpret = false);

/// The flags that every command with a MODEL takes.
struct ModelOptions : CodeOptions {
  std::string model;
  std::vector<std::string> settings;  // name=value
  bool unfused = false, json = false;
  std::string precision;
  bool interpret() const { return exec == "interpret"; }
  /// Throws UsageError for a setting without `=`, and as CodeOptions::choose does.
  CompileOptions compile_options(const std::string& command) const;
};

std::shared_ptr<ModelOptions> add_model_options(CLI::App& app, bool may_interpret = false);

/// Finite numbers, and no NaN; the messages say what was expected and name what was found.
CLI::Validator from_zero_on();
CLI::Validator above_zero();
CLI::Validator any_number();
CLI::Validator from_zero_to_one();
CLI::Validator above_zero_to_one();
/// Digits, or 0x and digits, of a number in these bounds.
CLI::Validator whole_number(uint64_t low = 0, uint64_t high = std::numeric_limits<uint64_t>::max());

/// Splits name=value; each name may be set once.  Throws UsageError.
std::map<std::string, std::string> parse_settings(const std::vector<std::string>& settings);

/// compile_model, with its warnings printed.
CompiledModel compile_and_warn(const CompileOptions& options);

/// What to throw for a text after --set that has no `=`.
UsageError not_a_setting(const std::string& text);

/// Says that no perplexity will be printed, where no loss has one.
void note_perplexity(const codegen::Manifest& manifest);

/// Makes a folder and those above it.  Throws rt::FileError.
void make_folder(const std::string& path);

}  // namespace cpuflow::cli
