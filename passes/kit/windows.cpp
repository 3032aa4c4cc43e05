#include "passes/kit/windows.h"

#include "ir/affine.h"
#include "ir/op.h"
#include "passes/kit/op_inputs.h"
#include "passes/kit/patterns.h"

#include <algorithm>
#include <tuple>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// factor (t - s) + offset <= 0, for positions t and s.
struct Comparison {
  Axis t;
  int64_t factor = 1, offset = 0;
};

std::optional<Comparison> comparison_of(const Graph& g, NodeId condition, const Axis& s) {
  const Node& c = g[condition];
  if (c.op != Op::Le && c.op != Op::Lt) return std::nullopt;
  if (g[c.inputs[0]].dtype != DType::Int) return std::nullopt;
  std::optional<Affine> d = affine_difference(g, c);  // d <= 0
  if (!d) return std::nullopt;
  if (c.op == Op::Lt) ++d->offset;
  if (d->terms.size() != 2) return std::nullopt;
  const auto& [t, factor] = d->terms[0].first == s ? d->terms[1] : d->terms[0];
  if (t.kind != AxisKind::Position || d->along(s) != -factor) return std::nullopt;
  return Comparison{t, static_cast<int64_t>(factor), static_cast<int64_t>(d->offset)};
}

/// The chunk of so many positions that t is in: (t + offset) // size.
struct Chunk {
  Axis t;
  int64_t offset = 0, size = 0;
};

std::optional<Chunk> chunk_of(const Graph& g, NodeId id) {
  const Node& n = g[id];
  if (n.op != Op::FloorDiv || n.dtype != DType::Int || g[n.inputs[1]].op != Op::Constant) return std::nullopt;
  const std::optional<Affine> at = affine(g, n.inputs[0]);
  if (!at || at->terms.size() != 1 || at->terms[0].second != 1 || at->terms[0].first.kind != AxisKind::Position) return std::nullopt;
  return Chunk{at->terms[0].first, static_cast<int64_t>(at->offset), static_cast<int64_t>(g[n.inputs[1]].value)};
}

/// Positions t and s that are in one chunk, which is less than its size before t.
void limit_to_chunk(const Graph& g, const Node& equal, const Axis& s, Limits& out) {
  if (equal.op != Op::Eq) return;
  for (const size_t side : {0, 1}) {
    const std::optional<Chunk> own = chunk_of(g, equal.inputs[side]), other = chunk_of(g, equal.inputs[1 - side]);
    if (!own || !other || own->t != s || other->t == s || own->size != other->size || own->size < 1) continue;
    Limit& limit = out[other->t];
    limit.size = std::min(limit.size, own->size + own->offset - other->offset);
  }
}

void intersect(Limits& limits, const Limits& others) {
  for (const auto& [t, other] : others) {
    Limit& limit = limits[t];
    limit.not_later = limit.not_later || other.not_later;
    limit.size = std::min(limit.size, other.size);
  }
}

/// Where values can be other than a number; each is looked at once.
class Support {
 public:
  explicit Support(const Graph& g) : g_(g) {}

  Limits of(NodeId id, const Axis& s, double otherwise) {
    const std::tuple key{id, s, otherwise};
    const auto it = known_.find(key);
    return it != known_.end() ? it->second : known_[key] = find(id, s, otherwise);
  }

 private:
  Limits find(NodeId id, const Axis& s, double otherwise) {
    const Node& n = g_[id];
    if (!contains(n.axes, s)) return {};
    switch (n.op) {
      case Op::Select: {
        if (g_[n.inputs[2]].op != Op::Constant || g_[n.inputs[2]].value != otherwise) return {};
        Limits out = of(n.inputs[1], s, otherwise);
        intersect(out, limits_of(g_, n.inputs[0], s));
        return out;
      }
      case Op::Rename: {
        Axis before = s;
        for (size_t k = 0; k < n.to.size(); ++k) {
          if (n.to[k] == s) before = n.from[k];
        }
        Limits out;
        for (const auto& [t, limit] : of(n.inputs[0], before, otherwise)) {
          const int at = index_of(n.from, t);
          out[at >= 0 ? n.to[static_cast<size_t>(at)] : t] = limit;
        }
        return out;
      }
      default: {
        Limits out;
        if (otherwise != 0) return out;
        for (size_t i : absorbing_inputs(n)) intersect(out, of(n.inputs[i], s, 0));
        return out;
      }
    }
  }

  const Graph& g_;
  std::map<std::tuple<NodeId, Axis, double>, Limits> known_;
};

}  // namespace

Limits limits_of(const Graph& g, NodeId condition, const Axis& s) {
  Limits out;
  for (NodeId id : conjuncts(g, condition)) {
    limit_to_chunk(g, g[id], s, out);
    const std::optional<Comparison> c = comparison_of(g, id, s);
    if (!c) continue;
    if (c->factor == -1 && c->offset >= 0) out[c->t].not_later = true;
    if (c->factor == 1) out[c->t].size = std::min(out[c->t].size, 1 - c->offset);
  }
  return out;
}

bool holds_at_own_position(const Graph& g, NodeId condition, const Axis& s) {
  std::optional<Axis> own;
  for (NodeId id : conjuncts(g, condition)) {
    const std::optional<Comparison> c = comparison_of(g, id, s);
    if (!c || c->offset > 0 || c->t.size > s.size || (own && *own != c->t)) return false;
    own = c->t;
  }
  return own.has_value();
}

Limits support(const Graph& g, NodeId value, const Axis& s, double otherwise) { return Support(g).of(value, s, otherwise); }

Limits effect(const Graph& g, NodeId id, const Axis& s) {
  const Node& n = g[id];
  if (n.op == Op::Sum || n.op == Op::Prod) return support(g, n.inputs[0], s, n.op == Op::Sum ? 0 : 1);
  if (n.op != Op::Max && n.op != Op::Min) return {};
  const Node& x = g[n.inputs[0]];
  if (x.op != Op::Select || g[x.inputs[2]].op != Op::Constant) return {};
  const double otherwise = g[x.inputs[2]].value;
  const bool nothing = n.op == Op::Max ? otherwise <= -kNoScore : otherwise >= kNoScore;
  return nothing ? support(g, n.inputs[0], s, otherwise) : Limits{};
}

std::optional<Window> window_of(const Limits& limits, const Axis& s) {
  for (const auto& [t, limit] : limits) {
    if (limit.not_later && t.size == s.size && limit.size >= 1) return Window{t, s, std::min<int64_t>(limit.size, t.size)};
  }
  return std::nullopt;
}

}  // namespace cpuflow::passes
