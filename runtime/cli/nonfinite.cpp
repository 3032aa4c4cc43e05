#include "runtime/cli/nonfinite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "ir/interpret.h"
#include "runtime/cli/single_pass.h"

namespace cpuflow::cli {
namespace {

constexpr uint64_t kLargest = 1 << 23;  // values of more elements are not looked at

/// When an element is computed: what the blocks are made of layer by layer, a recurrence position by position, and operations in their order.
struct Moment {
  int64_t layer = 0, position = 0;
  ir::NodeId node = 0;
  auto operator<=>(const Moment&) const = default;
};

/// For each node, whether it is computed from values along axes of this kind; carries close cycles of nodes that have the axis themselves.
std::vector<bool> follows(const ir::Graph& graph, ir::AxisKind kind) {
  std::vector<bool> out(graph.size());
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    const ir::Node& n = graph[id];
    out[id] = std::any_of(n.axes.begin(), n.axes.end(), [&](const ir::Axis& a) { return a.kind == kind; }) ||
              std::any_of(n.inputs.begin(), n.inputs.end(), [&](ir::NodeId i) { return i < id && out[i]; });
  }
  return out;
}

/// The index along the first axis of this kind of element number `at`; where there is none, after all indices if `after`, else before them.
int64_t index_along(const ir::Tensor& tensor, ir::AxisKind kind, size_t at, bool after) {
  size_t inner = tensor.data.size();
  for (const ir::Axis& a : tensor.axes) {
    inner /= a.size;
    if (a.kind == kind) return static_cast<int64_t>(at / inner % a.size);
  }
  return after ? INT64_MAX : -1;
}

}  // namespace

std::string first_nonfinite(const CompiledModel& model, const rt::NonfiniteContext& context) {
  const codegen::Manifest& m = model.exe.manifest;
  PassInputs inputs;
  inputs.B = m.B;
  inputs.T = m.T;
  for (int64_t b = 0; b < m.B; ++b) {  // every sequence of the micro-batch is the one at fault
    inputs.tokens.insert(inputs.tokens.end(), context.tokens.begin(), context.tokens.end());
    inputs.targets.insert(inputs.targets.end(), context.targets.begin(), context.targets.end());
  }
  for (const codegen::ParamInfo& p : m.params) inputs.params[p.name].assign(context.params + p.offset, context.params + p.offset + p.count);

  ir::Graph graph = model.parsed;  // the model's own operations, without gradients
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    const ir::Node& node = graph[id];
    if (node.op == ir::Op::Carry) continue;  // it stands before what it carries
    if (node.dtype == ir::DType::Real && ir::element_count(node.axes) <= kLargest)
      graph.outputs.push_back({fmt::format("node.{}", id), id});
  }
  InterpreterInputs given = interpreter_inputs(graph, inputs);
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    if (graph[id].op == ir::Op::Random) given.ids[graph[id].text] = ir::drawn(graph[id], context.seed, context.counter, context.sequence);
  }
  const std::map<std::string, ir::Tensor> values = ir::interpret(graph, given.params, given.ids);
  bool recurrent = false;  // else positions are computed together
  for (ir::NodeId id = 0; id < graph.size(); ++id) recurrent = recurrent || (graph[id].op == ir::Op::Carry && graph[id].from[0].kind == ir::AxisKind::Position);
  const std::vector<bool> follows_layers = follows(graph, ir::AxisKind::Layer), follows_positions = follows(graph, ir::AxisKind::Position);
  std::optional<Moment> first;
  for (ir::NodeId id = 0; id < graph.size(); ++id) {
    const auto it = values.find(fmt::format("node.{}", id));
    if (it == values.end()) continue;
    const ir::Tensor& value = it->second;
    for (size_t i = 0; i < value.data.size(); ++i) {
      if (std::abs(value.data[i]) <= FLT_MAX) continue;
      const Moment moment{index_along(value, ir::AxisKind::Layer, i, follows_layers[id]), recurrent ? index_along(value, ir::AxisKind::Position, i, follows_positions[id]) : 0, id};
      if (!first || moment < *first) first = moment;
    }
  }
  if (first) {
    const ir::Node& node = graph[first->node];
    return fmt::format("the first operation that is not finite is {}{}{} ({})", ir::op_name(node.op), node.name.empty() ? "" : fmt::format(" of '{}'", node.name),
                       first->layer >= 0 && first->layer < INT64_MAX ? fmt::format(" in layer {}", first->layer) : "", node.loc.known() ? node.loc.str() : "place unknown");
  }
  return "all values of the forward pass are finite: the gradients are not";
}

}  // namespace cpuflow::cli
