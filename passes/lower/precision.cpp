// Which products keep float32 operands where the others take bf16.
//
// bf16 keeps eight bits of a number: harmless where a sum averages the errors, not where a choice is made of it.  With rounded operands 5 to
// 10 % of the routes of a router and up to a fifth of the sets of a top-k change, and with them everything that follows.  Recurrences keep
// float32 as well (FunctionLowering::takes_bf16), and what is no product never takes bf16: norms, scans, softmax, losses, the optimiser.
#include "passes/lower/program_builder.h"

#include <fmt/format.h>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

/// Operations whose result jumps where their argument moves a little.
bool chooses(Op op) { return op == Op::Argmax || op == Op::TopkMask || op == Op::Round || op == Op::Floor || op == Op::Ceil; }

bool multiplies(const Graph& g, NodeId id) { return g[id].op == Op::Sum && g[g[id].inputs[0]].op == Op::Mul; }

}  // namespace

std::map<NodeId, std::string> float32_products(const Graph& g) {
  std::map<NodeId, std::string> out;
  std::vector<bool> seen(g.size(), false);
  for (NodeId choice = 0; choice < g.size(); ++choice) {
    if (!chooses(g[choice].op)) continue;
    std::vector<NodeId> open = {choice};
    while (!open.empty()) {
      const NodeId id = open.back();
      open.pop_back();
      for (NodeId input : g[id].inputs) {
        if (seen[input]) continue;
        seen[input] = true;
        if (!multiplies(g, input)) open.push_back(input);
        else out.emplace(input, fmt::format("{} of it is a choice, which rounded operands change", op_name(g[choice].op)));
      }
    }
  }
  return out;
}

}  // namespace cpuflow::passes::lower
