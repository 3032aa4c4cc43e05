#pragma once
#include "ir/axis.h"
#include "ir/source_loc.h"

#include <string>
#include <unordered_map>
#include <vector>

namespace cpuflow::ir {

enum class DType : uint8_t { Real, Int, Bool };

enum class Op : uint8_t {
#define OP(enumerator, text) enumerator,
#include "ir/ops.def"
#undef OP
};

using NodeId = uint32_t;
inline constexpr NodeId kNoNode = ~NodeId{0};

/// One value of the Graph: an operation over values with named axes.  Elementwise operations align their inputs by axis; an
/// input without an axis is the same along it.  Results have the union of the axes.
///
///   param      text: name in the checkpoint (`{layer}` where axes has a layer axis, `{layer+2}` where that begins with layer 2);
///              axes: layer axis, then storage axes
///   input      text: "tokens" or "targets" [b, t], Int
///   constant   value; no axes
///   literal    values, over one axis
///   iota       0, 1, 2 .. along axes[0]; Int.  `value` is added to it
///   random     uniform in [0, 1) from a counter-based generator; text: stream name
///   select     (condition, a, b): the gradient follows the chosen side only; the other side is not read
///   stop       its input, without a gradient
///   saved      its input, kept for the backward pass
///   rename     input with axis from[i] called to[i]
///   slice      out[.., to j, ..] = in[.., from (offset + stride * j), ..]; from = {axis}, to = {axis}, ints = {offset, stride}
///   reshape    the axes `from` (adjacent, in storage order) of the input regrouped row-major into the axes `to`
///   concat     input i with axis from[i]; laid one after the other along to[0]
///   gather     (x, index): x at from[0] = index; an index outside the axis reads 0.  Axes: x without from[0], and index's
///   scatter    (x, index): out[.., j, ..] = sum over the axes `from` of x where index == j; to[0] is the axis of j
///   sum max min prod   over the axes `from`
///   argmax     over from[0]; the lowest index among equals; Int
///   topk_mask  which elements along from[0] are among the ints[0] largest; ties go to the lowest index; Bool
///   cumsum     along from[0]; ints = {reverse, exclusive}
///   carry      (x [, init]): x one step earlier along from[0] (ints = {step}: +1 earlier, -1 later); at the end init, or 0.
///              The only operation whose input x may be defined later: every cycle passes through a carry.
struct Node {
  Op op = Op::Constant;
  DType dtype = DType::Real;
  Axes axes;
  std::vector<NodeId> inputs;
  Axes from, to;
  std::vector<int64_t> ints;
  std::vector<double> values;
  double value = 0;
  std::string text;
  std::string name;  // the model file's name for it, or ""
  SourceLoc loc;     // the statement it comes from
};

/// A value that the program gives back.  Their names: "logits"; "rows.logits", the logits in the form in which they cost least where positions come one at a
/// time; "loss." and a term of [loss], of which "loss.total" is trained; "grad." and the text of a parameter; "eval.loss." and a term, where dropout makes it
/// another value in an evaluation; "watch." and a term of [watch].
struct Output {
  std::string name;
  NodeId node = kNoNode;
};

/// SSA tensor operations over named axes of fixed sizes.  Nodes are in definition order; equal pure nodes are one node (the
/// first place and name stay).  Inputs come before their users, but for the first input of a carry.
class Graph {
 public:
  std::vector<Output> outputs;

  const Node& operator[](NodeId id) const { return nodes_[id]; }
  size_t size() const { return nodes_.size(); }

  /// Adds a node (axes and dtype filled in by infer) or returns the equal one that exists.
  NodeId add(Node node);
  /// Closes a cycle: sets the first input of a carry made by `carry_open`.
  void close(NodeId carry, NodeId x);
  void set_name(NodeId id, const std::string& name, const SourceLoc& loc);

  // Builders.  `at` is the place that nodes made from now on come from.
  SourceLoc at;
  NodeId param(const std::string& name, const Axes& axes);
  NodeId input(const std::string& name, const Axes& axes);
  NodeId real(double v);
  NodeId integer(int64_t v);
  NodeId zero(DType dtype);
  NodeId boolean(bool v);
  NodeId literal(const std::vector<double>& values, const Axis& axis, DType dtype);
  NodeId iota(const Axis& axis, int64_t start = 0);
  NodeId random(const std::string& stream, const Axes& axes);
  NodeId unary(Op op, NodeId x);
  NodeId binary(Op op, NodeId a, NodeId b);
  NodeId select(NodeId condition, NodeId a, NodeId b);
  NodeId rename(NodeId x, const Axes& from, const Axes& to);
  /// Renames those of the axes that x has.
  NodeId rename_present(NodeId x, const Axes& from, const Axes& to);
  NodeId slice(NodeId x, const Axis& from, const Axis& to, int64_t offset, int64_t stride = 1);
  NodeId reshape(NodeId x, const Axes& from, const Axes& to);
  NodeId concat(const std::vector<NodeId>& xs, const Axes& from, const Axis& to);
  NodeId gather(NodeId x, const Axis& axis, NodeId index);
  NodeId scatter(NodeId x, NodeId index, const Axes& over, const Axis& to);
  NodeId reduce(Op op, NodeId x, const Axes& over);
  NodeId argmax(NodeId x, const Axis& axis);
  NodeId topk_mask(NodeId x, const Axis& axis, int64_t k);
  NodeId cumsum(NodeId x, const Axis& axis, bool reverse = false, bool exclusive = false);
  NodeId carry(NodeId x, const Axis& axis, int64_t step, NodeId init = kNoNode);
  /// A carry whose input follows with `close`; `axes` and `dtype` are those of the input.
  NodeId carry_open(const Axes& axes, DType dtype, const Axis& axis, int64_t step, NodeId init = kNoNode);

 private:
  std::vector<Node> nodes_;
  std::unordered_multimap<uint64_t, NodeId> by_hash_;
};

/// The name of one layer's parameter: its number in the place of `{layer}`, and 2 more in that of `{layer+2}`, if the name has either.
std::string with_layer(std::string name, int64_t layer);
/// The name of all layers' parameters together: `*` in the place of `{layer}`.
std::string of_all_layers(std::string name);
/// A name with `{layer}` for layers that are counted from `first`: `{layer+first}` instead.
std::string from_layer(std::string name, int64_t first);
/// Names in the checkpoint of what a param node stands for, one for each layer in order.
std::vector<std::string> checkpoint_names(const Node& param);

const char* op_name(Op op);
bool is_elementwise(Op op);
/// Whether the result combines all elements along the axes `from`: sum, max, min, prod.
bool is_reduction(Op op);
/// Whether equal operands in another order are the same value.  Max2 and Min2 are not: their gradient prefers the first.
bool is_commutative(Op op);
/// Fills in axes and dtype from the operation and its inputs; throws InternalError where they do not fit.
void infer(const Graph& graph, Node& node);

/// The output of this name; kNoNode if there is none.
NodeId output_node(const Graph& graph, const std::string& name);

}  // namespace cpuflow::ir
