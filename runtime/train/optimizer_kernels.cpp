#include "runtime/train/optimizer_kernels.h"

// Each function in versions for several instruction sets, of which the loader takes the best; all give the same bits, since nothing is
// contracted.  The build gives this file options with which its loops become vector code.
#if defined(__x86_64__)
#define VECTOR_CODE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTOR_CODE
#endif

namespace cpuflow::rt {

VECTOR_CODE void adamw_block(float* __restrict p, float* __restrict m, float* __restrict v, const float* __restrict g, uint64_t count,
                 const AdamWStep& s) {
  const AdamWStep k = s;
  for (uint64_t i = 0; i < count; ++i) {
    const float grad = g[i] * k.grad_scale * k.clip;
    const float weight = p[i] * k.decay;
    const float first = m[i] + k.one_minus_beta1 * (grad - m[i]);
    const float second = v[i] * k.beta2 + k.one_minus_beta2 * (grad * grad);
    const float denominator = __builtin_sqrtf(second) / k.correction + k.eps;
    m[i] = first;
    v[i] = second;
    p[i] = weight - k.step_size * (first / denominator);
  }
}

VECTOR_CODE double sum_of_squares(const float* x, uint64_t count) {
  constexpr uint64_t kParts = 32;  // several vectors of sums: the next addition need not wait for the last
  double parts[kParts] = {};
  uint64_t i = 0;
  for (; i + kParts <= count; i += kParts) {
    for (uint64_t j = 0; j < kParts; ++j) parts[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
  }
  for (; i < count; ++i) parts[i % kParts] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

VECTOR_CODE void add_block(float* __restrict a, const float* __restrict b, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) a[i] += b[i];
}

}  // namespace cpuflow::rt
