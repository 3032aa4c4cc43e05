#pragma once
#include "ir/graph.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cpuflow::ir {

/// Values of a tensor, row-major in the order of `axes`.
struct Tensor {
  Axes axes;
  std::vector<double> data;
};

/// The reference meaning of a Graph, in double precision: the value of each output, in the axis order of its node.
/// `params` and `inputs` are keyed by the text of the param and input nodes; a name with `{layer}` has one tensor with the layer axis.
/// A random stream takes the tensor of its name in `inputs` if there is one, else the draws of the first micro-batch of a run with the seed 0.
/// Throws InternalError when a tensor is missing or has other axes, or when a cycle cannot be stepped along one axis.
std::map<std::string, Tensor> interpret(const Graph& graph, const std::map<std::string, Tensor>& params,
                                        const std::map<std::string, Tensor>& inputs);

/// What the node `random` draws in the micro-batch `counter` of a run; with `sequence`, all sequences have the draws of that one.
Tensor drawn(const Node& random, uint64_t seed, uint64_t counter, std::optional<uint64_t> sequence = {});

}  // namespace cpuflow::ir
