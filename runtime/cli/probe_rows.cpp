#include "runtime/cli/probe_rows.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "runtime/memory.h"

namespace cpuflow::cli {

bool rows_agree(const codegen::Executable& exe) {
  const codegen::Manifest& m = exe.manifest;
  const int64_t rows = std::min<int64_t>(m.T, 64);
  const uint64_t T = static_cast<uint64_t>(m.T), V = static_cast<uint64_t>(m.V), lane = std::max(m.lane_floats, m.rows_lane_floats);
  const uint64_t logits = static_cast<uint64_t>(rows) * V;
  rt::Arena arena(rt::Arena::bytes_for(m.param_floats) + rt::Arena::bytes_for(m.shared_floats) + 2 * rt::Arena::bytes_for(lane) +
                  2 * rt::Arena::bytes_for(logits) + rt::Arena::bytes_for(T));
  float* params = arena.floats(m.param_floats);
  std::mt19937 random(1);
  for (const codegen::ParamInfo& p : m.params) {
    const bool vector = p.shape.size() < 2;
    const float spread = vector ? 0.2f : 1.0f / std::sqrt(static_cast<float>(p.shape.back()));
    for (uint64_t i = 0; i < p.count; ++i) params[p.offset + i] = (vector ? 1.0f : 0.0f) + std::uniform_real_distribution<float>(-spread, spread)(random);
  }
  cpuflow_call call{};
  call.params = params;
  call.shared = arena.floats(m.shared_floats);
  int32_t* tokens = arena.ints(T);
  for (uint64_t t = 0; t < T; ++t) tokens[t] = static_cast<int32_t>(random() % static_cast<unsigned>(V));
  call.tokens = call.targets = tokens;
  float *at_once = arena.floats(logits), *in_steps = arena.floats(logits), *scratch = arena.floats(lane);
  call.lane = scratch;
  exe.prepare(&call);
  call.out = at_once;
  call.last = static_cast<int32_t>(rows);
  exe.rows(&call);
  call.lane = arena.floats(lane);
  for (int32_t t = 0; t < rows; ++t) {
    call.first = t;
    call.last = t + 1;
    call.out = in_steps + static_cast<uint64_t>(t) * V;
    exe.rows(&call);
  }
  double difference = 0, size = 0;
  for (uint64_t i = 0; i < logits; ++i) {
    difference += std::pow(static_cast<double>(at_once[i]) - in_steps[i], 2);
    size += std::pow(static_cast<double>(at_once[i]), 2);
  }
  return !(std::sqrt(difference) > 1e-3 * std::sqrt(size));
}

}  // namespace cpuflow::cli
