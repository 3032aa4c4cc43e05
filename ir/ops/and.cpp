#include "ir/op_kit.h"

namespace cpuflow::ir {

extern const OpDef kAnd{
    .doc = "both conditions hold",
    .infer = infer_logic_binary,
    .scalar = [](const double* in) -> double { return in[0] != 0 && in[1] != 0; },
    .cpp = "and_({0}, {1})",
    .flops = 1,
    .bounds = bounds_of_bool,
    .vjp = not_differentiable("conditions"),
    .samples = []() -> std::vector<Sample> {
      return {sample({{kT, kF}, {kF}}, [](Graph& g, const std::vector<NodeId>& p) {
        return g.binary(Op::And, g.binary(Op::Lt, p[0], g.real(0)), g.binary(Op::Lt, p[1], g.real(0.5)));
      })};
    },
};

}  // namespace cpuflow::ir
