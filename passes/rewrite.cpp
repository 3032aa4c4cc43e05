#include "passes/rewrite.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

std::vector<bool> reachable(const Graph& graph, const std::vector<NodeId>& roots) {
  std::vector<bool> seen(graph.size());
  std::vector<NodeId> open = roots;
  while (!open.empty()) {
    NodeId n = open.back();
    open.pop_back();
    if (seen[n]) continue;
    seen[n] = true;
    for (NodeId i : graph[n].inputs) open.push_back(i);
  }
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

Graph rewrite(const Graph& in, const Replace& replace) {
  std::vector<NodeId> roots;
  for (const Output& o : in.outputs) roots.push_back(o.node);
  const std::vector<bool> needed = reachable(in, roots);
  Graph out;
  std::vector<NodeId> map(in.size(), kNoNode);
  std::vector<NodeId> open;  // carries whose input comes later
  for (NodeId n = 0; n < in.size(); ++n) {
    if (!needed[n]) continue;
    const Node& node = in[n];
    out.at = node.loc;
    if (node.op == Op::Carry) {
      NodeId init = node.inputs.size() > 1 ? map[node.inputs[1]] : kNoNode;
      if (map[node.inputs[0]] != kNoNode) {
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
  for (const Output& o : in.outputs) out.outputs.push_back({o.name, map[o.node]});
  return out;
}

std::vector<int> cycles(const Graph& graph, const std::function<bool(const Node&)>& cut) {
  const size_t n = graph.size();
  std::vector<int> component(n, -1), low(n, -1), number(n, -1);
  std::vector<bool> on_stack(n);
  std::vector<NodeId> stack;
  int next = 0, components = 0;
  struct Frame {
    NodeId node;
    size_t input;
  };
  for (NodeId root = 0; root < n; ++root) {
    if (number[root] >= 0) continue;
    std::vector<Frame> work{{root, 0}};
    while (!work.empty()) {
      auto& [v, i] = work.back();
      if (i == 0 && number[v] < 0) {
        number[v] = low[v] = next++;
        stack.push_back(v);
        on_stack[v] = true;
      }
      const Node& node = graph[v];
      bool pushed = false;
      while (i < node.inputs.size()) {
        NodeId w = node.inputs[i];
        if (node.op == Op::Carry && i == 0 && cut(node)) {
          ++i;
          continue;
        }
        if (number[w] < 0) {
          work.push_back({w, 0});
          pushed = true;
          break;
        }
        if (on_stack[w]) low[v] = std::min(low[v], low[w]);
        ++i;
      }
      if (pushed) continue;
      if (low[v] == number[v]) {
        std::vector<NodeId> members;
        NodeId w;
        do {
          w = stack.back();
          stack.pop_back();
          on_stack[w] = false;
          members.push_back(w);
        } while (w != v);
        if (members.size() > 1) {
          for (NodeId m : members) component[m] = components;
          ++components;
        }
      }
      NodeId done = v;
      work.pop_back();
      if (!work.empty()) low[work.back().node] = std::min(low[work.back().node], low[done]);
    }
  }
  return component;
}

}  // namespace cpuflow::passes
