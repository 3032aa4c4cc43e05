#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "codegen/jit/compile_cpp.h"
#include "codegen/jit/jit_module.h"
#include "codegen/jit/object_cache.h"

extern char** environ;

namespace cpuflow::codegen {

namespace {

namespace fs = std::filesystem;

/// A folder of its own, removed with everything in it.
class PrivateFolder {
 public:
  explicit PrivateFolder(const std::string& cache_dir) {
    std::vector<std::string> parents;
    for (const std::string& dir : {cache_dir.empty() ? default_cache_dir() : cache_dir, std::string()}) {
      std::error_code ignored;
      std::string parent = dir.empty() ? fs::temp_directory_path(ignored).string() : dir;
      if (parent.empty()) continue;
      make_private_folders(parent);
      std::string pattern = parent + "/dlopen-XXXXXX";
      if (::mkdtemp(pattern.data())) {
        path_ = pattern;
        return;
      }
      tried_ += fmt::format(" {} ({})", parent, std::strerror(errno));
    }
    throw JitError(fmt::format("--exec dlopen needs a folder for its shared object; none of these can be written:{}", tried_));
  }
  ~PrivateFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_, tried_;
};

struct Outcome {
  int spawn_error = 0;  // errno of the spawn itself; 0: the program ran
  int status = 0;       // as from waitpid
  std::string output;   // stdout and stderr together
};

Outcome run(const std::vector<std::string>& command) {
  Outcome outcome;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    outcome.spawn_error = errno;
    return outcome;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t child = -1;
  outcome.spawn_error = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (outcome.spawn_error == 0) {
    char buffer[4096];
    for (;;) {
      ssize_t n = ::read(ends[0], buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      outcome.output.append(buffer, static_cast<size_t>(n));
    }
    while (::waitpid(child, &outcome.status, 0) < 0 && errno == EINTR) {
    }
  }
  ::close(ends[0]);
  return outcome;
}

std::vector<std::string> compilers() {
  std::vector<std::string> names;
  if (const char* chosen = std::getenv("CXX"); chosen && *chosen) names.push_back(chosen);
  names.insert(names.end(), {"clang++-19", "clang++", "g++"});
  return names;
}

class DlopenLibrary : public Library {
 public:
  DlopenLibrary(const std::string& text, const std::string& name, const JitOptions& options) : name_(name), folder_(options.cache_dir) {
    const std::string source = folder_.path() + "/kernels.cpp";
    const std::string object = folder_.path() + "/kernels.so";
    std::ofstream file(source, std::ios::binary);
    file << text;
    file.close();
    if (!file) throw JitError(fmt::format("--exec dlopen: cannot write {}", source));

    const std::vector<std::string> flags = driver_flags(options);
    std::string tried;
    for (const std::string& compiler : compilers()) {
      std::vector<std::string> command = {compiler, "-shared", "-Wl,-Bsymbolic"};
      command.insert(command.end(), flags.begin(), flags.end());
      command.insert(command.end(), {"-o", object, source});
      Stopwatch compiling;
      Outcome outcome = run(command);
      if (outcome.spawn_error != 0) {
        tried += fmt::format("  {}: {}\n", compiler, std::strerror(outcome.spawn_error));
        continue;
      }
      if (outcome.status != 0) {
        throw JitError(
            fmt::format("internal error: {} does not compile the generated C++; please report it with the model file and this:\n{}",
                        compiler, outcome.output));
      }
      record_.ms_compile = compiling.ms();
      record_.compiler = compiler;
      break;
    }
    if (record_.compiler.empty()) {
      throw JitError(fmt::format("--exec dlopen needs an installed C++ compiler (set CXX, or use --exec orc).  Tried:\n{}", tried));
    }
    record_.hash = object_key(text, name, flags, record_.compiler);
    record_.object_bytes = static_cast<size_t>(fs::file_size(object));
    Stopwatch linking;
    handle_ = ::dlopen(object.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle_) throw JitError(fmt::format("internal error: the code of '{}' cannot be loaded: {}", name, ::dlerror()));
    record_.ms_link = linking.ms();
  }
  ~DlopenLibrary() override { ::dlclose(handle_); }

  void* symbol(const std::string& symbol_name) override {
    void* address = ::dlsym(handle_, symbol_name.c_str());
    if (!address) throw JitError(fmt::format("no usable function '{}' in the code of '{}'", symbol_name, name_));
    return address;
  }

 private:
  std::string name_;
  PrivateFolder folder_;  // kept while the code is loaded: gdb and perf read the source and the symbols
  void* handle_ = nullptr;
};

}  // namespace

std::unique_ptr<Library> load_with_dlopen(const std::string& text, const std::string& name, const JitOptions& options) {
  return std::make_unique<DlopenLibrary>(text, name, options);
}

}  // namespace cpuflow::codegen
