#include "passes/kit/op_inputs.h"

#include <numeric>

namespace cpuflow::passes {
using namespace ir;

std::optional<std::vector<size_t>> linear_inputs(const Node& n, const std::function<bool(NodeId)>& varies) {
  using Inputs = std::vector<size_t>;
  switch (n.op) {
    case Op::Add:
    case Op::Sub:
    case Op::Concat: {
      Inputs all(n.inputs.size());
      std::iota(all.begin(), all.end(), 0);
      return all;
    }
    case Op::Neg:
    case Op::Sum:
    case Op::Cumsum:
    case Op::Stop:
    case Op::Saved:
    case Op::Rename:
    case Op::Slice:
    case Op::Reshape:
      return Inputs{0};
    case Op::Div:
    case Op::Gather:
    case Op::Scatter:
      return varies(n.inputs[1]) ? std::nullopt : std::optional(Inputs{0});
    case Op::Mul: {
      const bool first = varies(n.inputs[0]);
      if (first && varies(n.inputs[1])) return std::nullopt;
      return Inputs{first ? 0u : 1u};
    }
    case Op::Select:
      return varies(n.inputs[0]) ? std::nullopt : std::optional(Inputs{1, 2});
    default:
      return std::nullopt;
  }
}

std::vector<size_t> absorbing_inputs(const Node& n) {
  switch (n.op) {
    case Op::Mul:
    case Op::And:
      return {0, 1};
    case Op::Div:
    case Op::Neg:
    case Op::ToReal:
    case Op::Stop:
    case Op::Saved:
      return {0};
    default:
      return {};
  }
}

}  // namespace cpuflow::passes
