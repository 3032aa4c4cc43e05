#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/cli/compile.h"

namespace cpuflow::cli {

/// Work and traffic of a function, per token.
struct TokenCost {
  double product_flops = 0, other_flops = 0, bytes = 0;
};
/// `function`: "train_sequence", "eval_sequence", "rows".
TokenCost token_cost(const CompiledModel& model, const std::string& function);

/// What `compile` prints: sizes, parameters, losses, regions, cost and memory.
std::string compile_report(const CompiledModel& model, bool fused);
nlohmann::ordered_json compile_json(const CompiledModel& model, bool fused);
/// Milliseconds of every stage.
std::string time_report(const CompiledModel& model);
/// Sizes, parameter offsets and buffer sizes: what a program needs that calls the generated code itself.
nlohmann::ordered_json manifest_json(const CompiledModel& model);

}  // namespace cpuflow::cli
