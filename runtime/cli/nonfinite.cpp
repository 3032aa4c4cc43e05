#include "runtime/cli/nonfinite.h"

#include <fmt/format.h>

#include <cfloat>
#include <cmath>

#include "ir/interpret.h"
#include "runtime/cli/single_pass.h"

namespace cpuflow::cli {
namespace {

constexpr uint64_t kLargest = 1 << 23;  // values of more elements are not looked at

}  // namespace

std::string first_nonfinite(const CompiledModel& model, const float* params, const std::vector<int32_t>& tokens,
                            const std::vector<int32_t>& targets) {
  const codegen::Manifest& m = model.exe.manifest;
  PassInputs inputs;
  inputs.B = m.B;
  inputs.T = m.T;
  for (int64_t b = 0; b < m.B; ++b) {  // every sequence of the micro-batch is the one at fault
    inputs.tokens.insert(inputs.tokens.end(), tokens.begin(), tokens.end());
    inputs.targets.insert(inputs.targets.end(), targets.begin(), targets.end());
  }
  for (const codegen::ParamInfo& p : m.params) inputs.params[p.name].assign(params + p.offset, params + p.offset + p.count);

  ir::Graph graph = model.parsed;  // the model's own operations, without gradients
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    const ir::Node& node = graph[id];
    if (node.op == ir::Op::Carry) continue;  // it stands before what it carries
    if (node.dtype == ir::DType::Real && ir::element_count(node.axes) <= kLargest)
      graph.outputs.push_back({fmt::format("node.{}", id), id});
  }
  InterpreterInputs given = interpreter_inputs(graph, inputs);
  const std::map<std::string, ir::Tensor> values = ir::interpret(graph, given.params, given.ids);
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    const auto it = values.find(fmt::format("node.{}", id));
    if (it == values.end()) continue;
    for (const double v : it->second.data) {
      if (std::abs(v) <= FLT_MAX) continue;
      const ir::Node& node = graph[id];
      return fmt::format("the first operation that is not finite is {}{} ({})", ir::op_name(node.op),
                         node.name.empty() ? "" : fmt::format(" of '{}'", node.name), node.loc.known() ? node.loc.str() : "place unknown");
    }
  }
  return "all values of the forward pass are finite: the gradients are not";
}

}  // namespace cpuflow::cli
