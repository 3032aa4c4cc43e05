#pragma once
#include "ir/loops.h"

#include <string>
#include <vector>

namespace cpuflow::passes {

/// Work and traffic of one region, for one call of its function (one sequence, where the function runs sequences).
struct RegionCosts {
  std::string function, region;
  std::vector<ir::NodeId> nodes;  // the values that it computes
  double product_flops = 0;  // 2 m n k of each product
  double other_flops = 0;    // elementwise operations and reductions, by the rough costs in their op definitions
  double bytes = 0;          // elements of nests' loads and stores and of products' operands, as wide as they are kept, registers left out; of one sequence among as many as run together
  double panel_bytes = 0;    // packed matrices that are the same for all sequences: what a product reads of them, for however few rows
};

/// In the order of the program's regions.
std::vector<RegionCosts> count_costs(const ir::LoopProgram& program);

}  // namespace cpuflow::passes
