#include "passes/solve_scatters.h"

#include "ir/affine.h"
#include "ir/schedule.h"
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// offset + stride * the counter of an axis, in whole numbers.
struct Line {
  int64_t stride = 0, offset = 0;
};

/// The integer as a line along the axis, if it depends on nothing else.
std::optional<Line> line_along(const Graph& g, NodeId id, const Axis& axis) {
  if (g[id].dtype != DType::Int || g[id].axes != Axes{axis}) return std::nullopt;
  const std::optional<Affine> a = affine(g, id);
  if (!a || a->terms.size() != 1) return std::nullopt;
  return Line{static_cast<int64_t>(a->terms[0].second), static_cast<int64_t>(a->offset)};
}

NodeId zero_like(Graph& g, NodeId x) { return g.zero(g[x].dtype); }

/// x read along `axis` at the i where the line is j, 0 where there is none.
NodeId read_inverse(Graph& g, NodeId x, const Axis& axis, NodeId j, const Line& line) {
  NodeId moved = g.binary(Op::Sub, j, g.integer(line.offset));
  if (line.stride < 0) moved = g.unary(Op::Neg, moved);
  const int64_t step = std::abs(line.stride);
  if (step == 1) return g.gather(x, axis, moved);
  NodeId on_grid = g.binary(Op::Eq, g.binary(Op::Mod, moved, g.integer(step)), g.integer(0));
  NodeId read = g.gather(x, axis, g.binary(Op::FloorDiv, moved, g.integer(step)));
  return g.select(on_grid, read, zero_like(g, read));
}

/// Whether a value depends on nothing but indices.  What a carry that is still open will read is taken for data.
bool known_without_data(const Graph& g, NodeId id) {
  const std::vector<NodeId> needed = needed_by(g, {id});
  return std::none_of(needed.begin(), needed.end(), [&](NodeId i) {
    const Node& n = g[i];
    return n.op == Op::Param || n.op == Op::Input || n.op == Op::Random || n.op == Op::Argmax || (n.op == Op::Carry && n.inputs[0] == kNoNode);
  });
}

}  // namespace

Graph solve_scatters(const Graph& in) {
  return rewrite(in, [&](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Scatter) return kNoNode;
    NodeId x = n.inputs[0], index = n.inputs[1];
    const Axis& to = n.to[0];
    NodeId j = out.iota(to);
    Axes over;  // an axis that the index does not have is summed first
    Axes first;
    for (const Axis& a : n.from) (contains(out[index].axes, a) ? over : first).push_back(a);
    if (over.empty()) {
      if (!first.empty()) x = out.reduce(Op::Sum, x, first);
      return out.select(out.binary(Op::Eq, j, index), x, zero_like(out, x));
    }
    const bool solves = !has_batch(over);  // what comes from other sequences stays a sum over them
    const std::optional<Line> line = solves && over.size() == 1 ? line_along(out, index, over[0]) : std::nullopt;
    if (line && contains(out[x].axes, over[0])) {
      if (!first.empty()) x = out.reduce(Op::Sum, x, first);
      return read_inverse(out, x, over[0], j, *line);
    }
    // index = a + b with a affine in one summed axis and b free of it: solve for that axis, sum over the others
    const Node& sum = out[index];
    if (solves && (sum.op == Op::Add || sum.op == Op::Sub)) {
      for (size_t side = 0; side < (sum.op == Op::Add ? 2u : 1u); ++side) {
        NodeId part = sum.inputs[side], rest = sum.inputs[1 - side];
        for (const Axis& a : over) {
          if (contains(out[rest].axes, a) || !contains(out[x].axes, a)) continue;
          const std::optional<Line> counted = line_along(out, part, a);
          if (!counted || std::abs(counted->stride) != 1) continue;
          NodeId target = sum.op == Op::Add ? out.binary(Op::Sub, j, rest) : out.binary(Op::Add, j, rest);
          NodeId solved = read_inverse(out, x, a, target, *counted);
          Axes others = without(n.from, {a});
          return others.empty() ? solved : out.reduce(Op::Sum, solved, others);
        }
      }
    }
    // i // C finds its target by itself
    if (sum.op == Op::FloorDiv && is_counter(out[sum.inputs[0]]) && out[sum.inputs[1]].op == Op::Constant &&
        out[sum.inputs[1]].value * to.size >= over[0].size) {
      return kNoNode;
    }
    // the index is known without data: compare with every target
    if (!known_without_data(out, index)) return kNoNode;
    NodeId chosen = out.select(out.binary(Op::Eq, j, index), x, zero_like(out, x));
    return out.reduce(Op::Sum, chosen, n.from);
  });
}

}  // namespace cpuflow::passes
