#include "passes/sum_sequences_late.h"

#include "passes/collect_sequences.h"
#include "passes/kit/conditions.h"
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"
#include "passes/kit/substitution.h"
#include "passes/lower_to_loops.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// What a value is in each sequence, which a sum over them makes that value.
class OfEach {
 public:
  explicit OfEach(Graph& g) : g_(g) {}

  /// kNoNode where it is none, or a small one.
  NodeId of(NodeId id) {
    const Node n = g_[id];
    if (n.op == Op::Sum && has_batch(n.from)) return of_sum(n);
    const bool part = is_zero_else(g_, id) && of_all_sequences(n.inputs[0]);
    const bool read = n.op == Op::Gather && of_all_sequences(n.inputs[1]);
    const bool renamed = n.op == Op::Rename && !has_batch(n.from) && !has_batch(n.to);
    if (!part && !read && !renamed) return kNoNode;
    const NodeId each = of(n.inputs[part ? 1 : 0]);
    if (each == kNoNode) return kNoNode;
    if (part) return g_.select(n.inputs[0], each, g_.zero(n.dtype));
    return read ? read_at(each, n.from[0], n.inputs[1]) : g_.rename(each, n.from, n.to);
  }
  /// The sequences that the sum is over.
  const Axes& sequences() const { return sequences_; }

 private:
  /// Whether a condition or an index is known without data, and the same for all sequences: the sum that is left out has them as an axis.
  bool of_all_sequences(NodeId id) const { return !has_batch(g_[id].axes) && is_about_positions(g_, id); }

  NodeId of_sum(const Node& sum) {
    if (!LowerOptions().is_large(sum.axes) || is_collected(g_, sum)) return kNoNode;
    Axes others;
    for (const Axis& a : sum.from) (is_batch(a) ? sequences_ : others).push_back(a);
    return others.empty() ? sum.inputs[0] : g_.reduce(Op::Sum, sum.inputs[0], others);
  }

  /// x at an index along an axis, 0 where there is none.
  NodeId read_at(NodeId x, const Axis& axis, NodeId index) {
    const auto leaf = [&](NodeId id) {
      return g_[id].op == Op::Iota ? g_.binary(Op::Add, index, g_.integer(static_cast<int64_t>(g_[id].value))) : g_.gather(id, axis, index);
    };
    const auto whole = [&](NodeId id) { return g_[id].dtype == DType::Real && without(g_[index].axes, g_[id].axes) == g_[index].axes; };  // not one for each pair of positions
    const NodeId inside = g_.binary(Op::And, g_.binary(Op::Le, g_.integer(0), index), g_.binary(Op::Lt, index, g_.integer(axis.size)));
    return g_.select(inside, Substitution(g_, axis, leaf, whole)(x), g_.zero(DType::Real));
  }

  Graph& g_;
  Axes sequences_;
};

}  // namespace

Graph sum_sequences_late(const Graph& in) {
  return rewrite(in, [](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Sum || n.dtype != DType::Real || has_batch(n.from) || out[n.inputs[0]].op == Op::Sum) return kNoNode;
    OfEach each(out);
    const NodeId summed = each.of(n.inputs[0]);
    return summed == kNoNode ? kNoNode : out.reduce(Op::Sum, out.reduce(Op::Sum, summed, n.from), each.sequences());
  });
}

}  // namespace cpuflow::passes
