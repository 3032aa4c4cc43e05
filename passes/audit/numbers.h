#pragma once
#include "ir/graph.h"
#include "ir/interpret.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace cpuflow::passes::audit {

using Tensors = std::map<std::string, ir::Tensor>;

/// The lowest and highest value that training leaves to parameters, by the text of their nodes; those that are missing may be any number.
using ParamRanges = std::map<std::string, std::pair<double, double>>;

/// Parameters, drawn from normal(0, deviation) (0: all are 0) and brought into their ranges, by a fixed rule of name and index: a tensor that is longer
/// along an axis begins with the same values.
Tensors drawn_parameters(const ir::Graph& graph, double deviation, unsigned seed, const ParamRanges& ranges);
/// Tokens and targets: one random text, where targets are the tokens one position on.  `vocabulary` is the number of tokens.
Tensors drawn_text(const ir::Graph& graph, int64_t vocabulary, unsigned seed);
/// Token ids that equations compare with, at most a few: what a text holds where a condition on tokens holds.
std::vector<int64_t> compared_tokens(const ir::Graph& graph, int64_t vocabulary);
/// The text with one token in every `step`th place, inputs and targets alike.
Tensors with_frequent_token(const Tensors& text, int64_t token, uint64_t step);
/// The number of logits of a position.
int64_t vocabulary_of(const ir::Graph& graph);
/// The text with another token at `place` (as an input at `place`, as a target one before it) of a sequence.
Tensors with_changed_token(const Tensors& text, int64_t sequence, int64_t place, int64_t vocabulary);
/// The values of some nodes.
std::map<ir::NodeId, ir::Tensor> values_of(const ir::Graph& graph, const std::vector<ir::NodeId>& nodes, const Tensors& parameters, const Tensors& text);

}  // namespace cpuflow::passes::audit
