#include "passes/kit/substitution.h"

namespace cpuflow::passes {
using namespace ir;

NodeId Substitution::operator()(NodeId id) {
  Node n = g_[id];
  if (!contains(n.axes, axis_)) return id;
  if (n.op == Op::Iota || !is_elementwise(n.op) || (whole_ && whole_(id))) return leaf_(id);
  if (const auto known = done_.find(id); known != done_.end()) return known->second;
  for (NodeId& i : n.inputs) i = (*this)(i);
  return done_[id] = g_.add(std::move(n));
}

NodeId rename_below(Graph& g, NodeId id, const Axis& from, const Axis& to) {
  return Substitution(g, from, [&](NodeId leaf) { return g[leaf].op == Op::Iota ? g.iota(to, static_cast<int64_t>(g[leaf].value)) : g.rename(leaf, {from}, {to}); })(id);
}

}  // namespace cpuflow::passes
