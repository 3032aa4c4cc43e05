#include "passes/chunk_sums.h"

#include "passes/kit/empty_sums.h"
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"
#include "passes/kit/sum_terms.h"

#include <algorithm>
#include <optional>

namespace cpuflow::passes {
using namespace ir;

namespace {

// Chunks are small enough for their squares of positions to stay in the first cache, and high enough for products of matrices.
constexpr uint32_t kSmallest = 16, kLargest = 64;
// A sum in chunks has more loops: it must save this much.
constexpr double kWorthwhile = 1.3;

double count(const Axes& axes) { return static_cast<double>(element_count(axes)); }

/// The two sides of `s <= t` or `s < t`, with s among the summed axes.
struct Order {
  Axis s, t;
  Op op = Op::Le;
  bool s_first = true;  // s <= t; otherwise t <= s
};

std::optional<Order> order_of(const Graph& g, NodeId condition, const Axes& over) {
  const Node& c = g[condition];
  if (c.op != Op::Le && c.op != Op::Lt) return std::nullopt;
  for (NodeId i : c.inputs) {
    if (!is_counter(g[i]) || !can_be_split(g[i].axes[0])) return std::nullopt;
  }
  const Axis a = g[c.inputs[0]].axes[0], b = g[c.inputs[1]].axes[0];
  if (a.size != b.size || contains(over, a) == contains(over, b)) return std::nullopt;
  const bool first = contains(over, a);
  return Order{first ? a : b, first ? b : a, c.op, first};
}

class ChunkedSum {
 public:
  ChunkedSum(Graph& g, const Node& sum) : g_(g), over_(sum.from), terms_(terms_of(g, sum)), has_terms_(must_have_terms(g, terms_, over_)) {}

  /// The sum in chunks, or kNoNode.
  NodeId build() {
    if (!sort_terms() || !pays()) return kNoNode;
    const Axis chunk = axis(0, order_.t.size / size_), row = axis(1, size_), earlier = axis(2, size_);
    const NodeId q = product(left_, order_.t, chunk, row), k = product(right_, order_.s, chunk, earlier);
    const NodeId zero = g_.real(0), at = g_.iota(row), before = g_.iota(earlier);
    const NodeId inside = g_.binary(order_.op, order_.s_first ? before : at, order_.s_first ? at : before);
    Axes within = shared_;
    within.push_back(earlier);
    const NodeId near = g_.reduce(Op::Sum, g_.select(inside, g_.binary(Op::Mul, q, k), zero), within);
    const NodeId state = g_.cumsum(g_.reduce(Op::Sum, k, {earlier}), chunk, !order_.s_first, true);
    const NodeId far = g_.reduce(Op::Sum, g_.binary(Op::Mul, q, state), shared_);
    NodeId result = g_.reshape(g_.binary(Op::Add, near, far), {chunk, row}, {order_.t});
    if (terms_.negative) result = g_.unary(Op::Neg, result);
    for (NodeId d : terms_.divisors) result = g_.binary(Op::Div, result, d);
    if (has_terms_ != kNoNode) result = g_.select(has_terms_, result, g_.real(0));
    return result;
  }

 private:
  Axis axis(unsigned role, uint32_t size) const {
    return split_axis(ordinals::kChunkSums, order_.t, role, size);
  }

  /// Which factors and conditions belong to t, and which to s.  False where one belongs to both.
  bool sort_terms() {
    std::vector<NodeId> conditions;
    bool ordered = false;
    for (NodeId c : terms_.conditions) {
      const std::optional<Order> order = ordered ? std::nullopt : order_of(g_, c, over_);
      if (!order) {
        conditions.push_back(c);
        continue;
      }
      order_ = *order;
      ordered = true;
    }
    if (!ordered) return false;
    size_ = chunk_size(order_.t.size);
    if (size_ == 0) return false;
    auto sort = [&](NodeId f, std::vector<NodeId>& left, std::vector<NodeId>& right) {
      const bool of_t = contains(g_[f].axes, order_.t), of_s = contains(g_[f].axes, order_.s);
      if (of_t == of_s) return false;
      (of_t ? left : right).push_back(f);
      return true;
    };
    for (NodeId f : terms_.factors) {
      if (!sort(f, left_, right_)) return false;
    }
    for (NodeId c : conditions) {
      if (!sort(c, left_conditions_, right_conditions_)) return false;
    }
    shared_ = without(over_, {order_.s});
    return !left_.empty() && !right_.empty() && !shared_.empty();
  }

  /// Multiply-adds of a position, with all pairs of positions and in chunks.
  bool pays() const {
    const Axes left = without(all_axes(g_, left_), {order_.t}), right = without(all_axes(g_, right_), {order_.s});
    Axes own;  // axes of the result that the earlier positions have alone
    for (const Axis& a : right) {
      if (!contains(left, a) && !contains(shared_, a)) own.push_back(a);
    }
    for (const Axis& a : shared_) {
      if (!contains(left, a) || !contains(right, a)) return false;  // summed in one factor: no square of positions is needed
    }
    const double summed = count(shared_), results = count(own), chunk = size_, all = order_.t.size;
    return kWorthwhile * (chunk * (summed + results) + 2 * summed * results) < all * (summed + results);
  }

  /// Factors and conditions of one side, in chunks.
  NodeId product(const std::vector<NodeId>& factors, const Axis& position, const Axis& chunk, const Axis& within) {
    auto split = [&](NodeId id) { return g_.reshape(id, {position}, {chunk, within}); };
    NodeId all = split(factors[0]);
    for (size_t i = 1; i < factors.size(); ++i) all = g_.binary(Op::Mul, all, split(factors[i]));
    for (NodeId c : position == order_.t ? left_conditions_ : right_conditions_) all = g_.select(split(c), all, g_.real(0));
    return all;
  }

  Graph& g_;
  Axes over_;
  SumTerms terms_;
  NodeId has_terms_;
  Order order_;
  uint32_t size_ = 0;
  Axes shared_;  // summed axes that both sides have
  std::vector<NodeId> left_, right_, left_conditions_, right_conditions_;
};

}  // namespace

uint32_t chunk_size(uint32_t positions) {
  for (uint32_t size = kLargest; size >= kSmallest; --size) {
    if (positions % size == 0 && positions > size) return size;
  }
  return 0;
}

Graph chunk_sums(const Graph& in) {
  return rewrite_whole(in, [&](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Sum || n.dtype != DType::Real) return kNoNode;
    return ChunkedSum(out, n).build();
  });
}

}  // namespace cpuflow::passes
