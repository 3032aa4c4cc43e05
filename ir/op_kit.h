#pragma once
#include "ir/op.h"

#include <cmath>
#include <string>

/// What the files of ops/ share.
namespace cpuflow::ir {

/// Throws InternalError with the node's operation and place unless `holds`.
void need(bool holds, const Node& node, const std::string& what);
/// Throws unless the node has `count` inputs.
void need_inputs(const Node& node, size_t count);
/// The union of the inputs' axes.
Axes aligned(const Graph& g, const Node& node);
Axes sorted(Axes axes);

// Rules for axes and dtype.  Elementwise: the axes are the union of the inputs' axes.
void infer_real_unary(const Graph& g, Node& node);    // Real -> Real
void infer_number_unary(const Graph& g, Node& node);  // Real or Int, kept
void infer_to_int(const Graph& g, Node& node);        // Real -> Int
void infer_arithmetic(const Graph& g, Node& node);    // two of one dtype, Real or Int, kept
void infer_real_binary(const Graph& g, Node& node);   // two Reals -> Real
void infer_comparison(const Graph& g, Node& node);    // two of one dtype -> Bool
void infer_logic(const Graph& g, Node& node);         // Bools -> Bool
void infer_logic_binary(const Graph& g, Node& node);  // the same, of two
/// The axes `from` are removed; Real or Int, kept.
void infer_reduction(const Graph& g, Node& node);

// Rules for bounds.
Interval bounds_of_bool(const Node& node, const Interval* in);   // 0 or 1
Interval bounds_of_first(const Node& node, const Interval* in);  // elements of the first input

/// `x` made to have the axes, by adding zeros.
NodeId spread(Graph& g, NodeId x, const Axes& axes);
/// The gradient of a reduction that picks one element: `grad` at the lowest index of `x` that has the extreme value, 0 elsewhere.
/// For several axes the first is outermost.  `op` is Max or Min.
NodeId pick_gradient(Graph& g, Op op, NodeId x, const Axes& over, NodeId grad);

// Samples: shapes of one element, of size 1, one axis, and inputs that align on some axes only.
std::vector<Sample> unary_samples(Op op, double low, double high);
std::vector<Sample> binary_samples(Op op, double low, double high);
std::vector<Sample> integer_samples(Op op);
std::vector<Sample> reduction_samples(Op op);
/// One sample from values drawn in [-2, 2].
Sample sample(std::vector<Axes> params, std::function<NodeId(Graph&, const std::vector<NodeId>&)> build);

inline constexpr Axis kB{AxisKind::Batch, 0, 2}, kT{AxisKind::Position, 0, 5}, kOne{AxisKind::Position, 0, 1}, kL{AxisKind::Layer, 0, 3},
    kS{AxisKind::Position, 1, 5}, kF{AxisKind::Feature, 0, 3}, kG{AxisKind::Feature, 1, 4}, kH{AxisKind::Feature, 2, 1};

}  // namespace cpuflow::ir
