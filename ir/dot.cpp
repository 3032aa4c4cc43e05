#include "ir/dot.h"

#include "ir/print.h"

#include <fmt/format.h>

namespace cpuflow::ir {

namespace {

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string to_dot(const Graph& graph) {
  std::string out = "digraph model {\n  node [fontname=\"monospace\", fontsize=10];\n";
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& n = graph[id];
    std::string label = fmt::format("%{} {}", id, op_name(n.op));
    if (n.op == Op::Constant) label += fmt::format(" {}", n.value);
    if (!n.text.empty()) label += " " + n.text;
    std::string axes;
    for (const Axis& a : n.axes) axes += (axes.empty() ? "" : " ") + a.str();
    const bool given = n.op == Op::Param || n.op == Op::Input;
    out += fmt::format("  n{} [label=\"{}{}\\n{} [{}]\"{}];\n", id, escaped(n.name.empty() ? "" : n.name + " = "), escaped(label),
                       dtype_name(n.dtype), axes, given ? ", shape=box" : "");
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (n.inputs[i] == kNoNode) continue;
      out += fmt::format("  n{} -> n{}{};\n", n.inputs[i], id, n.op == Op::Carry && i == 0 ? " [style=dashed, constraint=false]" : "");
    }
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    out += fmt::format("  o{} [label=\"{}\", shape=box, style=bold];\n  n{} -> o{};\n", i, escaped(graph.outputs[i].name),
                       graph.outputs[i].node, i);
  }
  return out + "}\n";
}

}  // namespace cpuflow::ir
