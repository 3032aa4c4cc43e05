#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_not(const Graph& g, Node& node) {
  need_inputs(node, 1);
  infer_logic(g, node);
}

}  // namespace

extern const OpDef kNot{
    .doc = "the condition does not hold",
    .infer = infer_not,
    .scalar = [](const double* in) -> double { return in[0] == 0; },
    .cpp = "not_({0})",
    .flops = 1,
    .bounds = bounds_of_bool,
    .vjp = not_differentiable("conditions"),
    .samples = []() -> std::vector<Sample> {
      return {
          sample({{kT, kF}}, [](Graph& g, const std::vector<NodeId>& p) { return g.unary(Op::Not, g.binary(Op::Lt, p[0], g.real(0))); })};
    },
};

}  // namespace cpuflow::ir
