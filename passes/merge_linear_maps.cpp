#include "passes/merge_linear_maps.h"

#include "passes/rewrite.h"
#include "passes/sum_terms.h"

#include <algorithm>
#include <optional>

namespace cpuflow::passes {
using namespace ir;

namespace {

// What is computed once a step takes so many times as long: one thread does it, in float32, forward and backward.
constexpr double kOnce = 2;

/// A sum over `over` of matrix * x, where the matrix is made of parameters alone.
struct LinearMap {
  NodeId matrix, x;
  Axes over;
};

class Merger {
 public:
  explicit Merger(const Graph& in) : in_(in), users_(users_of(in)), fixed_(in.size()) {
    for (NodeId id = 0; id < in.size(); ++id) {
      const Node& n = in[id];
      const bool given = n.op == Op::Input || n.op == Op::Random || n.op == Op::Carry;
      const bool of_one = std::none_of(n.axes.begin(), n.axes.end(), [](const Axis& a) { return a.kind == AxisKind::Batch || a.kind == AxisKind::Position; });
      fixed_[id] = !given && of_one && std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return fixed_[i]; });
    }
    for (const Output& o : in.outputs) users_[o.node].push_back(kNoNode);
  }

  /// What takes the place of a sum, or kNoNode.
  NodeId merged(Graph& out, NodeId id, const std::vector<NodeId>& map) const {
    const std::optional<LinearMap> outer = map_at(id);
    if (!outer) return kNoNode;
    NodeId between = outer->x;
    Axes middle = outer->over;  // as the inner map calls the axes that the outer one sums over
    for (; users_[between].size() == 1 && in_[between].op == Op::Rename; between = in_[between].inputs[0]) {
      const Node& n = in_[between];
      for (size_t i = 0; i < n.from.size(); ++i) {
        const auto at = std::find(middle.begin(), middle.end(), n.to[i]);
        if (at == middle.end()) return kNoNode;
        *at = n.from[i];
      }
    }
    const std::optional<LinearMap> inner = users_[between].size() == 1 ? map_at(between) : std::nullopt;
    if (!inner || !subset(middle, in_[inner->matrix].axes)) return kNoNode;
    if (std::any_of(middle.begin(), middle.end(), [&](const Axis& a) { return contains(in_[inner->x].axes, a); })) return kNoNode;

    Axes summed = inner->over;  // called by names that nothing here has
    uint32_t next = 0;
    for (NodeId i : {outer->matrix, inner->matrix, inner->x}) {
      for (const Axis& a : in_[i].axes) next = std::max(next, uint32_t{a.ordinal} + 1);
    }
    for (Axis& a : summed) a.ordinal = next++;
    const Axes rows = without(in_[inner->x].axes, inner->over), kept = without(in_[outer->matrix].axes, outer->over);
    const Axes matrix = union_of(kept, union_of(without(without(in_[inner->matrix].axes, inner->over), middle), summed));
    auto count = [](const Axes& a, const Axes& b) { return static_cast<double>(element_count(union_of(a, b))); };
    const double apart = count(in_[inner->matrix].axes, in_[inner->x].axes) + count(in_[outer->matrix].axes, in_[outer->x].axes);
    if (count(matrix, rows) + kOnce * count(matrix, outer->over) >= apart) return kNoNode;

    Axes from = inner->over, to = summed;
    from.insert(from.end(), middle.begin(), middle.end());
    to.insert(to.end(), outer->over.begin(), outer->over.end());
    const NodeId both = out.reduce(Op::Sum, out.binary(Op::Mul, map[outer->matrix], out.rename(map[inner->matrix], from, to)), outer->over);
    return out.reduce(Op::Sum, out.binary(Op::Mul, both, out.rename(map[inner->x], inner->over, summed)), summed);
  }

 private:
  std::optional<LinearMap> map_at(NodeId id) const {
    const Node& sum = in_[id];
    if (sum.op != Op::Sum || sum.dtype != DType::Real || in_[sum.inputs[0]].op != Op::Mul) return std::nullopt;
    const std::vector<NodeId>& factors = in_[sum.inputs[0]].inputs;
    for (size_t side : {0, 1}) {
      const NodeId matrix = factors[side], x = factors[1 - side];
      if (fixed_[matrix] && !fixed_[x] && subset(sum.from, in_[matrix].axes) && subset(sum.from, in_[x].axes)) return LinearMap{matrix, x, sum.from};
    }
    return std::nullopt;
  }

  const Graph& in_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> fixed_;
};

}  // namespace

Graph merge_linear_maps(const Graph& in) {
  const Merger merger(in);
  return rewrite(in, [&](Graph& out, const Node&, NodeId id, const std::vector<NodeId>& map) { return merger.merged(out, id, map); });
}

}  // namespace cpuflow::passes
