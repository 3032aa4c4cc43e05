#include "passes/use_reciprocals.h"

#include "passes/kit/rewrite.h"

#include <algorithm>
#include <cmath>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Whether a jump of what reads the value may lie where its last digit is.
bool decides(const Graph& g, NodeId id, const std::vector<std::vector<NodeId>>& users) {
  return std::any_of(users[id].begin(), users[id].end(), [&](NodeId u) {
    const Op op = g[u].op;
    const bool by_constant = (op == Op::Add || op == Op::Sub || op == Op::Mul) && std::any_of(g[u].inputs.begin(), g[u].inputs.end(), [&](NodeId i) { return g[i].op == Op::Constant; });
    if (by_constant || op == Op::Rename || op == Op::Reshape || op == Op::Neg) return decides(g, u, users);
    return g[u].dtype == DType::Bool || op == Op::Floor || op == Op::Ceil || op == Op::Round;
  });
}

}  // namespace

Graph use_reciprocals(const Graph& in) {
  const std::vector<std::vector<NodeId>> users = users_of(in);
  return rewrite(in, [&](Graph& out, const Node& n, NodeId id, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Div || decides(in, id, users)) return kNoNode;
    const Node& divisor = out[n.inputs[1]];
    if (divisor.op == Op::Constant) {
      const bool is_number = std::isnormal(static_cast<float>(1 / divisor.value));
      return is_number ? out.binary(Op::Mul, n.inputs[0], out.real(1 / divisor.value)) : kNoNode;
    }
    if (element_count(divisor.axes) * 4 > element_count(out[n.inputs[0]].axes)) return kNoNode;
    return out.binary(Op::Mul, n.inputs[0], out.binary(Op::Div, out.real(1), n.inputs[1]));
  });
}

}  // namespace cpuflow::passes
