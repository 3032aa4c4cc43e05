#pragma once
#include <cstdint>

namespace cpuflow::rt {

/// Numbers of one AdamW update of one parameter, rounded to float32 where torch.optim.AdamW's float32 kernels see them.
struct AdamWStep {
  float grad_scale = 1;  // of the accumulated gradient
  float clip = 1;        // of the scaled gradient
  float decay = 1;       // 1 - lr * weight_decay
  float one_minus_beta1 = 0.1f;
  float beta2 = 0.95f, one_minus_beta2 = 0.05f;
  float step_size = 0;   // lr / (1 - beta1^update)
  float correction = 1;  // sqrt(1 - beta2^update)
  float eps = 1e-8f;
};

/// p, m, v are updated in place; g is read.
void adamw_block(float* p, float* m, float* v, const float* g, uint64_t count, const AdamWStep& s);
/// Sum of squares in double, in an order that depends on `count` only.
double sum_of_squares(const float* x, uint64_t count);
/// a += b.
void add_block(float* a, const float* b, uint64_t count);

}  // namespace cpuflow::rt
