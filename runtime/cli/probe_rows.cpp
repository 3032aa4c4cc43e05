#include "runtime/cli/probe_rows.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <vector>

#include "codegen/jit/object_cache.h"
#include "runtime/memory.h"

namespace cpuflow::cli {

namespace {

/// The norm of all differences, as a share of the norm of the logits.
double measured(const codegen::Executable& exe) {
  const codegen::Manifest& m = exe.manifest;
  const int64_t rows = std::min<int64_t>(m.T, 64);
  const uint64_t T = static_cast<uint64_t>(m.T), V = static_cast<uint64_t>(m.columns()), lane = m.rows_lane_floats;
  const uint64_t logits = static_cast<uint64_t>(rows) * V;
  rt::Arena arena(rt::Arena::bytes_for(m.param_floats) + rt::Arena::bytes_for(m.shared_floats) + 2 * rt::Arena::bytes_for(lane) +
                  2 * rt::Arena::bytes_for(logits) + rt::Arena::bytes_for(T));
  float* params = arena.floats(m.param_floats);
  uint64_t state = 1;
  auto random = [&] {  // Knuth's MMIX generator: its upper bits are random enough to tell rows apart
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<uint32_t>(state >> 32);
  };
  for (const codegen::ParamInfo& p : m.params) {
    const bool vector = p.shape.size() < 2;
    const float spread = vector ? 0.2f : 1.0f / std::sqrt(static_cast<float>(p.shape.back()));
    for (uint64_t i = 0; i < p.count; ++i) {
      const float value = (vector ? 1.0f : 0.0f) + spread * (static_cast<float>(random() >> 8) * 0x1p-23f - 1.0f);
      params[p.offset + i] = static_cast<float>(std::clamp(static_cast<double>(value), p.low, p.high));
    }
  }
  cpuflow_call call{};
  call.params = params;
  call.shared = arena.floats(m.shared_floats);
  int32_t* tokens = arena.ints(T);
  for (uint64_t t = 0; t < T; ++t) tokens[t] = static_cast<int32_t>(random() % static_cast<unsigned>(m.V));
  call.tokens = call.targets = tokens;
  float *at_once = arena.floats(logits), *in_steps = arena.floats(logits), *scratch = arena.floats(lane);
  call.lane = scratch;
  call.streams = 1;
  exe.prepare(&call);
  call.out = at_once;
  call.last = static_cast<int32_t>(rows);
  exe.rows(&call);
  call.lane = arena.floats(lane);
  // Steps of several lengths: every place where one ends shows what an earlier row saw of a later one, and a large model is read few times.
  constexpr int32_t kSteps[] = {1, 2, 3, 5, 7, 1, 11};
  size_t step = 0;
  for (int32_t t = 0; t < rows; t = call.last) {
    call.first = t;
    call.last = std::min(static_cast<int32_t>(rows), t + kSteps[step++ % std::size(kSteps)]);
    call.out = in_steps + static_cast<uint64_t>(t) * V;
    exe.rows(&call);
  }
  double difference = 0, size = 0;
  for (uint64_t i = 0; i < logits; ++i) {
    // What is no number in both says nothing; but a head has to be one.
    const bool same = at_once[i] == in_steps[i] || (!m.head && std::isnan(at_once[i]) && std::isnan(in_steps[i]));
    if (same && !std::isfinite(at_once[i])) continue;
    difference += std::pow(static_cast<double>(at_once[i]) - in_steps[i], 2);
    size += std::pow(static_cast<double>(at_once[i]), 2);
  }
  return difference == 0 ? 0 : std::sqrt(difference) / std::sqrt(size);
}

}  // namespace

bool rows_agree(const codegen::Executable& exe, const codegen::JitRecord& code, const codegen::JitOptions& options, double tolerance) {
  codegen::ObjectCache cache;
  if (options.use_cache && options.exec == codegen::Exec::Orc) cache = codegen::ObjectCache::open(options.cache_dir, options.cache_limit_bytes);
  std::string ranges;  // are no part of the code
  for (const codegen::ParamInfo& p : exe.manifest.params) ranges += fmt::format("{} {} {}\n", p.offset, p.low, p.high);
  const std::string key = fmt::format("{}-rows4-{:016x}", code.hash, XXH3_64bits(ranges.data(), ranges.size()));  // another number with every change of what is measured
  std::string kept;
  if (!cache.get(key, kept)) {
    kept = fmt::format("{:.6g}", measured(exe));
    cache.put(key, kept);
  }
  return std::stod(kept) <= tolerance;  // what is no number agrees with nothing
}

}  // namespace cpuflow::cli
