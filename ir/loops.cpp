#include "ir/loops.h"

namespace cpuflow::ir {

int64_t Index::along(const Axis& axis) const {
  for (const auto& [a, c] : terms) {
    if (a == axis) return c;
  }
  return 0;
}

int64_t stride_along(const LoopProgram& program, const Place& place, const Axis& axis) {
  const Buffer& b = program.buffers[place.buffer];
  int64_t stride = 0;
  for (size_t d = 0; d < b.axes.size(); ++d) stride += place.indices[d].along(axis) * b.strides[d];
  return stride;
}

}  // namespace cpuflow::ir
