// Nests over large rows whose loops differ in name or order, as one.  The state that a recurrence keeps for a position, as a matrix from keys to values, is larger than the first
// cache: what is read, decayed, summed up along its rows and along its columns, is read once.
#include "passes/lower/function_lowering.h"

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

constexpr uint64_t kLargeRow = 4096;  // numbers, half of a usual first cache

/// The loops with that of the lanes as the innermost one.
Axes lanes_last(const Nest& nest) {
  Axes loops = nest.loops;
  std::rotate(loops.begin() + nest.lane, loops.begin() + nest.lane + 1, loops.end());
  return loops;
}

void rename(Index& index, const std::map<Axis, Axis>& names) {
  for (auto& [axis, c] : index.terms) {
    if (const auto name = names.find(axis); name != names.end()) axis = name->second;
  }
  std::sort(index.terms.begin(), index.terms.end());
}

}  // namespace

/// Whether both nests read or write the same elements of something that has one for each step of the loops.
bool FunctionLowering::share_large(const Nest& a, const Nest& b) const {
  const auto places = [&](const Nest& nest) {
    std::set<Place> all;
    Step step;
    step.nest = nest;
    for_each_place(b_.program, step, [&](const Place& p, Access) {
      if (std::all_of(nest.loops.begin(), nest.loops.end(), [&](const Axis& l) { return mentions(b_.program, p, l); })) all.insert(p);
    });
    return all;
  };
  const std::set<Place> of_a = places(a), of_b = places(b);
  return std::any_of(of_a.begin(), of_a.end(), [&](const Place& p) { return of_b.count(p); });
}

/// The nest in the loops of another that run over as many steps: lanes along lanes, the others in their order.  What it sums over loops that lie outside of the lanes
/// then is added to in memory.
std::optional<Nest> FunctionLowering::in_loops_of(const Nest& nest, const Nest& other) const {
  if (nest.lane < 0 || other.lane + 1 != static_cast<int>(other.loops.size()) || nest.loops.size() != other.loops.size() || nest.nonzeros || other.nonzeros) return std::nullopt;
  const Axes loops = lanes_last(nest);
  std::map<Axis, Axis> names;
  for (size_t i = 0; i < loops.size(); ++i) {
    if (loops[i].kind != AxisKind::Feature || other.loops[i].kind != AxisKind::Feature || loops[i].size != other.loops[i].size) return std::nullopt;
    names[loops[i]] = other.loops[i];
  }
  if (element_count(loops) < kLargeRow) return std::nullopt;
  Nest out = nest;
  out.loops = other.loops;
  if (nest.lane < static_cast<int>(nest.reduced)) out.reduced = out.loops.size();
  out.lane = other.lane;
  for (Store& s : out.stores) {
    if (!is_affine(s.place)) return std::nullopt;
    for (Index& i : s.place.indices) rename(i, names);
    s.value = b_.changed(s.value, [&](Expr& x) {
      rename(x.index, names);
      for (Index& i : x.place.indices) rename(i, names);
    });
  }
  return share_large(out, other) ? std::optional(out) : std::nullopt;
}

}  // namespace cpuflow::passes::lower
