#include "passes/merge_linear_maps.h"

#include "passes/kit/linear_maps.h"
#include "passes/kit/rewrite.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

namespace {

// What is computed once a step takes so many times as long: one thread does it, in float32, forward and backward.
constexpr double kOnce = 2;

class Merger {
 public:
  explicit Merger(const Graph& in) : in_(in), maps_(in) {}

  /// What takes the place of a sum, or kNoNode.
  NodeId merged(Graph& out, NodeId id, const std::vector<NodeId>& map) const {
    const std::optional<LinearMap> outer = maps_.at(id);
    if (!outer) return kNoNode;
    Axes middle = outer->over;  // as the inner map calls the axes that the outer one sums over
    const NodeId between = maps_.behind_names(outer->x, middle, true);
    if (between == kNoNode) return kNoNode;
    const std::optional<LinearMap> inner = maps_.users(between).size() == 1 ? maps_.at(between) : std::nullopt;
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
  const Graph& in_;
  LinearMaps maps_;
};

}  // namespace

Graph merge_linear_maps(const Graph& in) {
  const Merger merger(in);
  return rewrite(in, [&](Graph& out, const Node&, NodeId id, const std::vector<NodeId>& map) { return merger.merged(out, id, map); });
}

}  // namespace cpuflow::passes
