#pragma once
#include <functional>
#include <string>
#include <vector>

#include "runtime/train/trainer.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/messages.h"

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
  return text_of(dir + "/checkpoint/model.safetensors") + text_of(dir + "/checkpoint/optimizer.safetensors");
}
