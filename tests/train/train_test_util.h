#pragma once
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "runtime/train/trainer.h"
#include "tests/catch.h"

/// A folder that is removed with everything in it.
class RunFolder {
 public:
  RunFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cpuflow-train-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot make a temporary folder");
    path_ = pattern;
  }
  ~RunFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void put(const std::string& path, const std::string& content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

template <class Run>
std::string message_of(Run run) {
  try {
    run();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Keeps what it is told; `on_step` may do more.
struct Recorder : cpuflow::rt::ProgressSink {
  std::vector<cpuflow::rt::StepReport> steps;
  std::vector<cpuflow::rt::EvalReport> evaluations;
  std::string notes;
  std::function<void(const cpuflow::rt::StepReport&)> on_step;
  void step(const cpuflow::rt::StepReport& r) override {
    steps.push_back(r);
    if (on_step) on_step(r);
  }
  void evaluation(const cpuflow::rt::EvalReport& r) override { evaluations.push_back(r); }
  void note(const std::string& text) override { notes += text + "\n"; }
};

inline cpuflow::rt::TrainOptions train_options(const cpuflow::codegen::Executable& exe, const std::string& dir, int64_t steps,
                                               int threads = 1) {
  cpuflow::rt::TrainOptions o;
  o.dir = dir;
  o.schedule = cpuflow::rt::Schedule::by_steps(exe.manifest.train, steps);
  o.seed = 5;
  o.threads = threads;
  o.patience_seconds = 0;
  return o;
}

/// Weights and optimiser state of a run, byte by byte.
inline std::string tensors_of(const std::string& dir) {
  return slurp(dir + "/checkpoint/model.safetensors") + slurp(dir + "/checkpoint/optimizer.safetensors");
}
