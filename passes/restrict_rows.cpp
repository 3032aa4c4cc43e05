#include "passes/restrict_rows.h"

#include "passes/kit/conditions.h"
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"

#include <map>
#include <optional>

namespace cpuflow::passes {
using namespace ir;

namespace {

struct Progression {
  int64_t offset = 0, stride = 1, count = 0;
};

/// The indices of `axis` that all conditions allow, if they are known and evenly spaced.
std::optional<Progression> allowed(const Graph& g, const std::vector<NodeId>& conditions, const Axis& axis) {
  const std::optional<std::vector<bool>> holds = hold_along(g, conditions, axis);
  if (!holds) return std::nullopt;
  std::vector<int64_t> found;
  for (uint32_t i = 0; i < axis.size; ++i) {
    if ((*holds)[i]) found.push_back(i);
  }
  Progression p;
  p.count = static_cast<int64_t>(found.size());
  if (p.count > 0) p.offset = found[0];
  if (p.count > 1) p.stride = found[1] - found[0];
  for (size_t i = 1; i < found.size(); ++i) {
    if (found[i] - found[i - 1] != p.stride) return std::nullopt;
  }
  return p;
}

/// Rebuilds values with `axis` = offset + stride * `chosen`.
class Restriction {
 public:
  Restriction(const Graph& in, Graph& out, const std::vector<NodeId>& map, const std::vector<bool>& own, const Axis& axis, const Axis& chosen,
              const Progression& p)
      : in_(in), out_(out), map_(map), own_(own), axis_(axis), chosen_(chosen), p_(p) {}

  NodeId operator()(NodeId id) {
    const Node& n = in_[id];
    if (!contains(n.axes, axis_)) return map_[id];
    if (auto it = done_.find(id); it != done_.end()) return it->second;
    return done_[id] = build(id, n);
  }

 private:
  NodeId read(NodeId id) { return out_.slice(map_[id], axis_, chosen_, p_.offset, p_.stride); }

  NodeId build(NodeId id, const Node& n) {
    if (n.op == Op::Iota) {
      return out_.binary(Op::Add, out_.binary(Op::Mul, out_.iota(chosen_), out_.integer(p_.stride)),
                         out_.integer(p_.offset + static_cast<int64_t>(n.value)));
    }
    bool along = contains(n.from, axis_) || contains(n.to, axis_);
    bool copies = is_elementwise(n.op) || is_reduction(n.op) || n.op == Op::Rename || n.op == Op::Slice || n.op == Op::Concat ||
                  n.op == Op::Argmax || n.op == Op::TopkMask || n.op == Op::Stop;
    if (n.op == Op::Gather && own_[id]) {
      NodeId x = n.from[0] == axis_ ? map_[n.inputs[0]] : (*this)(n.inputs[0]);
      return out_.gather(x, n.from[0], (*this)(n.inputs[1]));
    }
    if (!own_[id] || along || !copies) return read(id);
    Node copy = n;
    for (NodeId& i : copy.inputs) i = (*this)(i);
    for (Axis& a : copy.axes) {
      if (a == axis_) a = chosen_;
    }
    return out_.add(std::move(copy));
  }

  const Graph& in_;
  Graph& out_;
  const std::vector<NodeId>& map_;
  const std::vector<bool>& own_;
  Axis axis_, chosen_;
  Progression p_;
  std::map<NodeId, NodeId> done_;
};

}  // namespace

Graph restrict_rows(const Graph& in) {
  const auto users = users_of(in);
  return rewrite(in, [&](Graph& out, const Node& n, NodeId id, const std::vector<NodeId>& map) -> NodeId {
    if (n.op != Op::Sum || n.dtype != DType::Real) return kNoNode;
    NodeId body = in[id].inputs[0];
    std::vector<NodeId> conditions;
    NodeId inner = body;
    while (is_zero_else(in, inner)) {
      for (NodeId c : conjuncts(in, in[inner].inputs[0])) conditions.push_back(c);
      inner = in[inner].inputs[1];
    }
    if (conditions.empty()) return kNoNode;
    for (const Axis& axis : n.from) {
      if (axis.kind == AxisKind::Batch || axis.kind == AxisKind::Layer) continue;
      std::vector<NodeId> known, others;
      for (NodeId c : conditions) (in[c].axes == Axes{axis} ? known : others).push_back(c);
      if (known.empty()) continue;
      std::optional<Progression> p = allowed(in, known, axis);
      if (!p || p->count * 4 > int64_t{axis.size} * 3) continue;  // all rows but a few cost no more, and need no second axis
      if (p->count == 0) {
        if (n.axes.empty()) return out.real(0);
        continue;
      }
      // what only this sum needs
      std::vector<bool> own(in.size());
      for (NodeId s = body;; s = in[s].inputs[1]) {
        own[s] = true;
        if (s == inner) break;
      }
      for (NodeId m = inner; m-- > 0;) {
        bool all = !users[m].empty();
        for (NodeId u : users[m]) all = all && (own[u] || u == id);
        for (const Output& o : in.outputs) all = all && o.node != m;
        own[m] = all;
      }
      Axis chosen{AxisKind::Position, static_cast<uint16_t>(ordinals::kChosen + axis.ordinal), static_cast<uint32_t>(p->count)};
      Restriction restricted(in, out, map, own, axis, chosen, *p);
      NodeId value = restricted(inner);
      for (NodeId c : others) {
        NodeId condition = restricted(c);
        value = out.select(condition, value, out.zero(out[value].dtype));
      }
      Axes from = n.from;
      for (Axis& a : from) {
        if (a == axis) a = chosen;
      }
      if (!contains(out[value].axes, chosen)) {  // the body does not depend on the axis
        value = out.binary(Op::Mul, value, out.real(static_cast<double>(p->count)));
        from = without(from, {chosen});
      }
      return out.reduce(Op::Sum, value, from);
    }
    return kNoNode;
  });
}

}  // namespace cpuflow::passes
