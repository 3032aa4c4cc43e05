#pragma once
#include "ir/graph.h"
#include "ir/loops.h"
#include "passes/kit/nonzeros.h"

#include <map>
#include <string>
#include <vector>

namespace cpuflow::passes {

/// Where a parameter lies in the parameter array: floats from its beginning, and from one layer to the next.
struct ParamPlace {
  uint64_t offset = 0;
  int64_t layer_stride = 0;
};

struct LowerOptions {
  bool fuse = true;                     // false: every operation has loops of its own over whole tensors
  bool bf16 = false;                    // products take operands rounded to bf16, where that is harmless (float32_products)
  int lanes = 8;                        // floats of a vector of the target
  int64_t tile = 64;                    // rows of a tile
  int64_t least_tile = 128;             // rows of a tile of large values, as far as there are so many; `tile` where nothing is summed over rows
  int64_t second_cache_floats = 512 * 1024;  // of the target: matrices that it does not hold are read from beyond once a tile
  uint32_t wide = 512;                  // columns of a product that is used while it is made: rows of fewer stay in the first cache until they are read
  int64_t terms_at_once = kTermsAtOnce;
  int64_t large_floats = 640 * 1024;    // a value of more floats a sequence is not stored whole, unless the gradient that is made with it is as large
  /// Whether a value with these axes has more for each layer.
  bool is_large(const ir::Axes& axes) const;
  int64_t vocabulary = 0;               // tokens are below this
  uint64_t param_floats = 0;
  std::map<std::string, ParamPlace> params;  // by the text of param nodes
  bool train = true, eval = true, rows = true;  // which functions are wanted
};

/// What lowering decided, for people.
struct Explanation {
  std::vector<std::string> lines;
};

/// Graph -> LoopProgram with the functions of codegen/abi/kernel_abi.h.  The Graph's outputs: "logits", perhaps "rows.logits" (its form for `rows`), "loss.<term>", "grad.<param>".
/// Requires: sums in normal form, scatters solved.  Throws ModelError for what has no loops yet, with the statement's place.
ir::LoopProgram lower_to_loops(const ir::Graph& graph, const LowerOptions& options, Explanation* explanation = nullptr);

}  // namespace cpuflow::passes
