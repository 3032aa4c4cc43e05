#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Evaluations and samples drop nothing.  "logits" and "watch." get values without dropout; losses as well, or, where the losses of
/// `training` are needed too, as outputs of their own: "eval.loss.".  A graph without dropout stays as it is.
ir::Graph separate_evaluation(const ir::Graph& in, bool training);

/// Whether training drops what evaluations keep.
bool has_dropout(const ir::Graph& graph);

}  // namespace cpuflow::passes
