#include "ir/loops.h"

namespace cpuflow::ir {

int64_t Index::along(const Axis& axis) const {
  for (const auto& [a, c] : terms) {
    if (a == axis) return c;
  }
  return 0;
}

Axes loops_of(const Step& step) {
  Axes out;
  if (step.kind == Step::Kind::Nest) return step.nest.loops;
  if (step.kind == Step::Kind::Product) {
    out = step.product.loops;
    out.insert(out.end(), {step.product.m, step.product.k, step.product.n});
    for (const ProductTerm& t : step.product.more) out.push_back(t.k);
  }
  if (step.kind == Step::Kind::Pack) {
    out = step.pack.loops;
    out.insert(out.end(), {step.pack.k, step.pack.n});
  }
  return out;
}

std::vector<const Nest*> nests_of(const Step& step) {
  if (step.kind == Step::Kind::Nest) return {&step.nest};
  std::vector<const Nest*> out;
  for (const Nest& n : step.product.blocks) out.push_back(&n);
  return out;
}

int64_t stride_along(const LoopProgram& program, const Place& place, const Axis& axis) {
  const Buffer& b = program.buffers[place.buffer];
  int64_t stride = 0;
  for (size_t d = 0; d < b.axes.size(); ++d) stride += place.indices[d].along(axis) * b.strides[d];
  return stride;
}

int64_t panel_floats(const LoopProgram& program, int64_t k, int64_t n, bool bf16) {
  constexpr int64_t kUnitTile = 16;  // as in codegen/prelude/bf16.h
  const int64_t columns = (n + program.panel - 1) / program.panel * program.panel;
  return columns * (bf16 ? ((k + 1) / 2 + kUnitTile - 1) / kUnitTile * kUnitTile : k);
}

}  // namespace cpuflow::ir
