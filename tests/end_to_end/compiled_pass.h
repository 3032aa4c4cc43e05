#pragma once
#include <map>
#include <string>
#include <vector>

#include "runtime/cli/single_pass.h"

/// Random tokens, targets and parameters (uniform in -0.7 .. 0.7) for a model.
cpuflow::cli::PassInputs example_inputs(const cpuflow::codegen::Manifest& manifest, unsigned seed);

using Tensors = std::map<std::string, std::vector<double>>;
Tensors by_name(const std::vector<cpuflow::cli::NamedTensor>& tensors);

/// Whether a training pass gives a value of this name: logits, losses, gradients.
bool is_of_training(const std::string& name);

/// Checks that each tensor is as expected: the norm of the difference is at most `tolerance` of the larger of the tensor's norm and a thousandth of
/// the norm of all gradients (1e-3 for what is no gradient).
void check_tensors(const Tensors& got, const Tensors& expected, double tolerance = 2e-5);
/// The same of what a training pass gave: all that is of training must be there.
void check_training(const Tensors& got, const Tensors& expected, double tolerance = 2e-5);
