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

/// x read along `axis` at `index`, 0 where there is none.  Factors without the axis are not written out for each pair of the two.
NodeId read_at(Graph& g, NodeId x, const Axis& axis, NodeId index) {
  const Node n = g[x];
  if (n.op == Op::Mul) {
    for (size_t side = 0; side < 2; ++side) {
      if (!contains(g[n.inputs[side]].axes, axis)) return g.binary(Op::Mul, read_at(g, n.inputs[1 - side], axis, index), n.inputs[side]);
    }
  }
  return g.gather(x, axis, index);
}

/// x read along `axis` at the i where the line is j, 0 where there is none.
NodeId read_inverse(Graph& g, NodeId x, const Axis& axis, NodeId j, const Line& line) {
  NodeId moved = g.binary(Op::Sub, j, g.integer(line.offset));
  if (line.stride < 0) moved = g.unary(Op::Neg, moved);
  const int64_t step = std::abs(line.stride);
  if (step == 1) return read_at(g, x, axis, moved);
  NodeId on_grid = g.binary(Op::Eq, g.binary(Op::Mod, moved, g.integer(step)), g.integer(0));
  NodeId read = read_at(g, x, axis, g.binary(Op::FloorDiv, moved, g.integer(step)));
  return g.select(on_grid, read, zero_like(g, read));
}

/// An index as a line along one axis plus, or minus, what does not have that axis.
struct Part {
  Axis axis;
  Line line;
  NodeId rest;
};

/// Of the axes that x is summed over, the longest for which the index can be solved: the fewest terms are left to be summed.
std::optional<Part> longest_part(const Graph& g, NodeId index, NodeId x, const Axes& over) {
  const Node& sum = g[index];
  if (sum.op != Op::Add && sum.op != Op::Sub) return std::nullopt;
  std::optional<Part> longest;
  for (size_t side = 0; side < (sum.op == Op::Add ? 2u : 1u); ++side) {
    const NodeId rest = sum.inputs[1 - side];
    for (const Axis& a : over) {
      if (contains(g[rest].axes, a) || !contains(g[x].axes, a) || (longest && longest->axis.size >= a.size)) continue;
      const std::optional<Line> line = line_along(g, sum.inputs[side], a);
      if (line && std::abs(line->stride) == 1) longest = Part{a, *line, rest};
    }
  }
  return longest;
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
    if (const std::optional<Part> part = solves ? longest_part(out, index, x, over) : std::nullopt) {
      const NodeId target = out.binary(out[index].op == Op::Add ? Op::Sub : Op::Add, j, part->rest);
      const NodeId solved = read_inverse(out, x, part->axis, target, part->line);
      const Axes others = without(n.from, {part->axis});
      return others.empty() ? solved : out.reduce(Op::Sum, solved, others);
    }
    // i // C finds its target by itself
    const Node& sum = out[index];
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
