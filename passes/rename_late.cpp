#include "passes/rename_late.h"

#include "passes/kit/rewrite.h"
#include "passes/kit/substitution.h"
#include "passes/kit/sum_terms.h"

#include <algorithm>
#include <set>

namespace cpuflow::passes {
using namespace ir;

namespace {

bool of_features(const Axes& axes) {
  return std::all_of(axes.begin(), axes.end(), [](const Axis& a) { return a.kind == AxisKind::Feature; });
}

bool renames_features(const Node& n) { return n.op == Op::Rename && of_features(n.from) && of_features(n.to); }

/// The result of an operation that ran under the old names of its inputs, which takes the name that it had in the model file, under the new ones.
NodeId renamed_result(Graph& g, NodeId result, const Node& n, const Node& names) {
  if (!n.name.empty() && g[result].name.empty()) g.set_name(result, n.name, n.loc);
  return g.rename_present(result, names.from, names.to);
}

/// The input under the names that the renaming gives up; kNoNode where it has others than those.
NodeId under_old_names(Graph& g, NodeId id, const Node& names) {
  const Node n = g[id];
  if (n.op == Op::Rename && n.from == names.from && n.to == names.to) return n.inputs[0];
  if (n.op == Op::Iota) {
    const int at = index_of(names.to, n.axes[0]);
    if (at >= 0) return g.iota(names.from[static_cast<size_t>(at)], static_cast<int64_t>(n.value));
  }
  if (is_elementwise(n.op) && n.inputs.size() == 1) {  // as the number that a counter is
    const NodeId x = under_old_names(g, n.inputs[0], names);
    if (x == kNoNode) return kNoNode;
    return x == n.inputs[0] ? id : g.unary(n.op, x);
  }
  const auto has = [&](const Axis& a) { return contains(n.axes, a); };
  const bool has_any = std::any_of(names.from.begin(), names.from.end(), has) || std::any_of(names.to.begin(), names.to.end(), has);
  return has_any ? kNoNode : id;
}

/// The operation before the renaming of its inputs, and its result renamed; kNoNode where they are not renamed alike.
NodeId elementwise(Graph& g, const Node& n) {
  const auto first = std::find_if(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return renames_features(g[i]); });
  if (first == n.inputs.end()) return kNoNode;
  const Node names = g[*first];
  Node copy = n;
  for (NodeId& i : copy.inputs) {
    i = under_old_names(g, i, names);
    if (i == kNoNode) return kNoNode;
  }
  copy.axes.clear();
  for (NodeId i : copy.inputs) copy.axes = union_of(copy.axes, g[i].axes);
  return renamed_result(g, g.add(std::move(copy)), n, names);
}

NodeId reduction(Graph& g, const Node& n) {
  const Node names = g[n.inputs[0]];
  if (!renames_features(names)) return kNoNode;
  Axes over = n.from;
  for (Axis& a : over) {
    if (const int at = index_of(names.to, a); at >= 0) a = names.from[static_cast<size_t>(at)];
  }
  return renamed_result(g, g.reduce(n.op, names.inputs[0], over), n, names);
}

/// Whether values of positions `t` are read at `s`, in what is computed from them.
bool reads_under_name(const Graph& g, NodeId id, const Axis& t, const Axis& s) {
  std::vector<NodeId> open{id};
  std::set<NodeId> seen{id};
  while (!open.empty()) {
    const Node& n = g[open.back()];
    open.pop_back();
    const int at = n.op == Op::Rename ? index_of(n.to, s) : -1;
    if (at >= 0 && n.from[static_cast<size_t>(at)] == t) return true;
    if (!is_elementwise(n.op)) continue;
    for (NodeId i : n.inputs) {
      if (seen.insert(i).second) open.push_back(i);
    }
  }
  return false;
}

/// A sum over positions under a name that nothing needs: over those of the sequence.
NodeId over_own_positions(Graph& g, const Node& n) {
  if (n.from.size() != 1 || n.from[0].kind != AxisKind::Position || n.from[0].ordinal == 0) return kNoNode;
  const Axis &s = n.from[0], t{AxisKind::Position, 0, s.size};
  if (contains(g[n.inputs[0]].axes, t) || !reads_under_name(g, n.inputs[0], t, s)) return kNoNode;
  return g.reduce(n.op, rename_below(g, n.inputs[0], s, t), {t});
}

}  // namespace

Graph rename_late(const Graph& in) {
  return rewrite(in, [](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (is_elementwise(n.op) && !n.inputs.empty()) return elementwise(out, n);
    if (n.op != Op::Sum && n.op != Op::Max && n.op != Op::Min && n.op != Op::Prod) return kNoNode;
    const NodeId renamed = reduction(out, n);
    return renamed != kNoNode ? renamed : over_own_positions(out, n);
  });
}

}  // namespace cpuflow::passes
