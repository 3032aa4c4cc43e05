#pragma once
#include "ir/graph.h"

#include <string>
#include <vector>

namespace cpuflow::passes {

/// One rewriting of the Graph.  Name = file = function.
struct Pass {
  const char* name;
  const char* why;  // why it stands where it stands in the pipeline
  ir::Graph (*run)(const ir::Graph& in);
  bool of_bf16 = false;  // only where products take bf16
};

}  // namespace cpuflow::passes
