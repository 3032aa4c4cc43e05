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

/// The first node that is another one in `b`; the number of nodes when there is none in both.  What a carry reads comes later: where that is
/// another number, another node says more.
ir::NodeId first_difference(const ir::Graph& a, const ir::Graph& b) {
  const ir::NodeId common = static_cast<ir::NodeId>(std::min(a.size(), b.size()));
  ir::NodeId carry = ir::kNoNode;
  for (ir::NodeId id = 0; id < common; ++id) {
    if (ir::print_node(a, id) == ir::print_node(b, id)) continue;
    if (a[id].op != ir::Op::Carry || b[id].op != ir::Op::Carry) return id;
    if (carry == ir::kNoNode) carry = id;
  }
  return carry == ir::kNoNode ? common : carry;
}

/// ": file:line:column: statement" of a node, where it has a place.
std::string place(const ir::Graph& graph, ir::NodeId id) {
  if (id >= graph.size() || !graph[id].loc.known()) return "";
  return fmt::format("\n  {}: {}", graph[id].loc.str(), graph[id].loc.first_line());
}

/// The places of the first difference; where it is a number, the numbers as well, since the statements may be the same.
std::string places(const ir::Graph& now, const ir::Graph& own, ir::NodeId id) {
  const std::string first = place(now, id), second = place(own, id);
  const bool numbers = id < now.size() && id < own.size() && now[id].op == ir::Op::Constant && own[id].op == ir::Op::Constant;
  return numbers ? fmt::format("{}   with {:g}{}   with {:g}", first, now[id].value, second, own[id].value) : first + second;
}

/// "--set decay=0.1 (0.9 in the model file)" for what the run began without, or with another value.
std::string changed_settings(const std::map<std::string, std::string>& began, const std::map<std::string, std::string>& now) {
  std::string out;
  for (const auto& [name, value] : now) {
    const auto was = began.find(name);
    if (name.starts_with("train.") || (was != began.end() && was->second == value)) continue;
    out += fmt::format("\n  --set {}={}; the run began with {}", name, value, was == began.end() ? "the value of its model file" : was->second);
  }
  return out;
}

/// The first parameter that is trained, or kept in a range, in another way.
std::string changed_param(const frontend::Model& began, const frontend::Model& now) {
  for (size_t i = 0; i < now.params.size(); ++i) {
    const codegen::ParamInfo &a = began.params[i], &b = now.params[i];
    if (a.trainable == b.trainable && a.low == b.low && a.high == b.high) continue;
    return fmt::format("\n  the parameter {} has another {}", b.name, a.trainable == b.trainable ? "range" : "'trainable'");
  }
  return "";
}

}  // namespace

frontend::Model own_model(const std::string& dir, const RunRecord& record) {
  const std::string path = model_path(dir);
  try {
    ir::Diagnostics diagnostics;
    frontend::Model model = frontend::load_model_text(record.model_text, path, record.settings, diagnostics);
    diagnostics.stop_if_errors();
    return model;
  } catch (const ir::ModelError& e) {
    throw ir::ModelError(fmt::format("{}note: this is said of the run's own model file, {}", e.what(), path));
  }
}

void check_same_equations(const std::string& dir, const RunRecord& record, const frontend::Model& own, const CompileOptions& compile, const frontend::Model& now) {
  if (!same_sizes(own, now)) return;  // the checkpoint tells them apart, by name
  const ir::NodeId at = first_difference(now.graph, own.graph);
  const bool outputs = std::equal(now.graph.outputs.begin(), now.graph.outputs.end(), own.graph.outputs.begin(), own.graph.outputs.end(), same_output);
  const bool graphs = at == now.graph.size() && at == own.graph.size() && outputs;
  const std::string param = changed_param(own, now);
  if (graphs && param.empty()) return;
  const std::string settings = changed_settings(record.settings, compile.overrides), weights = shell_word(dir + "/checkpoint/model.safetensors");
  if (!settings.empty()) {
    throw rt::RunError(fmt::format(
        "{}: cannot be resumed with these settings: the equations would not be those that it was trained with{}\n"
        "leave them out, or train the other equations in another folder, from these weights: --out OTHER --warm-start {}",
        dir, settings, weights));
  }
  const std::string file = frontend::find_model(compile.model), path = model_path(dir);
  throw rt::RunError(fmt::format(
      "{}: cannot be resumed with {}: its equations are not those of {}, which the run was trained with{}\n"
      "resume with the run's own file ({}), or train the other equations in another folder, from these weights: --out OTHER --warm-start {}",
      dir, file, path, graphs ? param : places(now.graph, own.graph, at), path, weights));
}

}  // namespace cpuflow::cli
