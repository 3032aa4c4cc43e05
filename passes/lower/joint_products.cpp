// Products that are added to the same matrix, as the gradients of a table that two losses read, are added in one pass over it: where it is larger than the
// caches, a product of a few rows takes as long as reading and writing the matrix.
#include "passes/lower/function_lowering.h"

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

constexpr uint64_t kMostInner = 1 << 15;  // inner steps of all of them: their left operands are copied to the stack, 2 MB of these
constexpr size_t kMostTerms = 64;         // compilers read arguments of a template up to some number

uint64_t inner_steps(const Product& product) {
  uint64_t steps = product.k.size;
  for (const auto& more : product.more) steps += more.k.size;
  return steps;
}

/// Whether both steps are products of transposed left operands that are added to the same matrix.
bool add_to_one(const LoopProgram& p, const Step& first, const Step& later) {
  for (const Step* s : {&first, &later}) {
    if (s->kind != Step::Kind::Product || !s->reaches.empty() || !s->product.accumulate || !s->product.loops.empty() || stride_along(p, s->product.a, s->product.m) != 1) return false;
  }
  const Product &x = first.product, &y = later.product;
  if (x.more.size() + y.more.size() + 2 > kMostTerms) return false;
  return x.c == y.c && x.m == y.m && x.n == y.n && x.bf16 == y.bf16 && inner_steps(x) + inner_steps(y) <= kMostInner;
}

}  // namespace

void FunctionLowering::join_products() {
  if (!b_.options.fuse || row_range) return;
  for (size_t p = 0; p < function_.parts.size(); ++p) {
    std::vector<Region>& regions = function_.parts[p].regions;
    for (size_t r = 0; r < regions.size(); ++r) {
      if (regions[r].has_rows) continue;
      for (size_t g = 0; g < regions[r].groups.size(); ++g) {
        std::vector<Step>& steps = regions[r].groups[g].steps;
        for (size_t later = 1; later < steps.size(); ++later) {
          const auto first = std::find_if(steps.begin(), steps.begin() + static_cast<long>(later), [&](const Step& s) { return add_to_one(b_.program, s, steps[later]); });
          if (first == steps.begin() + static_cast<long>(later)) continue;
          Product& all = steps[later].product;  // what the first reads is still there
          all.more.push_back({first->product.k, first->product.a, first->product.b, first->product.node});
          all.more.insert(all.more.end(), first->product.more.begin(), first->product.more.end());
          const int gone = static_cast<int>(first - steps.begin());
          steps.erase(first);
          --later;
          for (Statement& s : statements_) {
            if (s.part != static_cast<int>(p) || s.region != static_cast<int>(r) || s.group != static_cast<int>(g)) continue;
            if (s.nest == gone) s.nest = static_cast<int>(later);
            else if (s.nest > gone) --s.nest;
          }
        }
      }
    }
  }
}

}  // namespace cpuflow::passes::lower
