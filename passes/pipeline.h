#pragma once
#include "passes/pass.h"

#include <functional>
#include <set>

namespace cpuflow::passes {

/// The passes over the Graph, in order.
const std::vector<Pass>& graph_pipeline();

struct PipelineOptions {
  std::set<std::string> skip;
  std::string stop_after;  // "": run all
  bool bf16 = false;       // products take bf16: the passes for float32 alone are left out, those for bf16 alone are not
  /// Called with the number, the name and the graph before the first pass ("parsed") and after each one.
  std::function<void(int number, const std::string& name, const ir::Graph& graph, double milliseconds)> after;
};

/// Runs the pipeline.  Throws ModelError for an unknown pass name in `skip` or `stop_after`, with the nearest name.
ir::Graph run_pipeline(ir::Graph graph, const PipelineOptions& options);

}  // namespace cpuflow::passes
