#pragma once
#include "ir/graph.h"
#include "ir/interpret.h"
#include "runtime/cli/compile.h"

#include <string>

namespace cpuflow::cli {

/// Looks at the Graph after every pass: times, dumps, and (with check_each) the interpreter's values, which no pass may change.
class GraphWatcher {
 public:
  GraphWatcher(const CompileOptions& options, CompiledModel& model) : options_(options), model_(model) {}
  /// Throws InternalError that names the pass and the first output that differs.
  void after(int number, const std::string& name, const ir::Graph& graph, double milliseconds);

 private:
  const CompileOptions& options_;
  CompiledModel& model_;
  std::string last_text_;
  std::map<std::string, ir::Tensor> expected_;
};

}  // namespace cpuflow::cli
