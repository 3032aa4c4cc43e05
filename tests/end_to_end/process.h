#pragma once
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/files.h"

/// What a finished process left.
struct Result {
  int status = -1;  // exit status; 128 + signal when a signal ended it
  std::string out, err;
};

/// What a process may not do.
struct Limits {
  long file_bytes = -1;       // largest file that it may write; -1: any
  bool unprivileged = false;  // if this process is root: run as nobody
};

/// A process of the built cpuflowc.
class Process {
 public:
  /// Starts `cpuflowc args...` with stdin closed; `env` is added to the environment.
  explicit Process(const std::vector<std::string>& args, const std::map<std::string, std::string>& env = {}, const Limits& limits = {});
  ~Process();
  void signal(int number) const;
  bool running() const;
  Result wait();

 private:
  pid_t pid_ = -1;
  std::filesystem::path out_, err_;
  mutable int status_ = -1;
};

/// Runs `cpuflowc args...` to its end.
Result cpuflowc(const std::vector<std::string>& args, const std::map<std::string, std::string>& env = {}, const Limits& limits = {});

std::string golden(const std::string& name);
/// The folder with reference runs and texts (CPUFLOW_SHARED, or `shared` beside the source), or "".
std::string shared_folder();
bool contains(const std::string& text, const std::string& part);
/// Adds lists of arguments.
std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b);
/// "a b c" as {"a", "b", "c"}.
std::vector<std::string> words(const std::string& text);
