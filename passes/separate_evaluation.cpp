#include "passes/separate_evaluation.h"

#include "ir/random_draw.h"
#include "passes/kit/rewrite.h"

namespace cpuflow::passes {
using namespace ir;

namespace {

bool is_dropout(const Node& n) { return n.op == Op::Random && n.text.starts_with(kDropoutStream); }

}  // namespace

bool has_dropout(const Graph& graph) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (is_dropout(graph[id])) return true;
  }
  return false;
}

Graph separate_evaluation(const Graph& in, bool training) {
  if (!has_dropout(in)) return in;
  auto drop_nothing = [](Graph& g, const Node& n, NodeId, const std::vector<NodeId>&) { return is_dropout(n) ? g.real(1) : kNoNode; };
  Graph out;
  std::vector<NodeId> trained;
  if (training) trained = rewrite_into(out, in, keep);
  const std::vector<NodeId> evaluated = rewrite_into(out, in, drop_nothing);
  for (const Output& o : in.outputs) {
    const bool loss = o.name.starts_with("loss.");
    if (loss && training) {
      out.outputs.push_back({o.name, trained[o.node]});
      out.outputs.push_back({"eval." + o.name, evaluated[o.node]});
    } else {
      out.outputs.push_back({o.name, evaluated[o.node]});
    }
  }
  return out;
}

}  // namespace cpuflow::passes
