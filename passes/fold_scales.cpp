#include "passes/fold_scales.h"

#include "passes/kit/linear_maps.h"
#include "passes/kit/rewrite.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

namespace {

// What is done with the matrix once a step is worth it where a micro-batch has so many positions for each of its results.
constexpr uint64_t kPositions = 2;

/// scale * y + bias, where scale and bias are made of parameters alone; kNoNode: there is none.
struct Scaled {
  NodeId y = kNoNode, scale = kNoNode, bias = kNoNode;
};

class Folder {
 public:
  explicit Folder(const Graph& in) : in_(in), maps_(in) {}

  /// What takes the place of a sum, or kNoNode.
  NodeId folded(Graph& out, NodeId id, const std::vector<NodeId>& map) const {
    const std::optional<LinearMap> linear = maps_.at(id);
    if (!linear) return kNoNode;
    Axes summed = linear->over;  // as x calls the axes that the map sums over
    const NodeId x = maps_.behind_names(linear->x, summed, false);
    if (x == kNoNode) return kNoNode;
    const Scaled parts = parts_of(x);
    if (parts.y == kNoNode || !subset(summed, in_[parts.y].axes) || !of_summed(parts.scale, summed) || !of_summed(parts.bias, summed)) return kNoNode;
    if (!only_multiplied(x)) return kNoNode;

    auto renamed = [&](NodeId part) { return out.rename(map[part], summed, linear->over); };
    NodeId matrix = map[linear->matrix];
    if (parts.scale != kNoNode) matrix = out.binary(Op::Mul, matrix, renamed(parts.scale));
    const NodeId product = out.reduce(Op::Sum, out.binary(Op::Mul, matrix, renamed(parts.y)), linear->over);
    if (parts.bias == kNoNode) return product;
    return out.binary(Op::Add, product, out.reduce(Op::Sum, out.binary(Op::Mul, map[linear->matrix], renamed(parts.bias)), linear->over));
  }

 private:
  Scaled parts_of(NodeId x) const {
    auto split = [&](NodeId id, NodeId& fixed) {
      const std::vector<NodeId>& terms = in_[id].inputs;
      if (maps_.fixed(terms[0]) == maps_.fixed(terms[1])) return id;
      fixed = terms[maps_.fixed(terms[0]) ? 0 : 1];
      return terms[maps_.fixed(terms[0]) ? 1 : 0];
    };
    Scaled s;
    NodeId y = x;
    if (in_[y].op == Op::Add) y = split(y, s.bias);
    if (in_[y].op == Op::Mul) y = split(y, s.scale);
    if (y != x) s.y = y;
    return s;
  }

  /// Whether a scale or bias is one number for each of what is summed, and perhaps for each layer.
  bool of_summed(NodeId part, const Axes& summed) const {
    if (part == kNoNode) return true;
    const Axes& axes = in_[part].axes;
    return subset(summed, axes) && std::all_of(axes.begin(), axes.end(), [&](const Axis& a) { return contains(summed, a) || a.kind == AxisKind::Layer; });
  }

  /// Whether all that reads a value are linear maps with few results.
  bool only_multiplied(NodeId x) const {
    return std::all_of(maps_.users(x).begin(), maps_.users(x).end(), [&](NodeId user) {
      if (user == kNoNode) return false;
      if (in_[user].op == Op::Rename) return only_multiplied(user);
      if (in_[user].op != Op::Mul || maps_.users(user).size() != 1 || maps_.users(user)[0] == kNoNode) return false;
      const std::optional<LinearMap> linear = maps_.at(maps_.users(user)[0]);
      if (!linear || linear->x != x) return false;
      uint64_t results = 1, positions = 1;
      for (const Axis& a : without(in_[linear->matrix].axes, linear->over)) results *= a.kind == AxisKind::Layer ? 1 : a.size;
      for (const Axis& a : in_[x].axes) positions *= a.kind == AxisKind::Batch || a.kind == AxisKind::Position ? a.size : 1;
      return kPositions * results <= positions;
    });
  }

  const Graph& in_;
  LinearMaps maps_;
};

}  // namespace

Graph fold_scales(const Graph& in) {
  const Folder folder(in);
  return rewrite(in, [&](Graph& out, const Node&, NodeId id, const std::vector<NodeId>& map) { return folder.folded(out, id, map); });
}

}  // namespace cpuflow::passes
