#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// Operations on features run under the names that their inputs have, and what they give back is renamed: values that differ in names alone are one then,
/// as the largest of some logits that two losses ask for under two names.  A sum over positions `s` that meets no `t` is one over `t`: what it adds up is known
/// position by position.
ir::Graph rename_late(const ir::Graph& in);

}  // namespace cpuflow::passes
