#include "passes/audit/audits.h"

#include "ir/diagnostics.h"

#include <algorithm>

namespace cpuflow::passes::audit {
using namespace ir;

const char* verdict_name(Verdict verdict) {
  return verdict == Verdict::Proved ? "proved" : verdict == Verdict::Refuted ? "refuted" : "unknown";
}

Axis time_axis(const Graph& g) {
  for (const Axis& a : g[output_node(g, "logits")].axes) {
    if (a.kind == AxisKind::Position && a.ordinal == 0) return a;
  }
  throw InternalError("logits have no axis of positions");
}

std::vector<Link> links(const Elements& elements, const std::vector<Element>& chain, const Axis& time) {
  std::vector<Link> out;
  for (const Element& e : chain) {
    const Node& n = elements.graph()[e.node];
    if (!n.loc.known() || n.op == Op::Input) continue;
    const int64_t position = elements.index(e, time);
    const bool same = !out.empty() && out.back().at.source == n.loc.source && out.back().at.line() == n.loc.line();
    if (same && (position < 0 || position == out.back().position)) continue;
    if (same && out.back().position < 0) {
      out.back().position = position;
      continue;
    }
    // a way through several layers comes by the same statements again
    const auto before = std::find_if(out.begin(), out.end(), [&](const Link& l) {
      return l.position == position && l.at.source == n.loc.source && l.at.line() == n.loc.line();
    });
    out.erase(before, out.end());
    out.push_back({n.loc, position});
  }
  return out;
}

Finding position_range(const Graph& model, const Graph& longer) {
  std::map<std::string, Axes> shapes;
  for (NodeId id = 0; id < longer.size(); ++id) {
    if (longer[id].op == Op::Param) shapes[longer[id].text] = longer[id].axes;
  }
  Finding out;
  out.verdict = Verdict::Proved;
  for (NodeId id = 0; id < model.size(); ++id) {
    const Node& n = model[id];
    if (n.op != Op::Param || !shapes.count(n.text) || shapes[n.text] == n.axes) continue;
    out.verdict = Verdict::Refuted;
    out.details.push_back(n.text);
    out.chain.push_back({n.loc, -1});
  }
  if (out.verdict == Verdict::Refuted) out.reason = "parameters hold one row for each of the T positions; there is none for later ones";
  return out;
}

}  // namespace cpuflow::passes::audit
