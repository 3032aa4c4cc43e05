#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/data/dataset.h"

/// A bigram model written by hand against the kernel ABI: logits[t] = table[tokens[t]] + 2 * bias.  The doubled bias is a shared value, so
/// that prepare and finish have work; `rows` counts positions in its lane, from 0 on at position 0, and gives NaN when they do not come in order.
namespace bigram {

inline constexpr int64_t V = 12, T = 8;
inline constexpr uint64_t kTable = V * V, kBias = (kTable + 15) / 16 * 16, kFloats = kBias + 16;

/// Softmax of one position into `p`; returns -log p[target].
inline double softmax(const cpuflow_call* c, int64_t t, std::vector<double>& p) {
  const float* row = c->params + static_cast<int64_t>(c->tokens[t]) * V;
  double top = -1e300, sum = 0;
  for (int64_t v = 0; v < V; ++v) top = std::max(top, p[static_cast<size_t>(v)] = static_cast<double>(row[v]) + c->shared[v]);
  for (double& x : p) sum += x = std::exp(x - top);
  for (double& x : p) x /= sum;
  return -std::log(p[static_cast<size_t>(c->targets[t])]);
}

inline void prepare(const cpuflow_call* c) {
  for (int64_t v = 0; v < V; ++v) c->shared[v] = 2 * c->params[kBias + static_cast<uint64_t>(v)];
}

template <int64_t B, bool Train>
void sequence(const cpuflow_call* c) {
  std::vector<double> p(V);
  for (int64_t t = 0; t < T; ++t) {
    c->losses[0] += static_cast<float>(softmax(c, t, p));
    c->losses[1] += 1;
    if (!Train) continue;
    for (int64_t v = 0; v < V; ++v) {
      const float g = static_cast<float>((p[static_cast<size_t>(v)] - (v == c->targets[t] ? 1 : 0)) / (T * B));
      c->grads[static_cast<int64_t>(c->tokens[t]) * V + v] += g;
      c->grads[kFloats + static_cast<uint64_t>(v)] += g;
    }
  }
}

inline void finish(const cpuflow_call* c) {
  for (int64_t v = 0; v < V; ++v) c->grads[kBias + static_cast<uint64_t>(v)] += 2 * c->grads[kFloats + static_cast<uint64_t>(v)];
}

/// As in compiled code, the divisor is a constant: a call has B sequences.
template <int64_t B>
void loss_terms(const cpuflow_call* c) {
  c->out[0] = c->losses[0] / static_cast<float>(T * B);
  c->out[1] = c->out[0];
}

inline void rows(const cpuflow_call* c) {
  for (int32_t s = 0; s < c->streams; ++s) {
    float* const lane = c->lane + s * c->lane_step;
    if (c->first == 0) lane[0] = 0;
    for (int32_t t = c->first; t < c->last; ++t) {
      float* out = c->out + (s * (c->last - c->first) + t - c->first) * V;
      for (int64_t v = 0; v < V; ++v)
        out[v] = lane[0] == static_cast<float>(t) ? c->params[static_cast<int64_t>(c->tokens[s * T + t]) * V + v] + c->shared[v] : NAN;
      lane[0] += 1;
    }
  }
}

template <int64_t B = 2>
cpuflow::codegen::Executable make(int64_t batch = 8) {
  using Init = cpuflow::codegen::ParamInfo::Init;
  cpuflow::codegen::Executable exe;
  cpuflow::codegen::Manifest& m = exe.manifest;
  m.model = "bigram";
  m.dims = {{"V", V}, {"T", T}, {"B", B}};
  m.B = B;
  m.T = T;
  m.V = V;
  m.param_floats = kFloats;
  m.shared_floats = 16;
  m.lane_floats = m.rows_lane_floats = m.loss_floats = 16;
  m.grad_floats = kFloats + 16;
  m.params.push_back({"table.weight", {V, V}, 0, kTable, Init::Normal, 0, 0.5});
  m.params.push_back({"bias", {V}, kBias, V, Init::Constant, 0, 0});
  m.losses = {"ce", "total"};
  m.cross_entropy = 0;
  m.train.batch = batch;
  m.train.lr = 3e-2;
  m.train.warmup_steps = 2;
  exe.prepare = prepare;
  exe.train_sequence = sequence<B, true>;
  exe.eval_sequence = sequence<B, false>;
  exe.finish = finish;
  exe.loss_terms = loss_terms<B>;
  exe.eval_terms = exe.loss_terms;
  exe.rows = rows;
  return exe;
}

/// A stream in which the next id follows from the last one nine times out of ten.
inline cpuflow::rt::TokenData text(uint64_t count, uint64_t seed = 1) {
  cpuflow::rt::TokenData data;
  data.name = "stream";
  uint64_t state = seed * 2654435761u + 7, id = seed % V;
  for (uint64_t i = 0; i < count; ++i) {
    data.ids.append(static_cast<uint32_t>(id));
    state = state * 6364136223846793005u + 1442695040888963407u;
    id = (state >> 40) % 10 == 0 ? (state >> 33) % V : (5 * id + 3) % V;
  }
  data.bytes = 3 * count;
  return data;
}

}  // namespace bigram
