#include "runtime/train/optimizer_kernels.h"

#include <cmath>

// Vector code for these loops whatever the build type; without errno, sqrt is one instruction.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#endif

namespace cpuflow::rt {

void adamw_block(float* __restrict p, float* __restrict m, float* __restrict v, const float* __restrict g, uint64_t count,
                 const AdamWStep& s) {
  const AdamWStep k = s;
  for (uint64_t i = 0; i < count; ++i) {
    const float grad = g[i] * k.grad_scale * k.clip;
    const float weight = p[i] * k.decay;
    const float first = m[i] + k.one_minus_beta1 * (grad - m[i]);
    const float second = v[i] * k.beta2 + k.one_minus_beta2 * (grad * grad);
    const float denominator = std::sqrt(second) / k.correction + k.eps;
    m[i] = first;
    v[i] = second;
    p[i] = weight - k.step_size * (first / denominator);
  }
}

double sum_of_squares(const float* x, uint64_t count) {
  constexpr uint64_t kParts = 8;
  double parts[kParts] = {};
  uint64_t i = 0;
  for (; i + kParts <= count; i += kParts) {
    for (uint64_t j = 0; j < kParts; ++j) parts[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  }
  for (; i < count; ++i) parts[i % kParts] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}

void add_block(float* __restrict a, const float* __restrict b, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) a[i] += b[i];
}

}  // namespace cpuflow::rt
