#include "ir/op_kit.h"

#include <algorithm>

namespace cpuflow::ir {

namespace {

Interval bounds_of_power(const Node&, const Interval* in) {
  const Interval &base = in[0], &exponent = in[1];
  if (base.low > 0) {  // monotone in both
    const auto [low, high] = std::minmax({std::pow(base.low, exponent.low), std::pow(base.low, exponent.high), std::pow(base.high, exponent.low), std::pow(base.high, exponent.high)});
    return between(low, high, true);
  }
  if (base.low < 0 || exponent.low != exponent.high) {
    const bool even = exponent.low == exponent.high && std::fmod(exponent.low, 2) == 0;
    return between(even ? 0 : -INFINITY, INFINITY);
  }
  const double a = std::pow(base.low, exponent.low), b = std::pow(base.high, exponent.low);
  return between(std::min(a, b), std::max(a, b), !base.has_zero());
}

}  // namespace

extern const OpDef kPow{
    .doc = "a to the power b",
    .infer = infer_real_binary,
    .scalar = [](const double* in) -> double { return std::pow(in[0], in[1]); },
    .cpp = "pow({0}, {1})",
    .flops = 20,
    .bounds = bounds_of_power,
    .vjp =
        [](Graph& g, NodeId node, NodeId grad, const AddGradient& add) {
          NodeId a = g[node].inputs[0], b = g[node].inputs[1];
          const bool constant = g[b].op == Op::Constant;
          // a^0 is 1 also where a is 0, and 0^b is 0 however b changes: 0 times infinity is meant to be 0
          auto zero_where_zero = [&](NodeId x, NodeId value) { return g.select(g.binary(Op::Eq, x, g.real(0)), g.real(0), value); };
          NodeId slope = g.binary(Op::Mul, b, g.binary(Op::Pow, a, g.binary(Op::Sub, b, g.real(1))));
          add(0, g.binary(Op::Mul, grad, constant && g[b].value != 0 ? slope : zero_where_zero(b, slope)));
          // A constant exponent has no gradient, and the logarithm of a negative base is none of its business.
          if (!constant) add(1, g.binary(Op::Mul, grad, zero_where_zero(a, g.binary(Op::Mul, node, g.unary(Op::Log, a)))));
        },
    .samples =
        [] {
          std::vector<Sample> all = binary_samples(Op::Pow, 0.5, 2);
          Sample constant = sample({{kT, kF}}, [](Graph& g, const std::vector<NodeId>& p) { return g.binary(Op::Pow, p[0], g.real(3)); });
          all.push_back(constant);
          return all;
        },
};

}  // namespace cpuflow::ir
