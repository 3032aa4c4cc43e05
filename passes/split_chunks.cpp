#include "passes/split_chunks.h"

#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Positions in chunks: t = size * chunk + within.
struct Chunks {
  Axis t, chunk, within;
};

/// t // C, if the node is that.
bool chunk_of(const Graph& g, NodeId id, Axis& t, int64_t& size) {
  const Node& n = g[id];
  if (n.op != Op::FloorDiv || !is_counter(g[n.inputs[0]]) || g[n.inputs[1]].op != Op::Constant) return false;
  t = g[n.inputs[0]].axes[0];
  size = static_cast<int64_t>(g[n.inputs[1]].value);
  return can_be_split(t) && size > 1 && t.size % size == 0 && t.size > size;
}

Axis within_axis(const Axis& t, int64_t size) {
  return split_axis(ordinals::kSplit, t, 1, static_cast<uint32_t>(size));
}

/// The first place where the value looks at t // C; `met`: what is known not to.
std::optional<Chunks> find_chunks(const Graph& g, NodeId id, const Axis& wanted, std::set<NodeId>& met) {
  if (!met.insert(id).second) return std::nullopt;
  Axis t;
  int64_t size = 0;
  if (chunk_of(g, id, t, size) && t == wanted) {
    const Axis chunk = split_axis(ordinals::kSplit, t, 0, static_cast<uint32_t>(t.size / size));
    return Chunks{t, chunk, within_axis(t, size)};
  }
  if (!contains(g[id].axes, wanted)) return std::nullopt;
  const Node& n = g[id];
  if (!is_elementwise(n.op) && n.op != Op::Gather) return std::nullopt;
  for (NodeId i : n.inputs) {
    if (auto found = find_chunks(g, i, wanted, met)) return found;
  }
  return std::nullopt;
}

/// The value at a chunk instead of a position, where it is the same for all positions of a chunk; else kNoNode.  `known`: those made before.
NodeId by_chunk(Graph& g, NodeId id, const Chunks& c, std::map<NodeId, NodeId>& known) {
  const Node n = g[id];
  if (!contains(n.axes, c.t)) return id;
  Axis t;
  int64_t size = 0;
  if (chunk_of(g, id, t, size)) return t == c.t && size == c.within.size ? g.iota(c.chunk) : kNoNode;
  if (n.op == Op::Gather) {
    if (contains(g[n.inputs[0]].axes, c.t)) return kNoNode;
    const NodeId index = by_chunk(g, n.inputs[1], c, known);
    return index == kNoNode ? kNoNode : g.gather(n.inputs[0], n.from[0], index);
  }
  if (!is_elementwise(n.op)) return kNoNode;
  if (const auto made = known.find(id); made != known.end()) return made->second;
  known[id] = kNoNode;
  Node copy = n;
  for (NodeId& i : copy.inputs) {
    i = by_chunk(g, i, c, known);
    if (i == kNoNode) return kNoNode;
  }
  return known[id] = g.add(std::move(copy));
}

/// The factors of a product; a product that is met again, as in x * x, is one.
void collect_factors(const Graph& g, NodeId id, std::set<NodeId>& met, std::vector<NodeId>& out) {
  if (g[id].op == Op::Mul && met.insert(id).second) {
    for (NodeId i : g[id].inputs) collect_factors(g, i, met, out);
  } else {
    out.push_back(id);
  }
}

std::vector<NodeId> factors_of(const Graph& g, NodeId id) {
  std::set<NodeId> met;
  std::vector<NodeId> factors;
  collect_factors(g, id, met, factors);
  return factors;
}

NodeId product_of(Graph& g, const std::vector<NodeId>& factors) {
  NodeId product = factors[0];
  for (size_t i = 1; i < factors.size(); ++i) product = g.binary(Op::Mul, product, factors[i]);
  return product;
}

/// sum(t | t // C == n: x) as a sum over the positions within chunk n.
NodeId sum_of_chunk(Graph& g, const Node& sum) {
  const Node& x = g[sum.inputs[0]];
  if (!is_zero_else(g, sum.inputs[0])) return kNoNode;
  const NodeId zero = x.inputs[2], value = x.inputs[1];
  std::vector<NodeId> conditions = conjuncts(g, x.inputs[0]);
  for (size_t k = 0; k < conditions.size(); ++k) {
    const Node& c = g[conditions[k]];
    if (c.op != Op::Eq) continue;
    for (int side = 0; side < 2; ++side) {
      Axis t;
      int64_t size = 0;
      const Node& n = g[c.inputs[1 - side]];
      if (!chunk_of(g, c.inputs[side], t, size) || !is_counter(n) || !contains(sum.from, t)) continue;
      const Axis chunk = n.axes[0], within = within_axis(t, size);
      if (chunk.size * size != t.size || contains(g[value].axes, chunk)) continue;
      conditions.erase(conditions.begin() + static_cast<long>(k));
      if (std::any_of(conditions.begin(), conditions.end(), [&](NodeId other) { return contains(g[other].axes, chunk) && contains(g[other].axes, t); })) return kNoNode;
      auto split = [&](NodeId id) { return contains(g[id].axes, t) ? g.reshape(id, {t}, {chunk, within}) : id; };
      std::vector<NodeId> factors = factors_of(g, value);
      for (NodeId& f : factors) f = split(f);
      NodeId product = product_of(g, factors);
      for (NodeId other : conditions) product = g.select(split(other), product, zero);
      Axes over = without(sum.from, {t});
      over.push_back(within);
      return g.reduce(Op::Sum, product, over);
    }
  }
  return kNoNode;
}

/// A sum with a factor that is the same for all positions of a chunk, chunk by chunk.
NodeId sum_by_chunk(Graph& g, const Node& sum) {
  const std::vector<NodeId> factors = factors_of(g, sum.inputs[0]);
  std::vector<NodeId> split;
  if (factors.size() < 2) return kNoNode;
  for (const Axis& t : sum.axes) {
    if (t.kind != AxisKind::Position) continue;
    std::optional<Chunks> chunks;
    std::set<NodeId> met;
    for (NodeId f : factors) {
      const Axes own = without(g[f].axes, sum.from);
      if (!chunks && own.size() < g[f].axes.size() && g[f].axes.size() > 2) chunks = find_chunks(g, f, t, met);
    }
    if (!chunks || contains(sum.from, t)) continue;
    bool any = false;
    std::map<NodeId, NodeId> known;
    for (NodeId f : factors) {
      NodeId chunked = by_chunk(g, f, *chunks, known);
      any = any || (chunked != kNoNode && chunked != f);
      if (chunked == kNoNode) chunked = g.reshape(f, {t}, {chunks->chunk, chunks->within});
      split.push_back(chunked);
    }
    if (!any) return kNoNode;
    const NodeId result = g.reduce(Op::Sum, product_of(g, split), sum.from);
    if (!contains(g[result].axes, chunks->within)) return kNoNode;
    return g.reshape(result, {chunks->chunk, chunks->within}, {t});
  }
  return kNoNode;
}

}  // namespace

Graph split_chunks(const Graph& in) {
  return rewrite_whole(in, [&](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Sum || n.dtype != DType::Real) return kNoNode;
    const NodeId chunk = sum_of_chunk(out, n);
    return chunk != kNoNode ? chunk : sum_by_chunk(out, n);
  });
}

}  // namespace cpuflow::passes
