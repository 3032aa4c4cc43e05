#pragma once
#include "ir/graph.h"
#include "ir/interval.h"

#include <concepts>
#include <functional>
#include <vector>

namespace cpuflow::ir {

/// A field without a default: an op that leaves it out does not compile.
template <class T>
struct Required {
  T value;
  template <class U>
  requires std::convertible_to<U, T>
  constexpr Required(U&& given) : value(std::forward<U>(given)) {}
  constexpr operator T() const { return value; }
};

/// Takes a contribution to the gradient of input number `input`.
using AddGradient = std::function<void(size_t input, NodeId gradient)>;

/// Writes the gradients of `node`'s inputs as nodes, given the gradient `grad` of `node`.  A gradient may lack axes of its value: it is
/// the same along them.  A contribution may have any axes of `node` or of the input; what the input lacks is summed by the caller.
using VjpRule = void (*)(Graph& g, NodeId node, NodeId grad, const AddGradient& add);

/// A gradient rule, or the reason why there is none.
struct Vjp {
  VjpRule rule = nullptr;
  const char* refusal = nullptr;
  template <class F>
  requires std::convertible_to<F, VjpRule>
  constexpr Vjp(F f) : rule(f) {}
  constexpr explicit Vjp(std::nullptr_t, const char* reason) : refusal(reason) {}
};
constexpr Vjp not_differentiable(const char* reason) { return Vjp(nullptr, reason); }

/// A small use of an operation for the contract test.
struct Sample {
  std::vector<Axes> params;  // real parameters, drawn uniformly from [low, high]
  double low = -2, high = 2;
  std::function<NodeId(Graph& g, const std::vector<NodeId>& params)> build;
};

/// What stands for infinity where a condition leaves elements out of a maximum or a minimum: more than any score that a model computes, and
/// finite in float32.
inline constexpr double kNoScore = 1e30;

/// What there is to know about an operation: one file (ops/<name>.cpp) and one line (ops.def) each.
struct OpDef {
  Required<const char*> doc;
  /// Fills in axes and dtype from the inputs; throws InternalError where they do not fit.
  Required<void (*)(const Graph&, Node&)> infer;
  /// One element from those of the inputs; null if the operation is not elementwise.
  Required<double (*)(const double* in)> scalar;
  /// The expression in generated code with {0}, {1}, {2} for the operands; null if the operation is not elementwise.
  const char* cpp = nullptr;
  /// Rough cost of one element, in additions.
  double flops = 0;
  /// Bounds of every element, in real arithmetic, from those of the inputs.
  Required<Interval (*)(const Node& node, const Interval* in)> bounds;
  Required<Vjp> vjp;
  Required<std::vector<Sample> (*)()> samples;
};

const OpDef& op_def(Op op);
/// The operation with this text name; false if there is none.
bool op_by_name(const std::string& name, Op& op);

}  // namespace cpuflow::ir
