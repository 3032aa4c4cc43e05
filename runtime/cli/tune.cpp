#include "runtime/cli/tune.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "codegen/jit/object_cache.h"
#include "runtime/cli/bench_program.h"
#include "runtime/cli/command.h"
#include "runtime/thread_pool.h"

namespace cpuflow::cli {
namespace {

constexpr int kRounds = 3;
constexpr int64_t kHeights[] = {128, 32, 256, 16};
constexpr double kClearly = 1.02;  // less is noise

using Clock = std::chrono::steady_clock;

/// The model with one more setting.
std::unique_ptr<BenchProgram> program(CompileOptions options, int threads, const char* setting, const std::string& value) {
  options.rows = false;
  options.overrides[setting] = value;
  return std::make_unique<BenchProgram>(compile_model(options), threads, 1);
}

struct Speeds {
  double first = 0, second = 0;  // tokens a second, of the best step of each
};

/// Steps of both in turn, at least `kRounds` of each and until `end`.
Speeds race(BenchProgram& first, BenchProgram& second, Clock::time_point end) {
  for (BenchProgram* p : {&first, &second}) p->run(Work::Step);  // warm up
  Speeds best;
  for (int i = 0; i < kRounds || Clock::now() < end; ++i) {
    best.first = std::max(best.first, first.speed(Work::Step));
    best.second = std::max(best.second, second.speed(Work::Step));
  }
  return best;
}

const std::string kOwn = "0";  // the compiler's choice, as a setting

}  // namespace

std::string faster_precision(const CompileOptions& options, int threads) {
  const ir::CpuTarget target = options.target.empty() ? ir::host_target() : ir::target_by_name(options.target);
  if (!target.fast_bf16) {
    log_line(fmt::format("precision: fp32 ({} has no instructions for bf16)", target.name));
    return "fp32";
  }
  const auto fp32 = program(options, threads, kPrecisionSetting, "fp32"), bf16 = program(options, threads, kPrecisionSetting, "bf16");
  const Speeds best = race(*fp32, *bf16, Clock::now());
  const std::string chosen = best.second > best.first ? "bf16" : "fp32";
  log_line(fmt::format("precision: {} (measured now: {} tokens/s in fp32, {} in bf16)", chosen, with_commas(best.first), with_commas(best.second)));
  return chosen;
}

std::string faster_tiles(const CompileOptions& options, int threads, double seconds) {
  const Clock::time_point begin = Clock::now();
  auto after = [&](double share) { return begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(share * seconds)); };
  auto hash = [](const BenchProgram& p) { return p.model().library->record().hash; };
  auto best = program(options, threads, kTilesSetting, kOwn);
  const codegen::JitOptions jit = best->model().jit;
  codegen::ObjectCache kept = codegen::ObjectCache::open(jit.cache_dir, jit.cache_limit_bytes);
  const std::string key = fmt::format("{}-tiles-{}", hash(*best), threads);
  std::string chosen = kOwn;
  auto say = [&](const std::string& how) {
    log_line(fmt::format("schedule: {} ({})", chosen == kOwn ? "the compiler's own" : "tile_rows = " + chosen, how));
    return chosen;
  };
  if (kept.get(key, chosen)) return say("measured earlier for this model, target and number of threads");
  std::vector<std::string> slower;
  double gain = 1;
  size_t next = 0;
  for (; next < std::size(kHeights) && Clock::now() < after(1); ++next) {
    const std::string rows = std::to_string(kHeights[next]);
    auto other = program(options, threads, kTilesSetting, rows);
    if (hash(*other) == hash(*best)) continue;  // a sequence has no more rows
    const Speeds speeds = race(*best, *other, after(static_cast<double>(next + 1) / std::size(kHeights)));
    if (speeds.second < kClearly * speeds.first) {
      slower.push_back(rows);
      continue;
    }
    gain *= speeds.second / speeds.first;
    chosen = rows;
    best = std::move(other);
  }
  if (next == std::size(kHeights)) kept.put(key, chosen);  // a shorter measurement is made again
  std::string how = chosen == kOwn ? "" : fmt::format("{:.0f} % faster than the compiler's own", 100 * (gain - 1));
  if (!slower.empty()) how += fmt::format("{}no faster: {}", how.empty() ? "" : "; ", fmt::join(slower, ", "));
  if (next < std::size(kHeights)) how += how.empty() ? "no time to measure others" : "; no time for more";
  return say(how.empty() ? "others are the same" : how);
}

void measure_choices(std::map<std::string, std::string>& settings, const std::string& precision, CompileOptions options, int threads, double seconds) {
  if (threads == 0) threads = rt::available_threads();
  auto settle = [&](const char* name, const std::string& value) { settings[name] = options.overrides[name] = value; };
  if (precision == "auto") settle(kPrecisionSetting, faster_precision(options, threads));
  if (seconds > 0) settle(kTilesSetting, faster_tiles(options, threads, seconds));
}

}  // namespace cpuflow::cli
