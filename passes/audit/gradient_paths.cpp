#include "passes/audit/audits.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

/// Elements that a gradient at `from` reaches.
std::set<Element> reached(const Elements& elements, NodeId from) {
  const Graph& g = elements.graph();
  std::set<Element> seen{{from, 0}};
  std::deque<Element> open{{from, 0}};
  while (!open.empty()) {
    const Element e = open.front();
    open.pop_front();
    const Op op = g[e.node].op;
    if (op == Op::Stop || op == Op::Round || g[e.node].dtype != DType::Real) continue;
    bool nothing = false;  // a factor is zero
    if (op == Op::Mul) elements.reads(e, [&](size_t, const Element& in) { nothing = nothing || elements.zero(in); });
    if (nothing) continue;
    elements.reads(e, [&](size_t, const Element& in) {
      if (g[in.node].dtype == DType::Real && !elements.zero(in) && seen.insert(in).second) open.push_back(in);
    });
  }
  return seen;
}

}  // namespace

Finding gradient_paths(const Graph& g, const std::vector<std::string>& trained) {
  const Elements elements(g, Elements::Apart::Layers);
  const std::set<std::string> wanted(trained.begin(), trained.end());
  Finding out;
  out.verdict = Verdict::Proved;
  auto complain = [&](const std::string& what, const SourceLoc& at) {
    out.verdict = Verdict::Refuted;
    out.details.push_back(what);
    out.chain.push_back({at, -1});
  };
  for (const Output& o : g.outputs) {
    if (!o.name.starts_with("loss.")) continue;
    const std::set<Element> seen = reached(elements, o.node);
    const bool any = std::any_of(seen.begin(), seen.end(), [&](const Element& e) { return g[e.node].op == Op::Param; });
    if (!any) complain(fmt::format("the loss term '{}' reaches no parameter", o.name.substr(5)), g[o.node].loc);
    if (o.name != "loss.total") continue;
    std::set<std::string> found;
    std::map<std::string, SourceLoc> places;
    for (NodeId id = 0; id < g.size(); ++id) {
      const Node& n = g[id];
      if (n.op != Op::Param) continue;
      const auto layers = std::find_if(n.axes.begin(), n.axes.end(), [](const Axis& a) { return a.kind == AxisKind::Layer; });
      for (int64_t at = 0; at < elements.count(id); ++at) {
        const std::string name = with_layer(n.text, layers == n.axes.end() ? 0 : elements.index({id, at}, *layers));
        places.emplace(name, n.loc);
        if (seen.count({id, at})) found.insert(name);
      }
    }
    for (const std::string& name : trained) {
      if (!found.count(name)) complain(fmt::format("no loss reaches the parameter '{}'", name), places.count(name) ? places[name] : g[o.node].loc);
    }
  }
  if (!out.details.empty()) out.reason = out.details.front() + (out.details.size() > 1 ? fmt::format(", and {} more", out.details.size() - 1) : "");
  return out;
}

}  // namespace cpuflow::passes::audit
