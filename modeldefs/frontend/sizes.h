#pragma once
#include "modeldefs/frontend/fault.h"
#include "modeldefs/frontend/model_file.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cpuflow::frontend {

/// A number known when the model is compiled.
struct Number {
  double value = 0;
  bool integer = true;
};

/// The value of a size or constant.
struct SizeValue {
  bool list = false;
  std::vector<Number> values;
  ir::SourceLoc at;
  bool constant = false;
};

using SizeMap = std::map<std::string, SizeValue>;

/// What an expression means beyond sizes: asked first for names, calls and indexed names.
using SizeHook = std::function<std::optional<Number>(const Expr&)>;

/// Evaluates [dims] and [constants], in any order of definition.  Errors: unknown names, cycles, sizes that are no whole numbers of at
/// least 1.
SizeMap evaluate_sizes(const std::vector<SizeEntry>& entries, ir::Diagnostics& diagnostics);

/// The value of an expression of sizes; throws Fault.
Number evaluate_number(const Expr& expr, const SizeMap& sizes, const SizeHook& hook = nullptr);
/// The same, of a whole number.
int64_t evaluate_integer(const Expr& expr, const SizeMap& sizes, const SizeHook& hook = nullptr);
/// Whether the statement is made whose `if` this is.  Throws Fault, also for names of positions and values: `if` is decided once.
bool holds(const Expr& when, const SizeMap& sizes);

SizeValue single_size(int64_t value);

}  // namespace cpuflow::frontend
