#include "runtime/cli/app.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include "codegen/jit/jit.h"
#include "ir/diagnostics.h"
#include "runtime/atomic_file.h"
#include "runtime/cli/command.h"
#include "runtime/cli/model_options.h"
#include "runtime/data/data_error.h"
#include "runtime/train/errors.h"

namespace cpuflow::cli {
namespace {

constexpr const char* kVersion = "cpuflowc 0.1.0\n";

/// `--set a=1 b=2` as `--set a=1 --set b=2`: a flag that took everything up to the next flag would also take MODEL.
std::vector<std::string> spread_settings(int argc, char** argv) {
  std::vector<std::string> args;
  bool settings = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--") {
      args.insert(args.end(), argv + i, argv + argc);
      break;
    }
    if (settings && !arg.starts_with('-') && arg.find('=') != std::string::npos && args.back() != "--set")
      args.push_back("--set");
    else if (args.empty() || args.back() != "--set")
      settings = arg == "--set" || arg.starts_with("--set=");
    if (!args.empty() && args.back() == "--set" && arg.find('=') == std::string::npos) throw not_a_setting(arg);
    args.push_back(arg);
  }
  return args;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(sub->get_name());
  return names;
}

std::vector<std::string> flag_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

/// Flags whose help has every word of an unknown one, as long as they are few.
std::string related(const std::string& name, const CLI::App& command) {
  constexpr size_t kMost = 3;
  std::string spaced = name;
  std::replace(spaced.begin(), spaced.end(), '-', ' ');
  std::istringstream in(spaced);
  const std::vector<std::string> words{std::istream_iterator<std::string>(in), {}};
  std::vector<std::string> found;
  for (const CLI::Option* option : command.get_options()) {
    const std::string& help = option->get_description();
    const bool all = std::all_of(words.begin(), words.end(), [&](const std::string& word) { return help.find(word) != std::string::npos; });
    if (all && !option->get_lnames().empty()) found.push_back(fmt::format("--{}: {}", option->get_lnames()[0], help));
  }
  return found.empty() || found.size() > kMost ? "" : fmt::format("; is it one of these?\n  {}", fmt::join(found, "\n  "));
}

/// Unknown commands and flags, with the nearest known name, or with what is about the same.
void check_names(const CLI::App& app, const std::vector<std::string>& args) {
  if (args.empty()) return;
  const std::vector<std::string> commands = command_names(app);
  if (args[0].starts_with('-')) {
    const std::vector<std::string> flags = flag_names(app);
    if (std::find(flags.begin(), flags.end(), args[0]) == flags.end()) {
      throw UsageError(fmt::format("unknown flag '{}'{}", args[0], ir::suggestion(args[0], flags)));
    }
    return;
  }
  if (std::find(commands.begin(), commands.end(), args[0]) == commands.end()) {
    throw UsageError(
        fmt::format("unknown command '{}'{} (commands: {})", args[0], ir::suggestion(args[0], commands), fmt::join(commands, ", ")));
  }
  const CLI::App& sub = *app.get_subcommand(args[0]);
  const std::vector<std::string> flags = flag_names(sub);
  for (size_t i = 1; i < args.size() && args[i] != "--"; ++i) {
    const std::string name = args[i].substr(0, args[i].find('='));
    if (!name.starts_with("--") || std::find(flags.begin(), flags.end(), name) != flags.end()) continue;
    const std::string near = ir::suggestion(name, flags);
    throw UsageError(fmt::format("unknown flag '{}' of 'cpuflowc {}'{}", name, args[0], near.empty() ? related(name, sub) : near));
  }
}

int fail(int code, const std::string& text) {
  std::fflush(stdout);
  log_line(text);
  return code;
}

int run_command(int argc, char** argv) {
  CLI::App app{"Compiles, trains and samples small language models whose architecture is a TOML file of equations.", "cpuflowc"};
  app.set_version_flag("--version", kVersion, "print the version");
  app.require_subcommand(1);
  app.footer(
      "Example:\n  cpuflowc train v5ln --data stories.txt --out runs/v5ln --budget 10m\n  cpuflowc sample runs/v5ln \"Once upon a "
      "time\"\n");
  Status status;
  add_compile(app, status);
  add_train(app, status);
  add_sample(app, status);
  add_eval(app, status);
  add_tokenize(app, status);
  add_bench(app, status);
  add_grad(app, status);
  add_check(app, status);
  add_audit(app, status);
  add_explain(app, status);
  add_passes(app, status);
  add_corpus(app, status);

  std::vector<std::string> args = spread_settings(argc, argv);
  if (args.empty()) args = {"--help"};
  if (args[0] == "help") {  // `help train`, as other programs have it
    args.erase(args.begin());
    args.push_back("--help");
  }
  try {
    check_names(app, args);
    std::reverse(args.begin(), args.end());  // CLI11 takes the last one first
    app.parse(args);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    const std::vector<CLI::App*> chosen = app.get_subcommands();
    const std::string command = chosen.empty() ? "" : " " + chosen[0]->get_name();
    if (dynamic_cast<const CLI::ExtrasError*>(&e) != nullptr && app.got_subcommand("sample")) throw UsageError("sample: the prompt is one text: write it in quotes, as in sample runs/mine \"Once upon a time\"");
    return fail(kUsage, fmt::format("cpuflowc{}: error: {}\nUsage with an example: cpuflowc{} --help", command, e.what(), command));
  }
  return status.code;
}

/// Where 0, 1 or 2 are closed, a file that is opened would get that number, and what is printed.
void open_standard_files() {
  for (int number = 0; number <= 2; ++number) {
    if (fcntl(number, F_GETFD) == -1) static_cast<void>(open("/dev/null", O_RDONLY));
  }
}

}  // namespace

int run(int argc, char** argv) {
  open_standard_files();
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows too large is an error of the write, with a message
  try {
    return run_command(argc, argv);
  } catch (const UsageError& e) {
    return fail(kUsage, fmt::format("cpuflowc: error: {}", e.what()));
  } catch (const ir::ModelError& e) {
    return fail(kBadModel, e.what());
  } catch (const codegen::JitError& e) {
    return fail(kJit, fmt::format("cpuflowc: error: the generated code cannot be used: {}", e.what()));
  } catch (const rt::FileError& e) {
    return fail(kBadData, fmt::format("cpuflowc: error: {}", e.what()));
  } catch (const rt::DataError& e) {
    return fail(kBadData, fmt::format("cpuflowc: error: {}", e.what()));
  } catch (const rt::Diverged& e) {
    return fail(kDiverged, fmt::format("cpuflowc: diverged: {}", e.what()));
  } catch (const rt::RunError& e) {
    return fail(kBadData, fmt::format("cpuflowc: error: {}", e.what()));
  } catch (const std::invalid_argument& e) {
    return fail(kBadModel, fmt::format("cpuflowc: error: {}", e.what()));
  } catch (const InputError& e) {
    return fail(kBadData, fmt::format("cpuflowc: error: {}", e.what()));
  } catch (const ir::InternalError& e) {
    return fail(
        kFailed,
        fmt::format("cpuflowc: internal error: {}\nThis is a mistake in cpuflowc, not in your model; please report it with the model file.",
                    e.what()));
  } catch (const std::filesystem::filesystem_error& e) {
    return fail(kBadData, fmt::format("cpuflowc: error: {}: {}", e.path1().string(), e.code().message()));
  } catch (const std::bad_alloc&) {
    return fail(kFailed, "cpuflowc: error: out of memory; smaller sizes (--set T=.. B=..) need less");
  } catch (const std::exception& e) {
    return fail(kFailed, fmt::format("cpuflowc: error: {}", e.what()));
  }
}

void log_line(const std::string& text) {
  const std::string line = text + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);  // where nobody can read it, the work goes on
  std::fflush(stderr);
}

void warn(const std::string& text) { log_line("warning: " + text); }

void print_out(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw std::runtime_error("standard output cannot be written");
  }
}

double parse_time(const char* option, const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, text.data() + text.size());
  const double scale = unit == "h" ? 3600 : unit == "m" ? 60 : unit == "s" ? 1 : 0;
  if (unit.empty() && value > 0 && std::isfinite(value)) throw UsageError(fmt::format("{0}: {1} has no unit; write {1}s, {1}m or {1}h", option, text));
  if (error != std::errc() || !(value > 0) || !std::isfinite(value) || scale == 0) {
    throw UsageError(fmt::format("{}: expected a time such as 90s, 10m or 2h, found '{}'", option, text));
  }
  return value * scale;
}

void refuse_overwrite(const std::string& out, const std::vector<std::pair<std::string, std::string>>& inputs) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(out, ignored)) return;  // a device may be both
  for (const auto& [option, file] : inputs) {
    if (!std::filesystem::equivalent(out, file, ignored)) continue;
    throw UsageError(fmt::format("{}: this file is to be written, and {} reads it ({}): it would be overwritten; give another name", out, option, file));
  }
}

void check_output(const std::string& out, const std::vector<std::pair<std::string, std::string>>& inputs) {
  refuse_overwrite(out, inputs);
  rt::check_writable(out);
}

std::string shell_word(const std::string& text) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+,:@%=";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string with_commas(double value) {
  std::string digits = fmt::format("{:.0f}", value);
  for (int i = static_cast<int>(digits.size()) - 3; i > (value < 0 ? 1 : 0); i -= 3) digits.insert(static_cast<size_t>(i), ",");
  return digits;
}

}  // namespace cpuflow::cli
