#include "runtime/train/arrays.h"

#include <algorithm>

namespace cpuflow::rt {

uint64_t Arrays::bytes(const codegen::Manifest& m, bool training, int threads) {
  TrainingMemory need = training_memory(m, threads);
  if (!training) need.moments = need.grads = 0;
  return need.total() + static_cast<uint64_t>(m.lanes) * (Arena::bytes_for(m.losses.size() + m.watch.size()) + Arena::bytes_for(m.loss_floats));
}

Arrays::Arrays(const codegen::Manifest& m, bool training, int threads)
    : shape(batch_shape(m)),
      arena_((require_memory(bytes(m, training, threads), available_memory(), training ? "training" : "evaluation"), bytes(m, training, threads))) {
  params = arena_.floats(m.param_floats);
  if (training) {
    first_moment = arena_.floats(m.param_floats);
    second_moment = arena_.floats(m.param_floats);
  }
  shared = arena_.floats(m.shared_floats);
  for (int64_t i = 0; i < std::max<int64_t>(1, m.lanes); ++i) {
    Lane lane;
    if (i < threads) lane.scratch = arena_.floats(m.scratch_floats(shape.together));
    if (training) lane.grads = arena_.floats(std::max(m.grad_floats, m.param_floats));
    lane.sums = arena_.floats(m.loss_floats);
    lane.terms = arena_.floats(m.losses.size() + m.watch.size());
    lane.tokens = arena_.ints(static_cast<uint64_t>(shape.together * m.T));
    lane.targets = arena_.ints(static_cast<uint64_t>(shape.together * m.T));
    lanes.push_back(lane);
  }
  for (int64_t i = 0; i < shape.calls * static_cast<int64_t>(lanes.size()); ++i) losses_.push_back(arena_.floats(m.loss_floats));
}

}  // namespace cpuflow::rt
