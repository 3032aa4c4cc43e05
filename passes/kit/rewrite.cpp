#include "passes/kit/rewrite.h"

#include "ir/op_kit.h"
#include "ir/schedule.h"

#include <set>

namespace cpuflow::passes {
using namespace ir;

std::vector<bool> reachable(const Graph& graph, const std::vector<NodeId>& roots) {
  std::vector<bool> seen(graph.size());
  for (NodeId n : needed_by(graph, roots)) seen[n] = true;
  return seen;
}

std::vector<std::vector<NodeId>> users_of(const Graph& graph) {
  std::vector<std::vector<NodeId>> users(graph.size());
  for (NodeId n = 0; n < graph.size(); ++n) {
    for (NodeId i : graph[n].inputs) {
      if (users[i].empty() || users[i].back() != n) users[i].push_back(n);
    }
  }
  return users;
}

std::vector<NodeId> rewrite_into(Graph& out, const Graph& in, const Replace& replace) {
  std::vector<NodeId> roots;
  for (const Output& o : in.outputs) roots.push_back(o.node);
  const std::vector<bool> needed = reachable(in, roots);
  std::vector<NodeId> map(in.size(), kNoNode);
  std::vector<NodeId> open;  // carries whose input comes later
  for (NodeId n = 0; n < in.size(); ++n) {
    if (!needed[n]) continue;
    const Node& node = in[n];
    out.at = node.loc;
    if (node.op == Op::Carry) {
      NodeId init = node.inputs.size() > 1 ? map[node.inputs[1]] : kNoNode;
      if (node.inputs[0] == n) {  // nothing is added on the way: what it begins with is everywhere
        map[n] = spread(out, init != kNoNode ? init : out.zero(node.dtype), node.axes);
      } else if (map[node.inputs[0]] != kNoNode) {
        map[n] = out.carry(map[node.inputs[0]], node.from[0], node.ints[0], init);
      } else {
        map[n] = out.carry_open(node.axes, node.dtype, node.from[0], node.ints[0], init);
        open.push_back(n);
      }
    } else {
      Node copy = node;
      for (NodeId& i : copy.inputs) i = map[i];
      NodeId replacement = replace(out, copy, n, map);
      map[n] = replacement != kNoNode ? replacement : out.add(std::move(copy));
    }
    if (!node.name.empty() && out[map[n]].name.empty()) out.set_name(map[n], node.name, node.loc);
  }
  for (NodeId n : open) out.close(map[n], map[in[n].inputs[0]]);
  return map;
}

Graph rewrite(const Graph& in, const Replace& replace) {
  Graph out;
  const std::vector<NodeId> map = rewrite_into(out, in, replace);
  for (const Output& o : in.outputs) out.outputs.push_back({o.name, map[o.node]});
  return out;
}

Graph pruned(const Graph& in) { return rewrite(in, keep); }

Graph rewrite_whole(const Graph& in, const Replace& replace) {
  Graph whole = in, rows = in, out;
  std::erase_if(whole.outputs, [](const Output& o) { return o.name == "rows.logits"; });
  std::erase_if(rows.outputs, [](const Output& o) { return o.name != "rows.logits"; });
  const NodeId logits = output_node(in, "logits");
  if (rows.outputs.empty() && logits != kNoNode) rows.outputs = {{"rows.logits", logits}};
  const std::vector<bool> read = logits == kNoNode ? std::vector<bool>(in.size()) : reachable(in, {logits});
  bool differs = in.outputs.size() != whole.outputs.size();
  const std::vector<NodeId> map = rewrite_into(out, whole, [&](Graph& g, const Node& n, NodeId id, const std::vector<NodeId>& done) {
    const NodeId replacement = replace(g, n, id, done);
    differs = differs || (read[id] && replacement != kNoNode);
    return replacement;
  });
  if (!differs) rows.outputs.clear();
  const std::vector<NodeId> kept = rewrite_into(out, rows, keep);
  for (const Output& o : whole.outputs) out.outputs.push_back({o.name, map[o.node]});
  for (const Output& o : rows.outputs) out.outputs.push_back({o.name, kept[o.node]});
  return out;
}

std::vector<int> cycles(const Graph& graph, const std::function<bool(const Node&)>& cut) {
  std::set<Axis> stepped;
  std::vector<NodeId> all(graph.size());
  for (NodeId n = 0; n < graph.size(); ++n) {
    all[n] = n;
    if (graph[n].op == Op::Carry && cut(graph[n])) stepped.insert(graph[n].from[0]);
  }
  std::vector<int> component(graph.size(), -1);
  int count = 0;
  for (const std::vector<NodeId>& members : components(graph, all, stepped)) {
    if (members.size() < 2) continue;
    for (NodeId m : members) component[m] = count;
    ++count;
  }
  return component;
}

}  // namespace cpuflow::passes
