#pragma once
#include "ir/graph.h"

#include <string>
#include <vector>

namespace cpuflow::passes {

/// What a statement of the model costs, and how it is run where it looks at other positions.
struct StatementCost {
  ir::SourceLoc loc;
  std::string how;   // "" where every position is on its own
  double flops = 0;  // of a position, in all layers, forward only: 2 a multiply-add of a sum of products, else the rough costs of the operations
};

/// The statements that logits and losses need, in the order of the file, without the library's.  `graph`: brought into the form that is
/// run, and not differentiated (run_pipeline up to canonicalise_sums).  Time is the position axis 0 of `positions` elements.
std::vector<StatementCost> time_plan(const ir::Graph& graph, int64_t positions);

}  // namespace cpuflow::passes
