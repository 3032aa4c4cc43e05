#include "ir/schedule.h"

#include "ir/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>

namespace cpuflow::ir {

namespace {

/// Whether input `i` of `node` must be known before the node, when carries along `stepped` read the slice before.
bool is_edge(const Node& node, size_t i, const std::set<Axis>& stepped) {
  return !(node.op == Op::Carry && i == 0 && stepped.count(node.from[0]));
}

/// Whether the operation works on each slice along `axis` by itself (a carry reads the slice before).
bool keeps_apart(const Graph& g, const Node& n, const Axis& axis) {
  if (!contains(n.axes, axis)) return false;
  if (n.op == Op::Carry) return true;
  if (contains(n.from, axis) || contains(n.to, axis)) return false;
  return std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return n.op != Op::Reshape || contains(g[i].axes, axis); });
}

ScheduleItem cycle(const Graph& g, const std::vector<NodeId>& members, const std::set<Axis>& stepped) {
  std::set<Axis> candidates;
  for (NodeId m : members) {
    if (g[m].op == Op::Carry && !stepped.count(g[m].from[0])) candidates.insert(g[m].from[0]);
  }
  // The order of axes puts layers before positions: a stack of layers is outside the recurrences of each layer.
  for (const Axis& axis : candidates) {
    int64_t step = 0;
    bool fits = true;
    for (NodeId m : members) {
      fits = fits && keeps_apart(g, g[m], axis);
      if (g[m].op != Op::Carry || g[m].from[0] != axis) continue;
      fits = fits && (step == 0 || step == g[m].ints[0]);
      step = g[m].ints[0];
    }
    if (!fits) continue;
    ScheduleItem item;
    item.axis = axis;
    item.step = step;
    std::set<Axis> inside = stepped;
    inside.insert(axis);
    item.body = schedule(g, members, inside);
    return item;
  }
  const Node& n = g[members.front()];
  throw InternalError(
      fmt::format("{}{} '{}' is in a cycle that no axis steps through", n.loc.known() ? n.loc.str() + ": " : "", op_name(n.op), n.name));
}

}  // namespace

std::vector<NodeId> needed_by(const Graph& graph, const std::vector<NodeId>& roots) {
  std::vector<bool> seen(graph.size());
  std::vector<NodeId> open = roots, nodes;
  while (!open.empty()) {
    const NodeId n = open.back();
    open.pop_back();
    if (n == kNoNode || seen[n]) continue;
    seen[n] = true;
    for (NodeId i : graph[n].inputs) open.push_back(i);
  }
  for (NodeId n = 0; n < graph.size(); ++n) {
    if (seen[n]) nodes.push_back(n);
  }
  return nodes;
}

std::vector<std::vector<NodeId>> components(const Graph& graph, const std::vector<NodeId>& nodes, const std::set<Axis>& stepped) {
  // Tarjan's algorithm with an explicit stack; a component is complete when all that it reads is.
  constexpr uint32_t kOutside = ~uint32_t{0}, kUnseen = kOutside - 1;
  struct Frame {
    NodeId node;
    size_t input = 0;
  };
  std::vector<uint32_t> number(graph.size(), kOutside), low(graph.size());
  std::vector<bool> open(graph.size());
  for (NodeId n : nodes) number[n] = kUnseen;
  std::vector<NodeId> stack;
  std::vector<std::vector<NodeId>> all;
  uint32_t next = 0;
  std::vector<Frame> work;
  auto enter = [&](NodeId n) {
    number[n] = low[n] = next++;
    stack.push_back(n);
    open[n] = true;
    work.push_back({n});
  };
  for (NodeId root : nodes) {
    if (number[root] != kUnseen) continue;
    enter(root);
    while (!work.empty()) {
      Frame& frame = work.back();
      const NodeId v = frame.node;
      const Node& node = graph[v];
      if (frame.input < node.inputs.size()) {
        const size_t i = frame.input++;
        const NodeId w = node.inputs[i];
        if (w == kNoNode || number[w] == kOutside || !is_edge(node, i, stepped)) continue;
        if (number[w] == kUnseen) {
          enter(w);
        } else if (open[w]) {
          low[v] = std::min(low[v], number[w]);
        }
        continue;
      }
      work.pop_back();
      if (!work.empty()) low[work.back().node] = std::min(low[work.back().node], low[v]);
      if (low[v] != number[v]) continue;
      std::vector<NodeId> members;
      NodeId w;
      do {
        w = stack.back();
        stack.pop_back();
        open[w] = false;
        members.push_back(w);
      } while (w != v);
      std::sort(members.begin(), members.end());
      all.push_back(std::move(members));
    }
  }
  return all;
}

bool is_cycle(const Graph& graph, const std::vector<NodeId>& component, const std::set<Axis>& stepped) {
  if (component.size() > 1) return true;
  const Node& n = graph[component[0]];
  return n.op == Op::Carry && n.inputs[0] == component[0] && is_edge(n, 0, stepped);
}

std::vector<ScheduleItem> schedule(const Graph& graph, const std::vector<NodeId>& nodes, const std::set<Axis>& stepped) {
  std::vector<ScheduleItem> items;
  for (const std::vector<NodeId>& component : components(graph, nodes, stepped)) {
    if (is_cycle(graph, component, stepped)) {
      items.push_back(cycle(graph, component, stepped));
    } else {
      items.emplace_back();
      items.back().node = component[0];
    }
  }
  return items;
}

}  // namespace cpuflow::ir
