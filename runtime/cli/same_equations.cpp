#include "runtime/cli/same_equations.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/print.h"
#include "runtime/atomic_file.h"
#include "runtime/cli/command.h"
#include "runtime/train/errors.h"

namespace cpuflow::cli {
namespace {

bool same_sizes(const frontend::Model& a, const frontend::Model& b) {
  const auto same_param = [](const codegen::ParamInfo& x, const codegen::ParamInfo& y) { return x.name == y.name && x.shape == y.shape; };
  return a.dims == b.dims && a.losses == b.losses && std::equal(a.params.begin(), a.params.end(), b.params.begin(), b.params.end(), same_param);
}

bool same_output(const ir::Output& a, const ir::Output& b) { return a.name == b.name && a.node == b.node; }

/// The first node that is another one in `b`; the number of nodes when there is none in both.
ir::NodeId first_difference(const ir::Graph& a, const ir::Graph& b) {
  const ir::NodeId common = static_cast<ir::NodeId>(std::min(a.size(), b.size()));
  for (ir::NodeId id = 0; id < common; ++id) {
    if (ir::print_node(a, id) != ir::print_node(b, id)) return id;
  }
  return common;
}

/// ": file:line:column: statement" of a node, where it has a place.
std::string place(const ir::Graph& graph, ir::NodeId id) {
  if (id >= graph.size() || !graph[id].loc.known()) return "";
  const std::string statement = graph[id].loc.text();
  return fmt::format("\n  {}: {}", graph[id].loc.str(), statement.substr(0, statement.find('\n')));
}

frontend::Model own_model(const RunRecord& record, const std::string& path, const CompileOptions& compile) {
  try {
    ir::Diagnostics diagnostics;
    frontend::Model model = frontend::load_model_text(record.model_text, path, compile.overrides, diagnostics);
    diagnostics.stop_if_errors();
    return model;
  } catch (const ir::ModelError& e) {
    throw ir::ModelError(fmt::format("{}note: this is said of the run's own model file, {}", e.what(), path));
  }
}

}  // namespace

void check_same_equations(const std::string& dir, const RunRecord& record, const CompileOptions& compile, const frontend::Model& now) {
  const std::string file = frontend::find_model(compile.model), own = model_path(dir);
  if (rt::read_file(file) == record.model_text) return;
  const frontend::Model began = own_model(record, own, compile);
  if (!same_sizes(began, now)) return;  // the checkpoint tells them apart, by name
  const ir::NodeId at = first_difference(now.graph, began.graph);
  const bool outputs = std::equal(now.graph.outputs.begin(), now.graph.outputs.end(), began.graph.outputs.begin(), began.graph.outputs.end(), same_output);
  if (at == now.graph.size() && at == began.graph.size() && outputs) return;
  throw rt::RunError(fmt::format(
      "{}: cannot be resumed with {}: its equations are not those of {}, which the run was trained with{}{}\n"
      "resume with the run's own file ({}), or train the other equations in another folder, from these weights: --out OTHER --warm-start {}",
      dir, file, own, place(now.graph, at), place(began.graph, at), own, shell_word(dir + "/checkpoint/model.safetensors")));
}

}  // namespace cpuflow::cli
