#include "ir/schedule.h"
#include "passes/audit/audits.h"

#include <fmt/format.h>

#include <deque>
#include <set>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

/// Logits that are compared with a token: `x` is read where `token` says, or multiplied with its one-hot form, or taken apart from it.
struct Comparison {
  NodeId node, x, token;
};

/// iota == token, with other values in between that only change its type or choose one number there; the token, or kNoNode.
NodeId one_hot_of(const Graph& g, NodeId id) {
  auto passes = [&](const Node& n) {
    const bool numbers = n.op == Op::Select && g[n.inputs[1]].op == Op::Constant && g[n.inputs[2]].op == Op::Constant;
    return numbers || n.op == Op::ToReal || n.op == Op::Rename || n.op == Op::Stop;
  };
  while (passes(g[id])) id = g[id].inputs[0];
  if (g[id].op != Op::Eq) return kNoNode;
  for (size_t side = 0; side < 2; ++side) {
    NodeId counter = g[id].inputs[side];
    while (g[counter].op == Op::Rename) counter = g[counter].inputs[0];
    if (g[counter].op == Op::Iota && g[counter].axes[0].kind == AxisKind::Feature) return g[id].inputs[1 - side];
  }
  return kNoNode;
}

std::vector<Comparison> comparisons(const Graph& g, const std::vector<NodeId>& nodes) {
  std::vector<Comparison> out;
  for (NodeId id : nodes) {
    const Node& n = g[id];
    if (n.op == Op::Gather && n.from[0].kind == AxisKind::Feature) out.push_back({id, n.inputs[0], n.inputs[1]});
    if (n.op != Op::Mul && n.op != Op::Select && n.op != Op::Add && n.op != Op::Sub) continue;
    for (size_t side = 0; side < 2; ++side) {
      if (n.op == Op::Select && side == 1) break;
      const NodeId token = one_hot_of(g, n.inputs[side]);
      if (token != kNoNode) out.push_back({id, n.inputs[1 - side], token});
    }
  }
  return out;
}

/// Elements that the total is computed from; values that the logits need are not followed.
std::set<Element> live_elements(const Elements& elements, NodeId total, const std::vector<bool>& model) {
  std::set<Element> live{{total, 0}};
  std::deque<Element> open{{total, 0}};
  while (!open.empty()) {
    const Element e = open.front();
    open.pop_front();
    if (model[e.node]) continue;
    elements.reads(e, [&](size_t, const Element& in) {
      if (!elements.zero(in) && live.insert(in).second) open.push_back(in);
    });
  }
  return live;
}

}  // namespace

Finding horizon(const Graph& g) {
  const Elements elements(g, Elements::Apart::Positions);
  const NodeId logits = output_node(g, "logits"), total = output_node(g, "loss.total");
  const Axis time = time_axis(g);
  const int T = static_cast<int>(time.size);
  std::vector<bool> model(g.size());
  for (NodeId id : needed_by(g, {logits})) model[id] = true;
  // sources: logits of positions 0 .. T-1, then tokens 0 .. T
  const Dependence dependence(
      elements, {total}, 2 * T + 1,
      [&](const Element& e) -> std::vector<int> {
        const int t = static_cast<int>(elements.index(e, time));
        if (e.node == logits) return {t};
        if (g[e.node].op == Op::Input) return {T + t + (g[e.node].text == "targets")};
        return {};
      },
      [&](NodeId id) { return model[id] && g[id].dtype == DType::Real; });  // tokens, also those that the model reads elsewhere, are followed
  const std::set<Element> live = live_elements(elements, total, model);
  std::map<int, std::pair<int64_t, SourceLoc>> steps;  // tokens ahead: a position, the statement
  std::vector<NodeId> loss_nodes;
  for (NodeId id : needed_by(g, {total})) {
    if (!model[id]) loss_nodes.push_back(id);
  }
  for (const Comparison& c : comparisons(g, loss_nodes)) {
    for (auto it = live.lower_bound({c.node, 0}); it != live.end() && it->node == c.node; ++it) {
      std::set<int> positions, tokens;
      elements.reads(*it, [&](size_t, const Element& in) {
        const std::vector<int> sources = dependence.sources(in);
        for (int s : sources) {
          if (s < T && in.node == c.x) positions.insert(s);
          if (s >= T && in.node != c.x) tokens.insert(s - T);
        }
      });
      if (positions.size() == 1 && tokens.size() == 1) steps.try_emplace(*tokens.begin() - *positions.begin(), *positions.begin(), g[c.node].loc);
    }
  }
  Finding out;
  if (steps.empty()) {
    out.reason = "no loss compares the logits of a position with one token";
    out.chain.push_back({g[total].loc, -1});
    return out;
  }
  out.verdict = Verdict::Proved;
  for (const auto& [step, where] : steps) {
    if (step == 1) continue;
    out.verdict = Verdict::Refuted;
    out.details.push_back(fmt::format("the logits of position t learn token t{:+d}", step));
    out.chain.push_back({where.second, where.first});
    out.reason = out.details.front();
    out.witness = fmt::format("the logits of position {} are compared with token {}", where.first, where.first + step);
  }
  return out;
}

}  // namespace cpuflow::passes::audit
