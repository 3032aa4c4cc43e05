#include "passes/audit/intervals.h"

#include "ir/op.h"
#include "ir/schedule.h"
#include "passes/audit/audits.h"
#include "passes/audit/numbers.h"
#include "passes/kit/patterns.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

/// x where a condition holds, and elsewhere a constant that no maximum is: x; else the value itself.
NodeId chosen(const Graph& g, NodeId id) {
  id = without_stops(g, id);
  return g[id].op == Op::Select && g[g[id].inputs[2]].op == Op::Constant && g[g[id].inputs[2]].value <= -kNoScore ? without_stops(g, g[id].inputs[1]) : id;
}

/// x where a condition holds, and 0 elsewhere: x; else the value itself.
NodeId added(const Graph& g, NodeId id) {
  id = without_stops(g, id);
  return is_zero_else(g, id) ? without_stops(g, g[id].inputs[1]) : id;
}

/// The condition of a value that is chosen; kNoNode: it is always there.
NodeId condition_of(const Graph& g, NodeId id) {
  id = without_stops(g, id);
  return g[id].op == Op::Select ? g[id].inputs[0] : kNoNode;
}

/// Whether `top` is max(x), taken over at least the element itself; a constant may stand where there is no element.
bool is_maximum_with(const Graph& g, NodeId top, NodeId x) {
  const NodeId max = as_maximum(g, top);
  return is_maximum_of(g, top, x) || (max != kNoNode && chosen(g, g[max].inputs[0]) == chosen(g, x));
}

/// x - max(x).
bool below_its_maximum(const Graph& g, NodeId id) {
  const Node& n = g[without_stops(g, id)];
  return n.op == Op::Sub && is_maximum_with(g, n.inputs[1], n.inputs[0]);
}

/// Whether two values are one.  What a recurrence reads of the row before, and what is read there later, are two nodes.
bool are_one(const Graph& g, NodeId a, NodeId b, int depth) {
  a = without_stops(g, a), b = without_stops(g, b);
  if (a == b) return true;
  const Node &x = g[a], &y = g[b];
  const bool alike = x.op == y.op && x.axes == y.axes && x.from == y.from && x.ints == y.ints && !x.inputs.empty() && x.inputs.size() == y.inputs.size();
  if (!alike || depth == 0 || !(x.op == Op::Carry || is_elementwise(x.op))) return false;
  return std::equal(x.inputs.begin(), x.inputs.end(), y.inputs.begin(), [&](NodeId i, NodeId j) { return are_one(g, i, j, depth - 1); });
}

/// x - max(x, y).
bool below_the_larger(const Graph& g, const Node& difference) {
  constexpr int kDepth = 4;
  const Node& top = g[without_stops(g, difference.inputs[1])];
  return top.op == Op::Max2 && std::any_of(top.inputs.begin(), top.inputs.end(), [&](NodeId i) { return are_one(g, i, difference.inputs[0], kDepth); });
}

class Analysis {
 public:
  Analysis(const Graph& g, const ParamRanges& ranges) : g_(g), ranges_(ranges), out_(g.size()) {}

  std::vector<Interval> run() {
    std::vector<NodeId> all(g_.size());
    std::iota(all.begin(), all.end(), 0);
    for (const std::vector<NodeId>& component : components(g_, all)) {
      std::vector<NodeId> order = component;
      std::sort(order.begin(), order.end());
      const bool cycle = is_cycle(g_, component);
      for (int round = 0; round < (cycle ? 12 : 1); ++round) {
        bool changed = false;
        for (NodeId id : order) changed = step(id, round) || changed;
        if (!changed) break;
      }
    }
    return std::move(out_);
  }

 private:
  bool step(NodeId id, int round) {
    Interval next = value(id);
    const Interval& old = out_[id];
    if (next.empty) return false;
    if (!old.empty) next = join(old, next);
    if (!old.empty && round > 2) {  // widening: bounds that still move go to 0, or to infinity
      if (next.low < old.low) next.low = next.low >= 0 && round < 6 ? 0 : -INFINITY;
      if (next.high > old.high) next.high = next.high <= 0 && round < 6 ? 0 : INFINITY;
    }
    const bool changed = old.empty || next.low != old.low || next.high != old.high || next.positive != old.positive;
    out_[id] = next;
    return changed;
  }

  const Interval& in(const Node& n, size_t i) const { return out_[n.inputs[i]]; }

  /// x - (max(x) + y) with y >= 0: y is the logarithm of a sum of which one term is 1.
  bool below_logsumexp(const Node& n) const {
    const Node& top = g_[without_stops(g_, n.inputs[1])];
    if (top.op != Op::Add) return false;
    for (size_t i = 0; i < 2; ++i) {
      if (is_maximum_with(g_, top.inputs[i], n.inputs[0]) && !in(top, 1 - i).empty && in(top, 1 - i).low >= 0) return true;
    }
    return false;
  }

  /// Whether a sum has a term exp(x - max(x)) that is 1.
  bool has_one(const Node& sum) const {
    const NodeId term = added(g_, sum.inputs[0]);
    if (g_[term].op != Op::Exp || !below_its_maximum(g_, g_[term].inputs[0])) return false;
    NodeId top = without_stops(g_, g_[without_stops(g_, g_[term].inputs[0])].inputs[1]);
    if (g_[top].op == Op::Select) top = without_stops(g_, g_[top].inputs[2]);
    const NodeId of_maximum = condition_of(g_, g_[top].inputs[0]), of_sum = condition_of(g_, sum.inputs[0]);
    return g_[top].from == sum.from && (of_sum == kNoNode || of_sum == of_maximum);
  }

  Interval value(NodeId id) const {
    const Node& n = g_[id];
    std::vector<Interval> inputs;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const bool carried = n.op == Op::Carry && i == 0;
      if (!carried && in(n, i).empty) return {};
      inputs.push_back(in(n, i));
    }
    Interval out = op_def(n.op).bounds(n, inputs.data());
    if (n.op == Op::Param) {
      const auto range = ranges_.find(n.text);
      if (range != ranges_.end()) out = between(range->second.first, range->second.second);
    }
    if (n.op == Op::Input) out.high = static_cast<double>(vocabulary_of(g_) - 1);
    if (n.op == Op::Sub && (below_its_maximum(g_, id) || below_the_larger(g_, n) || below_logsumexp(n))) out = between(-INFINITY, 0);
    if (n.op == Op::Mul && without_stops(g_, n.inputs[0]) == without_stops(g_, n.inputs[1])) {
      const double low = std::max(out.low, 0.0);
      out = between(low, out.high, !in(n, 0).has_zero());
    }
    if (n.op == Op::Sum && has_one(n)) out.low = std::max(out.low, 1.0);
    return out;
  }

  const Graph& g_;
  const ParamRanges& ranges_;
  std::vector<Interval> out_;
};

}  // namespace

std::vector<Interval> intervals(const Graph& graph, const ParamRanges& ranges) { return Analysis(graph, ranges).run(); }

}  // namespace cpuflow::passes::audit
