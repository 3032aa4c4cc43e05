// The stages that make a function of statements, in their order; and what they explain.
#include "passes/lower/function_lowering.h"

#include <fmt/format.h>

namespace cpuflow::passes::lower {
using namespace ir;

FunctionLowering::FunctionLowering(ProgramBuilder& builder, std::string name, Rate rate, Explanation* explanation)
    : b_(builder), g_(builder.graph), name_(std::move(name)), rate_(rate), explanation_(explanation) {}

void FunctionLowering::explain(const std::string& line) {
  if (explanation_) explanation_->lines.push_back(name_ + ": " + line);
}

void FunctionLowering::decline(NodeId id, const std::string& why) {
  explain(fmt::format("'{}' ({}): {}", b_.name_of(id), g_[id].loc.known() ? g_[id].loc.str() : op_name(g_[id].op), why));
}

Function FunctionLowering::lower() {
  function_.name = name_;
  function_.row_range = row_range;
  buffers_ = given;
  select_stored();
  order_features();
  find_demands();
  find_layer_homes();
  build_statements();
  assign_parts();
  assign_regions();
  form_groups();
  join_products();
  run_on_blocks();
  round_operands();
  cut_loops_to_tiles();
  assign_storage();
  plan_memory(function_);
  return std::move(function_);
}

}  // namespace cpuflow::passes::lower
