#include "ir/op_kit.h"

#include <algorithm>

namespace cpuflow::ir {

extern const OpDef kMod{
    .doc = "a - b * floor(a / b): the sign of b",
    .infer = infer_arithmetic,
    .scalar = [](const double* in) -> double { return in[0] - in[1] * std::floor(in[0] / in[1]); },
    .cpp = "mod({0}, {1})",
    .flops = 8,
    .bounds = [](const Node& n, const Interval* in) {
      const Interval &a = in[0], &d = in[1];
      if (d.low <= 0) return any_number();
      if (a.low >= 0 && a.high < d.low) return a;
      return between(0, std::min(n.dtype == DType::Int ? d.high - 1 : d.high, a.low >= 0 ? a.high : INFINITY));
    },
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId a = g[node].inputs[0], b = g[node].inputs[1];
          NodeId quotient = g.unary(Op::Floor, g.binary(Op::Div, a, b));
          add(0, grad);
          add(1, g.unary(Op::Neg, g.binary(Op::Mul, grad, quotient)));
        },
    .samples =
        [] {
          std::vector<Sample> all = binary_samples(Op::Mod, 0.5, 2);
          for (const Sample& s : integer_samples(Op::Mod)) all.push_back(s);
          return all;
        },
};

}  // namespace cpuflow::ir
