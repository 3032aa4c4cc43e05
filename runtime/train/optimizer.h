#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/thread_pool.h"

namespace cpuflow::rt {

/// AdamW's settings of one parameter.
struct ParamGroup {
  double lr_scale = 1;  // times the schedule's learning rate
  double weight_decay = 0;
};

/// The groups of all parameters, in manifest order.  A group's `lr` in [train] is absolute: the rate at the top of the schedule, which
/// scales the whole schedule of its parameters by lr / train.lr.  Of several patterns that match, the last one decides each setting. Throws
/// std::invalid_argument for a pattern that matches no parameter, and for a group's lr where train.lr is 0; a model file with either is refused by the front end.
std::vector<ParamGroup> param_groups(const codegen::Manifest& manifest);

/// Gradient of a step: the norm before clipping.
struct GradientNorm {
  double norm = 0;
  bool finite() const;
};

/// AdamW with decoupled weight decay (Loshchilov and Hutter, 2019) and clipping by the global norm, by the formulas of
/// torch.optim.AdamW and torch.nn.utils.clip_grad_norm_, all in float32 except the norm, which is summed in double; results below 2^-126 are 0.  Work is cut into
/// blocks that depend on the parameters only, so results do not depend on the number of threads.
class AdamW {
 public:
  /// `first` and `second` are the moments [param_floats], zero at the beginning of a run; they must outlive this object.
  /// Throws as param_groups().
  AdamW(const codegen::Manifest& manifest, float* first, float* second);

  /// Adds the gradients of lanes 1 .. to lane 0's, as a balanced tree in lane order: (0 + 1) + (2 + 3).  Lanes 1 .. are zero afterwards: they are
  /// in the caches here.
  static void sum_lanes(ThreadPool& pool, const std::vector<float*>& lanes, uint64_t count);
  /// Sets one lane's gradients to zero.
  static void clear(ThreadPool& pool, float* grads, uint64_t count);
  /// Norm of scale * gradient over trainable parameters.
  GradientNorm norm(ThreadPool& pool, const float* grads, double scale) const;
  /// One update with scale * gradient, clipped to norm train.clip where that is above 0.  `update` counts from 1, for the bias correction;
  /// `lr` is the schedule's.  Parameters are then clamped to their range; those that are not trainable stay as they are.
  void step(ThreadPool& pool, float* params, const float* grads, double scale, const GradientNorm& norm, double lr, int64_t update) const;

 private:
  struct Block {
    size_t param = 0;
    uint64_t begin = 0, end = 0;  // in the parameter array
  };
  std::vector<Block> blocks_;  // of trainable parameters
  std::vector<codegen::ParamInfo> params_;
  std::vector<ParamGroup> groups_;
  codegen::TrainSettings train_;
  float *first_, *second_;
};

}  // namespace cpuflow::rt
