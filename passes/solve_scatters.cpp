#include "passes/solve_scatters.h"

#include "ir/schedule.h"
#include "passes/rewrite.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

bool affine_in(const Graph& g, NodeId id, const Axis& axis, int64_t& stride, int64_t& offset) {
  const Node& n = g[id];
  int64_t s0, o0, s1, o1;
  switch (n.op) {
    case Op::Constant:
      stride = 0;
      offset = static_cast<int64_t>(n.value);
      return n.dtype == DType::Int;
    case Op::Iota:
      if (n.axes[0] != axis) return false;
      stride = 1;
      offset = static_cast<int64_t>(n.value);
      return true;
    case Op::Add:
    case Op::Sub: {
      if (n.dtype != DType::Int || !affine_in(g, n.inputs[0], axis, s0, o0) || !affine_in(g, n.inputs[1], axis, s1, o1)) return false;
      int64_t sign = n.op == Op::Add ? 1 : -1;
      stride = s0 + sign * s1;
      offset = o0 + sign * o1;
      return true;
    }
    case Op::Neg:
      if (n.dtype != DType::Int || !affine_in(g, n.inputs[0], axis, s0, o0)) return false;
      stride = -s0;
      offset = -o0;
      return true;
    case Op::Mul:
      if (n.dtype != DType::Int || !affine_in(g, n.inputs[0], axis, s0, o0) || !affine_in(g, n.inputs[1], axis, s1, o1)) return false;
      if (s0 != 0 && s1 != 0) return false;
      stride = s0 * o1 + s1 * o0;
      offset = o0 * o1;
      return true;
    case Op::Rename: {
      for (size_t i = 0; i < n.to.size(); ++i) {
        if (n.to[i] == axis) return affine_in(g, n.inputs[0], n.from[i], stride, offset);
      }
      return affine_in(g, n.inputs[0], axis, stride, offset);
    }
    default:
      return false;
  }
}

namespace {

NodeId zero_like(Graph& g, NodeId x) { return g[x].dtype == DType::Real ? g.real(0) : g.integer(0); }

/// x with its axis `axis` (offset + stride * i == j) read at the i that gives j, 0 where there is none.
NodeId read_inverse(Graph& g, NodeId x, const Axis& axis, NodeId j, int64_t stride, int64_t offset) {
  NodeId moved = g.binary(Op::Sub, j, g.integer(offset));
  if (stride < 0) moved = g.unary(Op::Neg, moved);
  int64_t step = stride < 0 ? -stride : stride;
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
    int64_t stride, offset;
    if (over.size() == 1 && out[index].axes.size() == 1 && affine_in(out, index, over[0], stride, offset) && stride != 0 &&
        contains(out[x].axes, over[0])) {
      if (!first.empty()) x = out.reduce(Op::Sum, x, first);
      return read_inverse(out, x, over[0], j, stride, offset);
    }
    // index = a + b with a affine in one summed axis and b free of it: solve for that axis, sum over the others
    const Node& sum = out[index];
    if (sum.op == Op::Add || sum.op == Op::Sub) {
      for (size_t side = 0; side < (sum.op == Op::Add ? 2u : 1u); ++side) {
        NodeId part = sum.inputs[side], rest = sum.inputs[1 - side];
        for (const Axis& a : over) {
          if (contains(out[rest].axes, a) || !contains(out[x].axes, a) || out[part].axes.size() != 1) continue;
          if (!affine_in(out, part, a, stride, offset) || (stride != 1 && stride != -1)) continue;
          NodeId target = sum.op == Op::Add ? out.binary(Op::Sub, j, rest) : out.binary(Op::Add, j, rest);
          NodeId solved = read_inverse(out, x, a, target, stride, offset);
          Axes others = without(n.from, {a});
          return others.empty() ? solved : out.reduce(Op::Sum, solved, others);
        }
      }
    }
    // i // C finds its target by itself
    if (sum.op == Op::FloorDiv && out[sum.inputs[0]].op == Op::Iota && out[sum.inputs[0]].value == 0 && out[sum.inputs[1]].op == Op::Constant &&
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
