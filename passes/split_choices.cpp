#include "passes/split_choices.h"

#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"
#include "passes/kit/sum_terms.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// a where `axis` is at `index`, 0 elsewhere.
struct Choice {
  NodeId a, index;
  Axis axis;
};

std::optional<Choice> choice_of(const Graph& g, NodeId id) {
  const Node& n = g[id];
  if (n.dtype != DType::Real || !is_zero_else(g, id)) return std::nullopt;
  for (const size_t side : {0, 1}) {
    const std::optional<Match> match = match_of(g, g[n.inputs[0]], side);
    if (match && !contains(g[n.inputs[1]].axes, match->axis)) return Choice{n.inputs[1], match->index, match->axis};
  }
  return std::nullopt;
}

/// The terms of a sum of values, with a rename of the whole moved to each.  A sum that is met again, as in x + x, is one term.
void collect_terms(Graph& g, NodeId id, std::set<NodeId>& met, std::vector<NodeId>& terms) {
  const Node n = g[id];
  if (n.op == Op::Add && met.insert(id).second) {
    for (const NodeId i : n.inputs) collect_terms(g, i, met, terms);
  } else if (n.op == Op::Rename && g[n.inputs[0]].op == Op::Add && !met.count(n.inputs[0])) {
    std::vector<NodeId> inner;
    collect_terms(g, n.inputs[0], met, inner);
    for (const NodeId i : inner) terms.push_back(g.rename_present(i, n.from, n.to));
  } else {
    terms.push_back(id);
  }
}

/// Whether a value is exp(z - most of z): between 0 and 1, also where nobody asks for it.
bool is_at_most_one(const Graph& g, NodeId id) {
  if (g[id].op == Op::Rename) id = g[id].inputs[0];
  if (g[id].op != Op::Exp || g[g[id].inputs[0]].op != Op::Sub) return false;
  const Node& difference = g[g[id].inputs[0]];
  const Node& most = g[difference.inputs[1]];
  return most.op == Op::Max && most.inputs[0] == difference.inputs[0];
}

/// sum over `over` of x y where a condition holds, if there is one.
NodeId sum_where(Graph& g, NodeId condition, NodeId x, NodeId y, const Axes& over) {
  const bool leaves = condition != kNoNode && may_leave(g, condition, over);
  if (condition != kNoNode && !leaves) {
    NodeId& factor = subset(g[condition].axes, g[x].axes) && is_at_most_one(g, y) ? x : y;
    factor = g.select(condition, factor, g.real(0));
  }
  const NodeId sum = g.reduce(Op::Sum, g.binary(Op::Mul, x, y), over);
  return leaves ? g.select(condition, sum, g.real(0)) : sum;
}

/// sum over `over` of x y, where what y has from fewer axes than x is multiplied into x.
NodeId sum_of_product(Graph& g, NodeId x, NodeId y, const Axes& over, NodeId condition = kNoNode) {
  if (condition == kNoNode && is_zero_else(g, y)) return sum_of_product(g, x, g[y].inputs[1], over, g[y].inputs[0]);
  const Node n = g[y], inner = n.op == Op::Rename ? g[n.inputs[0]] : n;
  for (size_t side = 0; side < 2 && inner.op == Op::Mul; ++side) {
    const NodeId r = inner.inputs[side];
    NodeId rest = inner.inputs[1 - side];
    const bool called_otherwise = n.op == Op::Rename && std::any_of(n.from.begin(), n.from.end(), [&](const Axis& a) { return contains(g[r].axes, a); });
    if (called_otherwise || !subset(g[r].axes, g[rest].axes)) continue;
    if (n.op == Op::Rename) rest = g.rename_present(rest, n.from, n.to);
    if (subset(g[r].axes, g[x].axes) && element_count(g[x].axes) < element_count(g[y].axes)) return sum_of_product(g, g.binary(Op::Mul, x, r), rest, over, condition);
    if (may_leave(g, r, over) && (condition == kNoNode || may_leave(g, condition, over))) return g.binary(Op::Mul, sum_of_product(g, x, rest, over, condition), r);
  }
  return sum_where(g, condition, x, y, over);
}

/// sum over `over` of x and what is chosen.
NodeId sum_of_choice(Graph& g, NodeId x, const Choice& c, const Axes& over) {
  if (contains(over, c.axis)) {
    const NodeId chosen = g.binary(Op::Mul, c.a, contains(g[x].axes, c.axis) ? g.gather(x, c.axis, c.index) : x);
    const Axes rest = without(over, {c.axis});
    return rest.empty() ? chosen : g.reduce(Op::Sum, chosen, rest);
  }
  return g.scatter(g.binary(Op::Mul, c.a, x), c.index, over, c.axis);
}

/// A sum of products, and what is computed from its elements one by one.
bool made_of_product(const Graph& g, NodeId id) {
  const Node& n = g[id];
  if (n.op == Op::Sum) return g[n.inputs[0]].op == Op::Mul;
  return (is_elementwise(n.op) || n.op == Op::Rename) && std::any_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return made_of_product(g, i); });
}

/// A number that is chosen of many, of which the largest is asked for as well: all of them are looked at in one go.
NodeId read_with_largest(Graph& g, const Node& gather, const std::map<NodeId, Axis>& compared) {
  const NodeId x = gather.inputs[0];
  const auto as = compared.find(x);
  if (as == compared.end() || !made_of_product(g, x)) return kNoNode;
  const Axis &from = gather.from[0], &column = as->second;
  if (from.size < kManyMatches || column.size != from.size || contains(g[gather.inputs[1]].axes, column)) return kNoNode;
  if (column != from && contains(g[x].axes, column)) return kNoNode;
  const NodeId value = column == from ? x : g.rename(x, {from}, {column});
  return g.reduce(Op::Sum, g.select(g.binary(Op::Eq, g.iota(column), gather.inputs[1]), value, g.real(0)), {column});
}

}  // namespace

Graph split_choices(const Graph& in) {
  std::map<NodeId, Axis> compared;  // values of which the largest along an axis is asked for, by the name that the axis has there
  return rewrite(in, [&](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (n.op == Op::Max && n.from.size() == 1) {
      const Node& x = out[n.inputs[0]];
      compared.emplace(x.op == Op::Rename ? x.inputs[0] : n.inputs[0], n.from[0]);
    }
    if (n.op == Op::Gather) return read_with_largest(out, n, compared);
    if (n.op != Op::Sum || out[n.inputs[0]].op != Op::Mul) return kNoNode;
    const Node product = out[n.inputs[0]];
    for (size_t side = 0; side < 2; ++side) {
      const NodeId x = product.inputs[1 - side];
      std::vector<NodeId> terms;
      std::set<NodeId> met;
      collect_terms(out, product.inputs[side], met, terms);
      if (terms.size() < 2) continue;
      std::vector<Choice> choices;
      NodeId rest = kNoNode;
      for (const NodeId t : terms) {
        const std::optional<Choice> c = choice_of(out, t);
        const bool summed = c && contains(n.from, c->axis) && subset(n.from, union_of(out[x].axes, out[t].axes));
        // a scatter needs the axes of the index among those that are summed, and x must not have the axis of the choice
        if (c && (summed || (subset(out[c->index].axes, n.from) && !contains(out[x].axes, c->axis)))) choices.push_back(*c);
        else rest = rest == kNoNode ? t : out.binary(Op::Add, rest, t);
      }
      if (choices.empty() || rest == kNoNode) continue;
      NodeId sum = sum_of_product(out, x, rest, n.from);
      for (const Choice& c : choices) sum = out.binary(Op::Add, sum, sum_of_choice(out, x, c, n.from));
      return sum;
    }
    return kNoNode;
  });
}

}  // namespace cpuflow::passes
