#include "passes/normalise_sums.h"

#include "passes/collect_sequences.h"
#include "passes/kit/contraction_order.h"
#include "passes/kit/distances.h"
#include "passes/kit/empty_sums.h"
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"
#include "passes/kit/substitution.h"
#include "passes/kit/sum_terms.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Sums over `over` of the product of `terms`.
class SumBuilder {
 public:
  SumBuilder(Graph& g, Axes over, SumTerms terms, bool by_row) : g_(g), over_(std::move(over)), t_(std::move(terms)), by_row_(by_row) {}

  NodeId build() {
    std::vector<NodeId> outside, outside_conditions;
    for (NodeId& f : t_.factors) {
      if (const NodeId filter = as_filter(g_, f, t_.conditions); filter != kNoNode) f = filter;
    }
    const NodeId has_terms = must_have_terms(g_, t_, over_);
    take_outside(t_.factors, outside);
    take_outside(t_.conditions, outside_conditions);
    double copies = 1;  // axes that nothing mentions
    for (const Axis& a : Axes(over_)) {
      bool used = false;
      for (NodeId f : t_.factors) used = used || contains(g_[f].axes, a);
      for (NodeId c : t_.conditions) used = used || contains(g_[c].axes, a);
      if (!used) {
        copies *= a.size;
        over_ = without(over_, {a});
      }
    }
    NodeId result = over_.empty() && t_.factors.empty() ? g_.real(1) : sum();
    if (copies != 1) result = g_.binary(Op::Mul, result, g_.real(copies));
    if (t_.negative) result = g_.unary(Op::Neg, result);
    for (NodeId f : outside) result = g_.binary(Op::Mul, result, f);
    for (NodeId d : t_.divisors) result = g_.binary(Op::Div, result, d);
    if (has_terms != kNoNode) outside_conditions.push_back(has_terms);
    for (NodeId c : outside_conditions) result = g_.select(c, result, zero(result));
    return result;
  }

 private:
  NodeId zero(NodeId like) { return g_.zero(g_[like].dtype); }

  void take_outside(std::vector<NodeId>& from, std::vector<NodeId>& outside) {
    std::vector<NodeId> kept;
    for (NodeId f : from) (may_leave(g_, f, over_) ? outside : kept).push_back(f);
    from = kept;
  }

  /// A factor whose axes another one has is multiplied into the smallest such.
  void absorb() {
    for (bool again = true; again;) {
      again = false;
      for (size_t i = 0; i < t_.factors.size() && !again; ++i) {
        size_t best = i;
        for (size_t j = 0; j < t_.factors.size(); ++j) {
          if (j == i || !subset(g_[t_.factors[i]].axes, g_[t_.factors[j]].axes)) continue;
          if (best == i || element_count(g_[t_.factors[j]].axes) < element_count(g_[t_.factors[best]].axes)) best = j;
        }
        if (best == i) continue;
        t_.factors[best] = g_.binary(Op::Mul, t_.factors[std::min(i, best)], t_.factors[std::max(i, best)]);
        t_.factors.erase(t_.factors.begin() + static_cast<long>(i));
        again = true;
      }
    }
    std::vector<NodeId> left;
    for (NodeId c : t_.conditions) {
      size_t best = t_.factors.size();
      for (size_t j = 0; j < t_.factors.size(); ++j) {
        if (!subset(g_[c].axes, g_[t_.factors[j]].axes)) continue;
        if (best == t_.factors.size() || element_count(g_[t_.factors[j]].axes) < element_count(g_[t_.factors[best]].axes)) best = j;
      }
      if (best == t_.factors.size()) {
        left.push_back(c);
      } else {
        t_.factors[best] = g_.select(c, t_.factors[best], zero(t_.factors[best]));
      }
    }
    t_.conditions = left;
  }

  bool only_in(const Axis& a, size_t i, size_t j) const {
    for (size_t k = 0; k < t_.factors.size(); ++k) {
      if (k != i && k != j && contains(g_[t_.factors[k]].axes, a)) return false;
    }
    for (NodeId c : t_.conditions) {
      if (contains(g_[c].axes, a)) return false;
    }
    return true;
  }

  Contraction contraction() const {
    Contraction c{{}, {}, over_, by_row_};
    for (NodeId f : t_.factors) c.factors.push_back(g_[f].axes);
    for (NodeId id : t_.conditions) {
      const Node& n = g_[id];
      c.conditions.push_back({n.axes, (n.op == Op::Le || n.op == Op::Lt) && is_counter(g_[n.inputs[0]]) && is_counter(g_[n.inputs[1]])});
    }
    return c;
  }

  /// A factor summed over an axis under one comparison of it with another is a prefix sum.  Where products of matrices are faster, it must be all
  /// that there is.
  bool take_prefix_sum() {
    if (!by_row_ && (over_.size() != 1 || t_.factors.size() != 1 || t_.conditions.size() != 1)) return false;
    const Contraction c = contraction();
    for (size_t k = 0; k < t_.conditions.size(); ++k) {
      const std::optional<Prefix> p = find_prefix(c, k);
      if (!p) continue;
      const Node& condition = g_[t_.conditions[k]];
      const bool forward = g_[condition.inputs[0]].axes[0] == p->s, exclusive = condition.op == Op::Lt;
      t_.factors[p->factor] = g_.cumsum(rename_below(g_, t_.factors[p->factor], p->s, p->t), p->t, !forward, exclusive);
      t_.conditions.erase(t_.conditions.begin() + static_cast<long>(k));
      over_ = without(over_, {p->s});
      return true;
    }
    return false;
  }

  NodeId sum() {
    take_prefix_sum();
    absorb();
    for (;;) {
      bool changed = take_prefix_sum();
      // an axis that one factor alone has is summed in it
      for (size_t i = 0; i < t_.factors.size() && t_.factors.size() > 1; ++i) {
        Axes own;
        for (const Axis& a : over_) {
          if (contains(g_[t_.factors[i]].axes, a) && only_in(a, i, i)) own.push_back(a);
        }
        if (own.empty()) continue;
        t_.factors[i] = g_.reduce(Op::Sum, t_.factors[i], own);
        over_ = without(over_, own);
        changed = true;
      }
      if (changed) {
        absorb();
        continue;
      }
      if (t_.factors.size() <= 2) break;
      const auto [bi, bj] = first_pair(contraction());
      Axes gone;
      for (const Axis& a : over_) {
        if ((contains(g_[t_.factors[bi]].axes, a) || contains(g_[t_.factors[bj]].axes, a)) && only_in(a, bi, bj)) gone.push_back(a);
      }
      NodeId pair = g_.binary(Op::Mul, t_.factors[bi], t_.factors[bj]);
      if (!gone.empty()) pair = g_.reduce(Op::Sum, pair, gone);
      over_ = without(over_, gone);
      t_.factors.erase(t_.factors.begin() + static_cast<long>(bj));
      t_.factors[bi] = pair;
      absorb();
    }
    if (t_.factors.empty()) t_.factors.push_back(g_.real(1));
    NodeId value = t_.factors[0];
    if (t_.factors.size() == 2) value = g_.binary(Op::Mul, value, t_.factors[1]);
    for (NodeId c : t_.conditions) value = g_.select(c, value, zero(value));
    return over_.empty() ? value : sum_of(value);
  }

  /// A concatenation's parts are summed one by one, each where it is made: the whole may be needed as an operand only.
  NodeId sum_of(NodeId value) {
    const Node n = g_[value];
    if (n.op != Op::Concat || contains(over_, n.to[0])) return g_.reduce(Op::Sum, value, over_);
    std::vector<NodeId> parts;
    for (NodeId part : n.inputs) parts.push_back(sum_of(part));
    return g_.concat(parts, n.from, n.to[0]);
  }

  Graph& g_;
  Axes over_;
  SumTerms t_;
  bool by_row_;
};

}  // namespace

NodeId normal_sum(Graph& g, const Node& sum, bool by_row) { return SumBuilder(g, sum.from, terms_of(g, sum), by_row).build(); }

Graph normalise_sums(const Graph& in) {
  return rewrite(in, [&](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    const bool real = n.op == Op::Sum && n.dtype == DType::Real;
    return real && !is_collected(out, n) ? normal_sum(out, n, false) : kNoNode;
  });
}

}  // namespace cpuflow::passes
