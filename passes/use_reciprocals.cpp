#include "passes/use_reciprocals.h"

#include "passes/rewrite.h"

#include <cmath>

namespace cpuflow::passes {
using namespace ir;

Graph use_reciprocals(const Graph& in) {
  return rewrite(in, [](Graph& out, const Node& n, NodeId, const std::vector<NodeId>&) -> NodeId {
    if (n.op != Op::Div) return kNoNode;
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
