#include "codegen/emit/shared_rows.h"

#include <algorithm>

namespace cpuflow::codegen {
using namespace ir;

bool takes_streams(const LoopProgram& program, const Step& step, const Region& region) {
  const Product& p = step.product;
  if (step.kind != Step::Kind::Product || !region.has_rows || p.m != region.row || p.k == region.row || !step.reaches.empty()) return false;
  const Space a = program.buffers[p.a.buffer].space, b = program.buffers[p.b.buffer].space;
  return a == Space::Lane && b != Space::Lane && b != Space::Out && stride_along(program, p.a, p.k) == 1;
}

bool shared_by_partners(const LoopProgram& program, const Step& step, const Region& region) {
  constexpr int64_t kWorthMeeting = 1 << 14;  // floats of packed B: 64 KB
  const Product& p = step.product;
  return takes_streams(program, step, region) && panel_floats(program, p.k.size, p.n.size, p.bf16) >= kWorthMeeting;
}

uint64_t widest_shared_row(const LoopProgram& program) {
  int64_t widest = 0;
  for (const Function& f : program.functions) {
    if (!f.row_range) continue;
    for (const Part& part : f.parts) {
      for (const Region& region : part.regions) {
        for (const Step* step : steps_of(region)) {
          if (shared_by_partners(program, *step, region)) widest = std::max(widest, static_cast<int64_t>(step->product.n.size));
        }
      }
    }
  }
  return static_cast<uint64_t>(widest);
}

}  // namespace cpuflow::codegen
