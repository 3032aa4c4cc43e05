// Vector lanes: which loop of a nest runs in them, and what lies along them for its sake.
#include "passes/lower/function_lowering.h"

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

bool counts_one_dimension(const Place& place, const Axis& axis) {
  return is_affine(place) && std::count(place.indices.begin(), place.indices.end(), ProgramBuilder::variable(axis)) == 1 &&
         std::count_if(place.indices.begin(), place.indices.end(), [&](const Index& i) { return i.along(axis) != 0; }) == 1;
}

}  // namespace

/// Whether what loops of a sequence read, or add to, may lie in another order: a parameter has copies in any order, the sum of a gradient is added to the gradient once a
/// step, and what is summed over rows is a value of its own that nothing has read yet.
bool FunctionLowering::may_lie_otherwise(const Place& place, const Axis& lane, const Store* written) const {
  const Buffer& buffer = b_.program.buffers[place.buffer];
  if (rate_ != Rate::Sequence || !b_.options.fuse || !counts_one_dimension(place, lane)) return false;
  if (!written) return buffer.space == Space::Params;
  const bool own_sum = buffer.space == Space::Lane && written->accumulate && lane.kind == AxisKind::Feature && b_.position_cycle[written->node] < 0 && !b_.is_flattened(written->node);
  return buffer.space == Space::Grads || own_sum;
}

/// Vector lanes run along the loop along which most reads are neighbours; lanes of a reduction are added up at its end.
void FunctionLowering::choose_lane(Nest& nest, Axes out, Axes over) {
  auto cost = [&](const Axis& axis) {
    double bad = 0;
    std::set<ExprId> seen;
    auto is_bad = [&](const Place& p, const Store* written) {
      const bool computed = std::any_of(p.indices.begin(), p.indices.end(), [&](const Index& i) { return i.computed != kNone && mentions(b_.program, i, axis); });
      const int64_t stride = stride_along(b_.program, p, axis);
      return computed ? 1 : stride == 0 || stride == 1 ? 0 : may_lie_otherwise(p, axis, written) ? 0.1 : 1;
    };
    for (const Store& s : nest.stores) {
      bad += 3 * is_bad(s.place, &s);
      for_each_expr(b_.program, s.value, seen, [&](const Expr& x) { bad += x.kind == Expr::Kind::Load ? is_bad(x.place, nullptr) : 0; });
    }
    return bad;
  };
  nest.lane = -1;
  nest.loops = out;
  nest.reduced = out.size();
  nest.loops.insert(nest.loops.end(), over.begin(), over.end());
  double best = 1e9;
  for (size_t i = 0; i < nest.loops.size(); ++i) {
    const Axis& a = nest.loops[i];
    const bool last_out = i + 1 == nest.reduced, reducing = i >= nest.reduced;
    double c = cost(a) + (a.size < static_cast<uint32_t>(b_.options.lanes) ? 1.5 : 0) + (reducing ? 0.5 : last_out ? 0 : 0.25);
    if (c < best) best = c, nest.lane = static_cast<int>(i);
  }
  if (nest.lane < 0) return;
  // lanes are the innermost loop of those that reduce, or of the others
  const size_t end = nest.lane < static_cast<int>(nest.reduced) ? nest.reduced : nest.loops.size();
  std::rotate(nest.loops.begin() + nest.lane, nest.loops.begin() + nest.lane + 1, nest.loops.begin() + static_cast<long>(end));
  nest.lane = static_cast<int>(end) - 1;
}

/// Parameters that lanes read at a distance are read from a transposed copy, and sums lie as lanes make them.
void FunctionLowering::lay_in_lanes(Nest& nest) {
  if (nest.lane < 0) return;
  const Axis lane = nest.loops[static_cast<size_t>(nest.lane)];
  const auto is_apart = [&](const Place& p, const Store* written) {
    const int64_t stride = stride_along(b_.program, p, lane);
    return stride != 0 && stride != 1 && may_lie_otherwise(p, lane, written);
  };
  for (Store& s : nest.stores) {
    s.value = b_.changed(s.value, [&](Expr& x) {
      if (x.kind == Expr::Kind::Load && is_apart(x.place, nullptr)) x.place = b_.in_transposed(x.place, lane);
    });
    if (!is_apart(s.place, &s)) continue;
    if (b_.program.buffers[s.place.buffer].space == Space::Grads) {
      const BufferId sum = b_.accumulator(s.node, Space::Grads);
      s.place = {sum, indices_of(b_.program.buffers[sum], identity(g_[s.node].axes))};
    }
    turn_innermost(b_.program.buffers[s.place.buffer], s.place, lane);
  }
}

}  // namespace cpuflow::passes::lower
