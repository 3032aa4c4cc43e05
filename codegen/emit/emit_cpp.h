#pragma once
#include "ir/graph.h"
#include "ir/loops.h"

#include <string>
#include <vector>

namespace cpuflow::codegen {

struct EmitOptions {
  std::vector<std::string> header;  // lines of the comment at the top
  bool emulate_tiles = false;       // products of bf16 numbers have the bits that AMX gives, without AMX
  bool profile = false;             // regions add the time they take to call->profile
};

/// The kernel prelude with products of float32 and, if asked for, of bf16; `emulate_tiles` as above.
std::string products_text(bool bf16, bool emulate_tiles);

/// A translation unit that stands alone: the kernel prelude, the interface, and the program's functions.  The same program gives the same text.
std::string emit_cpp(const ir::LoopProgram& program, const ir::Graph& graph, const EmitOptions& options);

}  // namespace cpuflow::codegen
