#pragma once
#include "ir/interpret.h"

#include <string>
#include <vector>

namespace cpuflow::ir {

/// Uniform values for each parameter of the graph; the same for the same seed.
std::map<std::string, Tensor> random_params(const Graph& g, double low, double high, unsigned seed);

/// The one output of a graph that has only this one.
Tensor value_of(Graph g, NodeId node, const std::map<std::string, Tensor>& params = {}, const std::map<std::string, Tensor>& inputs = {});

/// sum of `value`, each element times a fixed weight.
NodeId weighted_sum(Graph& g, NodeId value);

/// Adds the gradients of `loss`, and compares them with central differences in which stops, choices, roundings and comparisons keep the
/// values of the base point.  Returns what is wrong, or "".
std::string check_gradients(Graph g, NodeId loss, const std::map<std::string, Tensor>& params);

}  // namespace cpuflow::ir
