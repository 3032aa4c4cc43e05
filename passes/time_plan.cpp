#include "passes/time_plan.h"

#include "ir/op.h"
#include "passes/kit/rewrite.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace cpuflow::passes {
using namespace ir;

namespace {

double count(const Axes& axes) {
  double n = 1;
  for (const Axis& a : axes) n *= is_batch(a) ? 1 : a.size;
  return n;
}

class Planner {
 public:
  Planner(const Graph& g, int64_t positions) : g_(g), positions_(positions) {
    recurrent_ = cycles(g, [](const Node& n) { return n.op == Op::Carry && n.from[0].kind != AxisKind::Position; });
  }

  /// How a node looks at other positions; "" if it does not.
  std::string how(NodeId id) const {
    const Node& n = g_[id];
    if (recurrent_[id] >= 0) return "a recurrence, row after row";
    if (n.op == Op::Cumsum && n.from[0].kind == AxisKind::Position) {
      return is_split(n.from[0]) ? fmt::format("chunks of {} positions, and a state between them", positions_ / n.from[0].size) : "a running sum";
    }
    if (n.op == Op::Carry && n.from[0].kind == AxisKind::Position) return "the position before";
    if (n.op == Op::Gather && n.from[0].kind == AxisKind::Position && !is_split(n.from[0])) {
      const Axes& index = g_[n.inputs[1]].axes;  // a band reads its positions by their numbers
      return std::any_of(index.begin(), index.end(), is_split) ? "" : "positions looked up";
    }
    if (!is_reduction(n.op) && n.op != Op::Argmax) return "";
    for (const Axis& s : n.from) {
      if (s.kind != AxisKind::Position) continue;
      for (const Axis& t : n.axes) {
        if (t.kind != AxisKind::Position) continue;
        if (!is_split(s) && !is_split(t) && s.size == t.size) return "all pairs of positions";
        if (!is_split(s) || !is_split(t)) continue;
        if (positions_ % t.size == 0 && s.size > positions_ / t.size) return fmt::format("a band: {} positions at a time, with the {} before them", positions_ / t.size, s.size - positions_ / t.size);
        if (s.size * t.size == positions_) return fmt::format("chunks of {} positions", s.size);
      }
    }
    return "";
  }

  double flops(NodeId id) const {
    const Node& n = g_[id];
    if (n.op == Op::Sum && g_[n.inputs[0]].op == Op::Mul) return 2 * count(g_[n.inputs[0]].axes);
    if (is_reduction(n.op) || n.op == Op::Argmax || n.op == Op::TopkMask) return count(g_[n.inputs[0]].axes);
    if (n.op == Op::Cumsum) return count(n.axes);
    return is_elementwise(n.op) ? op_def(n.op).flops * count(n.axes) : 0;
  }

 private:
  const Graph& g_;
  int64_t positions_;
  std::vector<int> recurrent_;
};

}  // namespace

std::vector<StatementCost> time_plan(const Graph& g, int64_t positions) {
  std::vector<NodeId> roots;
  for (const Output& o : g.outputs) {
    if (o.name == "logits" || o.name.starts_with("loss.")) roots.push_back(o.node);
  }
  const std::vector<bool> needed = reachable(g, roots);
  std::vector<bool> summed(g.size());  // products that a sum runs
  for (NodeId id = 0; id < g.size(); ++id) {
    if (needed[id] && g[id].op == Op::Sum && g[g[id].inputs[0]].op == Op::Mul) summed[g[id].inputs[0]] = true;
  }
  const Planner planner(g, positions);
  std::map<std::pair<std::string, int>, StatementCost> lines;
  std::map<std::pair<std::string, int>, std::vector<std::string>> ways;
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& n = g[id];
    if (!needed[id] || !n.loc.known()) continue;
    const std::pair<std::string, int> key{n.loc.source->path, n.loc.line()};
    StatementCost& line = lines.try_emplace(key, StatementCost{n.loc, "", 0}).first->second;
    if (!summed[id]) line.flops += planner.flops(id) / static_cast<double>(positions);
    std::vector<std::string>& seen = ways[key];
    if (const std::string how = planner.how(id); !how.empty() && std::find(seen.begin(), seen.end(), how) == seen.end()) seen.push_back(how);
  }
  std::vector<StatementCost> out;
  for (auto& [key, line] : lines) {
    const std::vector<std::string> all = ways[key];
    std::vector<std::string> seen = all;
    std::erase_if(seen, [&](const std::string& how) {  // one chunk is part of chunks with a state
      return std::any_of(all.begin(), all.end(), [&](const std::string& other) { return other.starts_with(how + ","); });
    });
    if (line.loc.source->library || (line.flops == 0 && seen.empty())) continue;
    line.how = fmt::format("{}", fmt::join(seen, "; "));
    out.push_back(line);
  }
  return out;
}

}  // namespace cpuflow::passes
