#include "runtime/cli/precision.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "ir/diagnostics.h"
#include "modeldefs/frontend/build_graph.h"
#include "runtime/cli/bench_program.h"
#include "runtime/cli/command.h"
#include "runtime/thread_pool.h"

namespace cpuflow::cli {
namespace {

constexpr const char* kSetting = "train.precision";
constexpr int kRepetitions = 3;

/// Tokens a second of one step.
double measured(BenchProgram& program) {
  const auto start = std::chrono::steady_clock::now();
  const int64_t tokens = program.run(Work::Step);
  return static_cast<double>(tokens) / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::string faster_precision(const CompileOptions& options, int threads) {
  const ir::CpuTarget target = options.target.empty() ? ir::host_target() : ir::target_by_name(options.target);
  if (!target.fast_bf16) {
    log_line(fmt::format("precision: fp32 ({} has no instructions for bf16)", target.name));
    return "fp32";
  }
  auto program = [&](const char* precision) {
    CompileOptions compile = options;
    compile.rows = false;
    compile.overrides[kSetting] = precision;
    return BenchProgram(compile_model(compile), threads > 0 ? threads : rt::available_threads(), 1);
  };
  BenchProgram fp32 = program("fp32"), bf16 = program("bf16");
  for (BenchProgram* p : {&fp32, &bf16}) p->run(Work::Step);  // warm up
  double best[2] = {};
  for (int i = 0; i < kRepetitions; ++i) {
    best[0] = std::max(best[0], measured(fp32));
    best[1] = std::max(best[1], measured(bf16));
  }
  const std::string chosen = best[1] > best[0] ? "bf16" : "fp32";
  log_line(fmt::format("precision: {} (measured now: {} tokens/s in fp32, {} in bf16)", chosen, with_commas(best[0]), with_commas(best[1])));
  return chosen;
}

void settle_precision(CompileOptions& options, int threads) {
  ir::Diagnostics diagnostics;
  const frontend::Model model = frontend::load_model(frontend::find_model(options.model), options.overrides, diagnostics);
  diagnostics.stop_if_errors();
  if (model.precision == "auto") options.overrides[kSetting] = faster_precision(options, threads);
}

}  // namespace cpuflow::cli
