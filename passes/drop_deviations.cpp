#include "passes/drop_deviations.h"

#include "passes/kit/rewrite.h"
#include "passes/kit/sum_terms.h"

#include <map>
#include <optional>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Whether a node is x - mean(x) over these axes.
bool is_deviation(const Graph& g, NodeId id, const Axes& over) {
  if (g[id].op != Op::Sub) return false;
  const NodeId x = g[id].inputs[0];
  const Node& mean = g[g[id].inputs[1]];
  if (mean.op != Op::Mul) return false;
  for (const int i : {0, 1}) {
    const Node &sum = g[mean.inputs[i]], &share = g[mean.inputs[1 - i]];
    if (sum.op == Op::Sum && sum.inputs[0] == x && sum.from.size() == over.size() && subset(sum.from, over) && share.op == Op::Constant &&
        share.value == 1 / static_cast<double>(element_count(over)))
      return true;
  }
  return false;
}

/// Whether a node is a product of a deviation and of factors that are the same for all that is summed.
bool is_multiple_of_deviation(const Graph& g, NodeId id, const Axes& over) {
  if (g[id].op != Op::Mul) return is_deviation(g, id, over);
  const NodeId a = g[id].inputs[0], b = g[id].inputs[1];
  const bool a_leaves = may_leave(g, a, over);
  return a_leaves != may_leave(g, b, over) && is_multiple_of_deviation(g, a_leaves ? b : a, over);  // a deviation does not leave
}

/// What is left of sums over some axes.
class Terms {
 public:
  Terms(Graph& g, const Axes& over) : g_(g), over_(over) {}

  /// The terms of a value that are left; none: all of them are gone.
  std::optional<NodeId> left(NodeId id) {
    if (const auto it = left_.find(id); it != left_.end()) return it->second;  // a value may be reached in very many ways
    return left_[id] = find(id);
  }

 private:
  std::optional<NodeId> find(NodeId id) {
    if (is_multiple_of_deviation(g_, id, over_)) return std::nullopt;
    const Node n = g_[id];
    if (n.op == Op::Neg) {
      const std::optional<NodeId> x = left(n.inputs[0]);
      return x && *x != n.inputs[0] ? g_.unary(Op::Neg, *x) : x ? std::optional(id) : x;
    }
    if (n.op != Op::Add && n.op != Op::Sub) return id;
    const std::optional<NodeId> a = left(n.inputs[0]), b = left(n.inputs[1]);
    if (!a || !b) return !b ? a : n.op == Op::Add ? b : g_.unary(Op::Neg, *b);
    return *a == n.inputs[0] && *b == n.inputs[1] ? id : g_.binary(n.op, *a, *b);
  }

  Graph& g_;
  const Axes& over_;
  std::map<NodeId, std::optional<NodeId>> left_;
};

}  // namespace

Graph drop_deviations(const Graph& in) {
  return rewrite(in, [](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Sum) return kNoNode;
    const std::optional<NodeId> left = Terms(out, n.from).left(n.inputs[0]);
    if (!left || *left == n.inputs[0] || out[*left].axes != out[n.inputs[0]].axes) return kNoNode;
    Node sum = n;
    sum.inputs[0] = *left;
    return out.add(std::move(sum));
  });
}

}  // namespace cpuflow::passes
