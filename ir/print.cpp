#include "ir/print.h"

#include "ir/line_scanner.h"

#include <fmt/format.h>

namespace cpuflow::ir {

namespace {

std::string list(const Axes& axes) {
  std::string out;
  for (const Axis& a : axes) out += (out.empty() ? "" : ", ") + a.str();
  return "[" + out + "]";
}

}  // namespace

const char* dtype_name(DType type) { return type == DType::Real ? "real" : type == DType::Int ? "int" : "bool"; }

std::string print_node(const Graph& graph, NodeId id) {
  const Node& n = graph[id];
  std::string line = fmt::format("%{} = {}", id, op_name(n.op));
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    line += i > 0 ? ", " : " ";
    line += n.inputs[i] == kNoNode ? "?" : fmt::format("%{}", n.inputs[i]);
  }
  std::string attributes;
  auto attribute = [&](const std::string& text) { attributes += (attributes.empty() ? "" : ", ") + text; };
  if (!n.text.empty()) attribute("text=" + quoted(n.text));
  if (n.op == Op::Constant || n.value != 0) attribute(fmt::format("value={}", n.value));
  if (!n.from.empty()) attribute("from=" + list(n.from));
  if (!n.to.empty()) attribute("to=" + list(n.to));
  if (!n.ints.empty()) attribute(fmt::format("ints=[{}]", fmt::join(n.ints, ", ")));
  if (!n.values.empty()) attribute(fmt::format("values=[{}]", fmt::join(n.values, ", ")));
  if (!attributes.empty()) line += " {" + attributes + "}";
  return line + fmt::format(" : {} {}", dtype_name(n.dtype), list(n.axes));
}

std::string print(const Graph& graph) {
  std::string out;
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& n = graph[id];
    out += print_node(graph, id);
    if (!n.name.empty() || n.loc.known()) out += "  #";
    if (!n.name.empty()) out += " " + n.name;
    if (n.loc.known()) out += " @ " + n.loc.str();
    out += '\n';
  }
  for (const Output& o : graph.outputs) out += fmt::format("output {} = %{}\n", quoted(o.name), o.node);
  return out;
}

}  // namespace cpuflow::ir
