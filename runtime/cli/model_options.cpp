#include "runtime/cli/model_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "ir/diagnostics.h"
#include "runtime/atomic_file.h"

namespace cpuflow::cli {

void add_code_options(CLI::App& app, CodeOptions& options, bool may_interpret) {
  options.may_interpret = may_interpret;
  app.add_option("--target", options.target, "portable | avx2 | avx512 | avx512bf16 | amx | amx-emulated; default: the best that this machine has")->envname("CPUFLOW_TARGET");
  app.add_option("--exec", options.exec, std::string("orc: clang in this process | dlopen: an installed compiler") + (may_interpret ? " | interpret: the reference interpreter" : ""))
      ->envname("CPUFLOW_EXEC");
}

std::shared_ptr<ModelOptions> add_model_options(CLI::App& app, bool may_interpret) {
  auto options = std::make_shared<ModelOptions>();
  app.add_option("MODEL", options->model, "a model file, or the name of one that comes with cpuflowc (v5ln)")->required();
  app.add_option("--set", options->settings, "sizes, constants and settings of the model file: --set d=32 train.lr=1e-3")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  app.add_flag("--unfused", options->unfused, "every operation has loops of its own (what bench compares with)");
  app.add_option("--precision", options->precision, "of the operands of products: fp32 | bf16 | auto (train and bench measure); default: the model file's")
      ->check(CLI::IsMember({"fp32", "bf16", "auto"}));
  add_code_options(app, *options, may_interpret);
  app.add_flag("--json", options->json, "the result as JSON on standard output");
  return options;
}

std::map<std::string, std::string> parse_settings(const std::vector<std::string>& settings) {
  std::map<std::string, std::string> out;
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw not_a_setting(setting);
    }
    std::string value = setting.substr(equals + 1);  // text may stand in quotes, as in a model file
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) value = value.substr(1, value.size() - 2);
    const auto [known, fresh] = out.try_emplace(setting.substr(0, equals), value);
    if (!fresh) throw UsageError(fmt::format("--set: '{}' is set twice, to '{}' and to '{}'; leave one out", known->first, known->second, value));
  }
  return out;
}

void CodeOptions::choose(CompileOptions& out, const std::string& command) const {
  out.target = target;
  const std::vector<std::string>& targets = ir::target_names();
  if (!target.empty() && std::find(targets.begin(), targets.end(), target) == targets.end()) {
    throw UsageError(fmt::format("--target: unknown target '{}'{} (targets: {})", target, ir::suggestion(target, targets), fmt::join(targets, ", ")));
  }
  if (exec == "dlopen") {
    out.exec = codegen::Exec::Dlopen;
  } else if (exec == "interpret") {
    if (!may_interpret) {
      throw UsageError(
          fmt::format("--exec interpret: '{}' needs compiled code; the reference interpreter computes single passes in double "
                      "precision, for 'grad' and 'check'",
                      command));
    }
    out.run = false;
  } else if (exec != "orc") {
    throw UsageError(fmt::format("--exec: expected interpret, dlopen or orc, found '{}'", exec));
  }
}

CompileOptions ModelOptions::compile_options(const std::string& command) const {
  CompileOptions out;
  out.model = model;
  out.overrides = parse_settings(settings);
  if (!precision.empty()) out.overrides[kPrecisionSetting] = precision;
  out.fuse = !unfused;
  choose(out, command);
  return out;
}

CompiledModel compile_and_warn(const CompileOptions& options) {
  CompiledModel model = compile_model(options);
  for (const std::string& warning : model.warnings) log_line(warning);
  if (model.library && !model.library->record().note.empty()) log_line("note: " + model.library->record().note);
  return model;
}

namespace {

constexpr double kSmallest = std::numeric_limits<double>::min(), kLargest = std::numeric_limits<double>::max();

/// CLI::Range takes NaN, which is neither below nor above anything, and names bounds that nobody asked for.
CLI::Validator number_in(double low, double high, const char* expected, const char* description) {
  return CLI::Validator(
      [=](const std::string& text) {
        double value = 0;
        const bool fits = CLI::detail::lexical_cast(text, value) && value >= low && value <= high;
        return fits ? "" : fmt::format("expected {}, found '{}'", expected, text);
      },
      description);
}

}  // namespace

CLI::Validator from_zero_on() { return number_in(0, kLargest, "a number from 0 on", "NONNEGATIVE"); }
CLI::Validator above_zero() { return number_in(kSmallest, kLargest, "a number above 0", "POSITIVE"); }
CLI::Validator any_number() { return number_in(-kLargest, kLargest, "a number", ""); }
CLI::Validator from_zero_to_one() { return number_in(0, 1, "a number from 0 to 1", "in [0 - 1]"); }
CLI::Validator above_zero_to_one() { return number_in(kSmallest, 1, "a number above 0, at most 1", "in (0 - 1]"); }

CLI::Validator whole_number(uint64_t low, uint64_t high) {
  constexpr uint64_t kTold = 1 << 20;  // of larger bounds nobody needs to know before
  return CLI::Validator(
      [=](const std::string& text) {
        errno = 0;
        char* end = nullptr;
        const uint64_t value = std::strtoull(text.c_str(), &end, 0);
        const bool read = !text.empty() && std::isdigit(static_cast<unsigned char>(text[0])) && end == text.c_str() + text.size() && errno != ERANGE;
        return read && value >= low && value <= high ? "" : fmt::format("expected a whole number from {} to {}, found '{}'", low, high, text);
      },
      high <= kTold ? fmt::format("in [{} - {}]", low, high) : "");
}

UsageError not_a_setting(const std::string& text) {
  return UsageError(fmt::format("--set: expected NAME=VALUE without spaces, as in --set d=32 train.lr=1e-3, found '{}'", text));
}

void note_perplexity(const codegen::Manifest& manifest) {
  if (manifest.cross_entropy < 0) log_line("note: no perplexity is printed, for no loss is cross_entropy(logits, targets), of all positions and nothing else; a further term of [loss] may be");
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw rt::FileError(fmt::format("{}: this folder cannot be made: {}", path, error.message()));
}

}  // namespace cpuflow::cli
