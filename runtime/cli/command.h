#pragma once
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cpuflow::cli {

/// What the process returns, where no signal ended it (then 128 and the signal's number).
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,    // it ran, and the answer is no: a comparison failed, an audit is refuted, standard output cannot be written
  kUsage = 2,     // unknown command, flag or value
  kBadModel = 3,  // the model file or a setting of it
  kBadData = 4,   // text, ids, tokenizer, tensors or checkpoint
  kJit = 5,       // the generated code could not be compiled or loaded
  kDiverged = 6,  // a loss or gradient became NaN or infinite
};

/// The command line asks for something that does not exist or does not fit together.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Input files that do not fit the model.
struct InputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The exit status of the command that runs.
struct Status {
  int code = kOk;
};

// Each adds one command to `app`; its callback runs the command and may set `status`.
void add_compile(CLI::App& app, Status& status);
void add_train(CLI::App& app, Status& status);
void add_sample(CLI::App& app, Status& status);
void add_eval(CLI::App& app, Status& status);
void add_tokenize(CLI::App& app, Status& status);
void add_bench(CLI::App& app, Status& status);
void add_grad(CLI::App& app, Status& status);
void add_check(CLI::App& app, Status& status);
void add_audit(CLI::App& app, Status& status);
void add_explain(CLI::App& app, Status& status);
void add_passes(CLI::App& app, Status& status);
void add_corpus(CLI::App& app, Status& status);

/// To stderr, at once.
void log_line(const std::string& text);
/// `warning: text` to stderr.
void warn(const std::string& text);
/// To stdout.  Throws std::runtime_error when it cannot be written.
void print_out(const std::string& text);

/// Throws UsageError when the file `out`, which is to be written, is one that is read: `inputs` are names of options with their files.
void refuse_overwrite(const std::string& out, const std::vector<std::pair<std::string, std::string>>& inputs);
/// The same, and throws FileError where `out` cannot be written: before the work.
void check_output(const std::string& out, const std::vector<std::pair<std::string, std::string>>& inputs);

/// `text` as one word of a POSIX shell: in quotes where it needs them.
std::string shell_word(const std::string& text);

/// "1,234,567".
std::string with_commas(double value);
/// Seconds of "90s", "10m", "2h" or "90", as `option` gives them.  Throws UsageError.
double parse_time(const char* option, const std::string& text);

}  // namespace cpuflow::cli
