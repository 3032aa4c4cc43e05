#include "passes/kit/empty_sums.h"

#include "passes/kit/bounds.h"
#include "passes/kit/conditions.h"
#include "passes/kit/patterns.h"

#include <algorithm>
#include <set>
#include <vector>

namespace cpuflow::passes {
using namespace ir;

NodeId must_have_terms(Graph& g, SumTerms& terms, const Axes& over) {
  if (terms.conditions.empty()) return kNoNode;
  Bounds bounds(g);
  bool finite = std::none_of(terms.divisors.begin(), terms.divisors.end(), [&](NodeId d) { return bounds.of(d).has_zero() || bounds.may_be_undefined(d); });
  std::set<NodeId> kept;  // conditions that a factor has
  for (NodeId& f : terms.factors) {
    if (!bounds.may_be_undefined(f)) continue;
    std::vector<NodeId> about;
    for (const NodeId c : terms.conditions) {
      if (subset(g[c].axes, g[f].axes)) f = g.select(c, f, g.real(0)), kept.insert(c);
      else if (meets(g[c].axes, g[f].axes)) about.push_back(c);
    }
    finite = finite && !may_leave(g, f, over);
    const NodeId asked_for = anywhere(g, about, without(all_axes(g, about), g[f].axes));
    if (asked_for != kNoNode) f = g.select(asked_for, f, g.real(0));
  }
  std::vector<NodeId> inside;
  for (const NodeId c : terms.conditions) {
    if (meets(g[c].axes, over)) inside.push_back(c);
  }
  std::erase_if(terms.conditions, [&](NodeId c) { return kept.count(c); });
  return finite ? kNoNode : anywhere(g, inside, over);
}

}  // namespace cpuflow::passes
