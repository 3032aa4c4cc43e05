#include "ir/shared_rows.h"

#include <algorithm>

namespace cpuflow::ir {

bool takes_streams(const LoopProgram& program, const Step& step, const Region& region) {
  const Product& p = step.product;
  if (step.kind != Step::Kind::Product || !region.has_rows || p.m != region.row || p.k == region.row || !step.reaches.empty()) return false;
  const Space a = program.buffers[p.a.buffer].space, b = program.buffers[p.b.buffer].space, c = program.buffers[p.c.buffer].space;
  if (program.buffers[p.a.buffer].bf16 || (c != Space::Lane && c != Space::Out)) return false;
  return a == Space::Lane && b != Space::Lane && b != Space::Out && stride_along(program, p.a, p.k) == 1;
}

bool shared_by_partners(const LoopProgram& program, const Step& step, const Region& region) {
  constexpr int64_t kWorthMeeting = 1 << 14;  // floats of packed B: 64 KB
  const Product& p = step.product;
  return takes_streams(program, step, region) && panel_floats(program, p.k.size, p.n.size, p.bf16) >= kWorthMeeting;
}

bool joins_sequences(const LoopProgram& program, const Group& group, const Region& region) {
  return group.by_row && std::any_of(group.steps.begin(), group.steps.end(), [&](const Step& s) { return takes_streams(program, s, region); });
}

bool joins_sequences(const LoopProgram& program, const Function& function, const Region& region) {
  return !function.row_range && std::any_of(region.groups.begin(), region.groups.end(), [&](const Group& g) { return joins_sequences(program, g, region); });
}

int64_t sequences_together(const LoopProgram& program) {
  constexpr int64_t kTogether = 4, kScratchFloats = int64_t{1} << 26;  // rows of which a product is bound by arithmetic; floats of a thread, 256 MB
  int64_t scratch = 1;
  bool joins = false;
  for (const Function& f : program.functions) {
    scratch = std::max(scratch, f.lane_floats);
    for (const Part& part : f.parts) joins = joins || std::any_of(part.regions.begin(), part.regions.end(), [&](const Region& r) { return joins_sequences(program, f, r); });
  }
  return joins ? std::clamp<int64_t>(kScratchFloats / scratch, 1, kTogether) : 1;
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

}  // namespace cpuflow::ir
