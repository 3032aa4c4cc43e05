#pragma once
#include "ir/graph.h"

#include <functional>
#include <optional>
#include <vector>

/// What passes ask of the inputs of an operation.
namespace cpuflow::passes {

/// The numbers of the inputs in which an operation is linear, if it is in all that vary: its value is a sum of what each of them alone gives, and a multiple of
/// one gives the multiple of that.  Nothing where it is not; carries are not asked, since what they read may be defined later.
std::optional<std::vector<size_t>> linear_inputs(const ir::Node& node, const std::function<bool(ir::NodeId)>& varies);

/// The numbers of the inputs of an elementwise operation of which any that is 0 makes the value 0.
std::vector<size_t> absorbing_inputs(const ir::Node& node);

}  // namespace cpuflow::passes
