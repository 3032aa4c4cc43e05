#include "runtime/cli/precision.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/cli/bench_program.h"
#include "runtime/cli/command.h"
#include "runtime/thread_pool.h"

namespace cpuflow::cli {
namespace {

constexpr int kRepetitions = 3;

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
    compile.overrides[kPrecisionSetting] = precision;
    return BenchProgram(compile_model(compile), threads > 0 ? threads : rt::available_threads(), 1);
  };
  BenchProgram fp32 = program("fp32"), bf16 = program("bf16");
  for (BenchProgram* p : {&fp32, &bf16}) p->run(Work::Step);  // warm up
  double best[2] = {};
  for (int i = 0; i < kRepetitions; ++i) {
    best[0] = std::max(best[0], fp32.speed(Work::Step));
    best[1] = std::max(best[1], bf16.speed(Work::Step));
  }
  const std::string chosen = best[1] > best[0] ? "bf16" : "fp32";
  log_line(fmt::format("precision: {} (measured now: {} tokens/s in fp32, {} in bf16)", chosen, with_commas(best[0]), with_commas(best[1])));
  return chosen;
}

}  // namespace cpuflow::cli
