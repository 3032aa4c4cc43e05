#include "tests/end_to_end/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace fs = std::filesystem;

namespace {

fs::path fresh_path(const char* kind) {
  static std::atomic<int> counter{0};
  return fs::temp_directory_path() / ("cpuflow-" + std::string(kind) + "-" + std::to_string(getpid()) + "-" + std::to_string(counter++));
}

int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

Process::Process(const std::vector<std::string>& args, const std::map<std::string, std::string>& env, const Limits& limits)
    : out_(fresh_path("out")), err_(fresh_path("err")) {
  std::vector<std::string> all{CPUFLOW_BINARY_DIR "/cpuflowc"};
  all.insert(all.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& arg : all) argv.push_back(arg.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ > 0) return;
  for (const auto& [name, value] : env) setenv(name.c_str(), value.c_str(), 1);
  const int in = open("/dev/null", O_RDONLY);
  const int out = open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err = open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (in >= 0) dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  if (limits.file_bytes >= 0) {
    const rlimit limit{static_cast<rlim_t>(limits.file_bytes), static_cast<rlim_t>(limits.file_bytes)};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (limits.unprivileged && geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(126);
  execv(argv[0], argv.data());
  _exit(127);
}

Process::~Process() {
  if (running()) {
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  fs::remove(out_, ignored);
  fs::remove(err_, ignored);
}

void Process::signal(int number) const {
  if (running()) ::kill(pid_, number);
}

bool Process::running() const {
  if (status_ >= 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) status_ = exit_status(status);
  return status_ < 0;
}

Result Process::wait() {
  if (status_ < 0) {
    int status = 0;
    waitpid(pid_, &status, 0);
    status_ = exit_status(status);
  }
  return {status_, text_of(out_.string()), text_of(err_.string())};
}

Result cpuflowc(const std::vector<std::string>& args, const std::map<std::string, std::string>& env, const Limits& limits) {
  return Process(args, env, limits).wait();
}

std::string shared_folder() {
  const char* set = std::getenv("CPUFLOW_SHARED");
  const std::string folder = set ? set : CPUFLOW_SOURCE_DIR "/../shared";
  return std::filesystem::exists(folder + "/golden") ? folder : "";
}

std::string golden(const std::string& name) { return CPUFLOW_SOURCE_DIR "/tests/golden/" + name + ".safetensors"; }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}
