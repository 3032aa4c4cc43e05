#include "passes/count_micro_batches.h"

#include "passes/kit/op_inputs.h"
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"

#include <algorithm>
#include <map>
#include <optional>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Whether it reads the sequences of a micro-batch, or sums over them what is the same for all.
bool takes_sequences(const Graph& g, NodeId root) {
  const std::vector<bool> below = reachable(g, {root});
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& n = g[id];
    if (below[id] && (n.op == Op::Input || n.op == Op::Random || has_batch(n.from))) return true;
  }
  return false;
}

std::optional<Axis> batch_axis(const Graph& g) {
  for (NodeId id = 0; id < g.size(); ++id) {
    for (const Axis& a : g[id].axes) {
      if (a.kind == AxisKind::Batch) return a;
    }
  }
  return std::nullopt;
}

/// Multiplies the summands of gradients that no sequence takes part in with `one`, also where they were added before something linear.
class Counting {
 public:
  Counting(Graph& g, NodeId one) : g_(g), one_(one) {}

  NodeId counted(NodeId id) {
    if (const auto known = done_.find(id); known != done_.end()) return known->second;
    const NodeId out = find(id);
    return done_[id] = out;
  }

 private:
  NodeId find(NodeId id) {
    Node n = g_[id];
    if (is_zero(g_, id)) return id;
    if (!takes_sequences(g_, id)) return g_.binary(Op::Mul, id, one_);
    if (has_batch(n.from) || has_batch(n.axes)) return id;  // of each sequence, or their sum
    const std::optional<std::vector<size_t>> inputs = linear_inputs(n, [&](NodeId i) { return takes_sequences(g_, i); });
    if (!inputs) return id;
    bool changed = false;
    for (size_t i : *inputs) {
      const NodeId input = counted(n.inputs[i]);
      changed = changed || input != n.inputs[i];
      n.inputs[i] = input;
    }
    return changed ? g_.add(n) : id;
  }

  Graph& g_;
  NodeId one_;
  std::map<NodeId, NodeId> done_;
};

}  // namespace

Graph count_micro_batches(const Graph& in) {
  const std::optional<Axis> batch = batch_axis(in);
  if (!batch) return in;
  Graph out = in;
  const auto gradient = [](const Output& o) { return o.name.starts_with("grad."); };
  if (std::ranges::none_of(out.outputs, gradient)) return out;
  const NodeId first = out.binary(Op::Eq, out.iota(*batch, 0), out.integer(0));
  Counting counting(out, out.reduce(Op::Sum, out.select(first, out.real(1), out.real(0)), {*batch}));
  for (Output& o : out.outputs) {
    if (gradient(o)) o.node = counting.counted(o.node);
  }
  return out;
}

}  // namespace cpuflow::passes
