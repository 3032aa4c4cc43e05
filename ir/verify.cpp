#include "ir/verify.h"

#include "ir/diagnostics.h"
#include "ir/print.h"
#include "ir/schedule.h"

#include <fmt/format.h>

#include <map>
#include <numeric>
#include <set>

namespace cpuflow::ir {

void verify(const Graph& g) {
  auto check = [&](bool holds, NodeId id, const std::string& what) {
    if (holds) return;
    const std::string place = g[id].loc.known() ? g[id].loc.str() + ": " : "";
    throw InternalError(fmt::format("{}invalid graph: {}\n    {}", place, what, print_node(g, id)));
  };
  std::map<std::string, NodeId> params;
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& n = g[id];
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const bool may_follow = n.op == Op::Carry && i == 0;
      check(n.inputs[i] != kNoNode, id, "a carry is still open");
      check(n.inputs[i] < g.size(), id, "an input does not exist");
      check(may_follow || n.inputs[i] < id, id, "an input stands after its user");
    }
    for (const Axis& a : n.axes) check(a.size > 0, id, "an axis of size 0");
    check(union_of(n.axes, {}).size() == n.axes.size(), id, "an axis stands twice");
    check(n.op == Op::Param || n.axes == union_of(n.axes, {}), id, "axes are not in order");
    Node inferred = n;
    try {
      infer(g, inferred);
    } catch (const InternalError& e) {
      check(false, id, e.what());
    }
    check(inferred.axes == n.axes && inferred.dtype == n.dtype, id, "axes or dtype are not what the operation gives");
    if (n.op == Op::Param) {
      auto [it, is_new] = params.emplace(n.text, id);
      check(is_new || g[it->second].axes == n.axes, id, "a parameter of this name has other axes elsewhere");
    }
  }
  std::vector<NodeId> all(g.size());
  std::iota(all.begin(), all.end(), 0);
  schedule(g, all);
  std::set<std::string> names;
  for (const Output& o : g.outputs) {
    if (o.name.empty()) throw InternalError("invalid graph: an output has no name");
    if (!names.insert(o.name).second) throw InternalError(fmt::format("invalid graph: two outputs are called '{}'", o.name));
    if (o.node >= g.size()) throw InternalError(fmt::format("invalid graph: the output '{}' does not exist", o.name));
  }
}

}  // namespace cpuflow::ir
