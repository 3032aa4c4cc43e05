#pragma once
#include "ir/graph.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cpuflow::passes {

/// Which programs a pass is for, by what their products take.
enum class For : uint8_t { All, Float32, Bf16 };

/// One rewriting of the Graph: its name is that of its file and function, but where a pass runs a second time.
struct Pass {
  const char* name;
  const char* why;  // why it stands where it stands in the pipeline
  ir::Graph (*run)(const ir::Graph& in);
  For programs = For::All;
};

}  // namespace cpuflow::passes
