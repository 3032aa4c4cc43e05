// Which positions a call for new rows looks at: windows that conditions leave, as far as what lies outside of them is not read.
#include "ir/op.h"
#include "passes/kit/rewrite.h"
#include "passes/kit/windows.h"
#include "passes/lower/function_lowering.h"

#include <algorithm>
#include <cmath>

namespace cpuflow::passes::lower {
using namespace ir;

/// Whether the loops of a value run over the new rows only.
bool FunctionLowering::by_new_rows(NodeId id) const {
  const std::optional<Axis> row = row_of(id, g_[id].from);
  return row_range && row && ranged(*row) && contains(g_[id].axes, *row);
}

/// The positions s before t, t included, that a reduction over s looks at; kAllPositions where it looks at all.
FunctionLowering::Span FunctionLowering::looked_at(NodeId id, const Axis& s) const {
  if (!by_new_rows(id)) return kAllPositions;
  const Limits limits = effect(g_, id, s);
  const auto it = limits.find(*row_of(id, g_[id].from));
  if (it == limits.end()) return kAllPositions;
  const std::optional<Window> w = window_of({*it}, s);
  return w ? w->size : kAllPositions;
}

/// What one of its users reads of a value.
FunctionLowering::Span FunctionLowering::read_of(NodeId user, NodeId id, const Axis& t, const Axis& s) const {
  const Node& u = g_[user];
  if (is_reduction(u.op)) {
    if (contains(u.from, t)) return kAllPositions;
    return contains(u.from, s) ? looked_at(user, s) : demand_.at({user, s});
  }
  if (u.op == Op::Rename) {
    const int at = index_of(u.from, s);
    if (contains(u.from, t) || contains(u.to, t)) return kAllPositions;
    const auto it = demand_.find({user, at >= 0 ? u.to[static_cast<size_t>(at)] : s});
    return it == demand_.end() ? kAllPositions : it->second;
  }
  if (!is_elementwise(u.op)) return kAllPositions;
  const Span span = demand_.at({user, s});
  if (u.op != Op::Select || u.inputs[0] == id || u.inputs[2] == id) return span;
  const Limits limits = limits_of(g_, u.inputs[0], s);
  const auto it = limits.find(t);
  const std::optional<Window> w = it == limits.end() ? std::nullopt : window_of({*it}, s);
  return w ? std::min(span, w->size) : span;
}

/// For every value of two positions, the positions s before the row t that anything reads.
void FunctionLowering::find_demands() {
  if (!row_range) return;
  for (NodeId id = static_cast<NodeId>(g_.size()); id-- > 0;) {
    const Axes& axes = g_[id].axes;
    const auto t = std::find_if(axes.begin(), axes.end(), ranged);
    if (!needed_[id] || t == axes.end()) continue;
    const bool all = (stored_[id] && !by_new_rows(id)) || std::find(roots.begin(), roots.end(), id) != roots.end();
    for (const Axis& s : axes) {
      if (s.kind != AxisKind::Position || s == *t) continue;
      Span span = all || s.size != t->size ? kAllPositions : 0;
      for (NodeId user : users_[id]) {
        if (span != kAllPositions) span = std::max(span, user <= id ? kAllPositions : read_of(user, id, *t, s));
      }
      demand_[{id, s}] = span;
    }
  }
}

/// Loops over earlier positions end where nothing is left to look at.
std::vector<Reach> FunctionLowering::reaches_of(NodeId id) const {
  const Node& n = g_[id];
  std::vector<Reach> reaches;
  if (!by_new_rows(id) || !(is_reduction(n.op) || is_elementwise(n.op))) return reaches;
  auto add = [&](const Axis& axis, Span span) {
    if (span != kAllPositions) reaches.push_back({axis, std::max<int64_t>(span, 1) - 1});
  };
  for (const Axis& a : n.axes) {
    if (auto it = demand_.find({id, a}); it != demand_.end()) add(a, it->second);
  }
  for (const Axis& a : n.from) {
    if (a.kind == AxisKind::Position && !contains(n.axes, a)) add(a, looked_at(id, a));
  }
  return reaches;
}

void FunctionLowering::set_reaches(Statement& s) {
  const std::vector<Reach> reaches = reaches_of(s.node);
  for (Step& step : s.steps) {
    std::copy_if(reaches.begin(), reaches.end(), std::back_inserter(step.reaches), [&](const Reach& r) { return contains(loops_of(step), r.axis); });
  }
}

}  // namespace cpuflow::passes::lower
