#include "passes/band_windows.h"

#include "passes/chunk_sums.h"
#include "passes/kit/rewrite.h"
#include "passes/kit/windows.h"

#include <algorithm>
#include <map>
#include <optional>

namespace cpuflow::passes {
using namespace ir;

namespace {

// A band has more loops than a square, and copies of what it reads: it must save this much.
constexpr double kWorthwhile = 1.5;

/// Values at (chunk, row) instead of t, and (chunk, reach) instead of s.
class Band {
 public:
  Band(Graph& g, const Window& w, uint32_t chunk) : g_(g), w_(w), size_(chunk) {
    // Whole vectors: what is too early is outside of every row's window, as the conditions in the value say.
    constexpr uint32_t kLanes = 16;
    const uint32_t reach = (chunk + static_cast<uint32_t>(w.size) - 1 + kLanes - 1) / kLanes * kLanes;
    auto axis = [&](unsigned role, uint32_t size) { return split_axis(ordinals::kBands, w.t, role, size); };
    chunk_ = axis(0, w.t.size / chunk);
    row_ = axis(1, chunk);
    reach_ = axis(2, reach);
    // position s of a place in the reach: it may lie before the first
    at_ = g.binary(Op::Add, g.binary(Op::Mul, g.iota(chunk_), g.integer(size_)), g.iota(reach_, static_cast<int64_t>(chunk) - reach));
    inside_ = g.binary(Op::Le, g.integer(0), at_);
  }

  /// The reduction `n` over s (and perhaps more), as a value at t; kNoNode where something in it cannot be seen in a band.
  NodeId reduction(const Node& n, double otherwise) {
    NodeId x = value(n.inputs[0], w_.s);
    if (x == kNoNode) return kNoNode;
    x = g_.select(inside_, x, g_.real(otherwise));
    Axes over = without(n.from, {w_.s});
    over.push_back(reach_);
    return g_.reshape(g_.reduce(n.op, x, over), {chunk_, row_}, {w_.t});
  }

 private:
  NodeId value(NodeId id, const Axis& s) {
    auto [it, fresh] = made_.try_emplace({id, s}, kNoNode);
    return fresh ? made_[{id, s}] = make(id, s) : it->second;
  }

  NodeId make(NodeId id, const Axis& s) {
    const Node n = g_[id];
    const bool has_t = contains(n.axes, w_.t), has_s = contains(n.axes, s);
    if (!has_t && !has_s) return id;
    if (n.op == Op::Iota) {
      if (has_s) return n.value == 0 ? at_ : g_.binary(Op::Add, at_, g_.integer(static_cast<int64_t>(n.value)));
      return g_.reshape(id, {w_.t}, {chunk_, row_});
    }
    if (is_elementwise(n.op)) {
      Node copy = n;
      for (NodeId& i : copy.inputs) {
        i = value(i, s);
        if (i == kNoNode) return kNoNode;
      }
      return g_.add(std::move(copy));
    }
    if (has_t != has_s) return has_t ? g_.reshape(id, {w_.t}, {chunk_, row_}) : g_.gather(id, s, at_);
    if (n.op == Op::Rename) {
      Axis before = s;
      Axes from, to;
      for (size_t k = 0; k < n.to.size(); ++k) {
        if (n.to[k] == w_.t) return kNoNode;
        if (n.to[k] == s) {
          before = n.from[k];
          continue;
        }
        from.push_back(n.from[k]);
        to.push_back(n.to[k]);
      }
      const NodeId x = value(n.inputs[0], before);
      return x == kNoNode || from.empty() ? x : g_.rename(x, from, to);
    }
    if (!is_reduction(n.op) || contains(n.from, w_.t) || contains(n.from, s)) return kNoNode;
    const NodeId x = value(n.inputs[0], s);
    return x == kNoNode ? x : g_.reduce(n.op, x, n.from);
  }

  Graph& g_;
  Window w_;
  uint32_t size_;
  Axis chunk_, row_, reach_;
  NodeId at_, inside_;
  std::map<std::pair<NodeId, Axis>, NodeId> made_;
};

NodeId in_band(Graph& g, const Node& n) {
  if ((n.op != Op::Sum && n.op != Op::Max && n.op != Op::Min) || n.dtype != DType::Real) return kNoNode;
  for (const Axis& s : n.from) {
    if (s.kind != AxisKind::Position) continue;
    const Node& x = g[n.inputs[0]];
    const bool limited = n.op != Op::Sum;
    if (limited && (x.op != Op::Select || g[x.inputs[2]].op != Op::Constant)) continue;
    const double otherwise = limited ? g[x.inputs[2]].value : 0;
    const std::optional<Window> w = window_of(support(g, n.inputs[0], s, otherwise), s);
    if (!w || !contains(n.axes, w->t) || !can_be_split(w->t)) continue;
    const uint32_t chunk = chunk_size(w->t.size);
    if (chunk == 0 || kWorthwhile * static_cast<double>(chunk + w->size) > w->t.size) continue;
    return Band(g, *w, chunk).reduction(n, otherwise);
  }
  return kNoNode;
}

}  // namespace

Graph band_windows(const Graph& in) {
  return rewrite_whole(in, [](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) { return in_band(out, n); });
}

}  // namespace cpuflow::passes
