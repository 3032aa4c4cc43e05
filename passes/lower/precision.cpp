// Which products keep float32 operands where the others take bf16, and which values are kept in bf16.
//
// bf16 keeps eight bits of a number: harmless where a sum averages the errors, not where a choice is made of it.  With rounded operands 5 to
// 10 % of the routes of a router and up to a fifth of the sets of a top-k change, and with them everything that follows.  Recurrences keep
// float32 as well (FunctionLowering::takes_bf16), and what is no product never takes bf16: norms, scans, softmax, losses, the optimiser.
#include "passes/lower/function_lowering.h"

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

/// What only bf16 products read is kept in bf16: it is rounded where it is made instead of in each product, to the same numbers.  The nest that
/// makes it may use it: there, it is a number in a register.
void FunctionLowering::round_operands() {
  if (!b_.options.bf16 || row_range) return;
  std::set<BufferId> operands, others;
  auto place = [&](const Place& p, Access access) {
    if (access == Access::Operand) operands.insert(p.buffer);
    else if (access == Access::Read || access == Access::Write) others.insert(p.buffer);
  };
  for (const Part& part : function_.parts) {
    for (const Region& region : part.regions) {
      for (const Step* s : steps_of(region)) for_each_place(b_.program, *s, place);
    }
  }
  for (const Statement& s : statements_) {
    for (const Read& r : s.reads) {
      if (r.how == Read::How::EarlierRow) others.insert(buffers_.at(r.node));  // history is moved in floats
    }
  }
  for (BufferId id : operands) {
    if (others.count(id)) continue;
    Buffer& b = b_.program.buffers[id];
    if (b.space != Space::Lane || b.dtype != DType::Real) continue;
    b.bf16 = true;
    lay_out(b);
  }
}

}  // namespace cpuflow::passes::lower
