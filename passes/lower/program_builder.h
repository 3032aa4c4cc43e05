#pragma once
#include "ir/graph.h"
#include "ir/loops.h"
#include "passes/lower_to_loops.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

namespace cpuflow::passes::lower {

/// When a value is known: always, once parameters are, for a sequence of tokens, or when all sequences of a micro-batch (or step) have run.
enum class Rate : uint8_t { Static, Step, Sequence, Final };

using Env = std::map<ir::Axis, ir::Index>;

/// What all functions of a program share: its buffers and expressions, and what is known of every value of the Graph.
class ProgramBuilder {
 public:
  ProgramBuilder(const ir::Graph& graph, const LowerOptions& options);

  const ir::Graph& graph;
  const LowerOptions& options;
  ir::LoopProgram program;
  std::vector<Rate> rate;
  std::vector<int> stage;           // how many sums over all sequences of the micro-batch must be complete before a value is known
  std::vector<int> layer_cycle;     // strongly connected component through layer carries, or -1
  std::vector<int> position_cycle;  // component through the other carries, or -1
  std::map<ir::NodeId, std::string> float32;  // products that keep float32 operands in a program that uses bf16, and why
  std::set<ir::NodeId> step_values;  // values of rate Step (or costly static ones) that a function reads: `prepare` computes them
  std::vector<ir::Step> packs;       // of step values and parameters, after them; and copies of them in another order
  std::map<ir::NodeId, ir::BufferId> accumulators;  // of sums over sequences: in Grads or Losses
  std::map<ir::NodeId, ir::BufferId> batch_sums;    // those of a micro-batch that its sequences read: complete, in Space::Sums

  // expressions
  ir::ExprId expr(ir::Expr e);
  ir::ExprId constant(double v, ir::DType dtype);
  ir::ExprId apply(ir::Op op, ir::DType dtype, std::vector<ir::ExprId> args);
  ir::ExprId counter(const ir::Index& index);
  ir::ExprId load(ir::BufferId buffer, std::vector<ir::Index> indices);
  const ir::Expr& operator[](ir::ExprId id) const { return program.exprs[id]; }
  /// The expression of changed ones: those that it is made of first, then the whole.
  ir::ExprId changed(ir::ExprId id, const std::function<void(ir::Expr&)>& change);

  // indices
  static ir::Index variable(const ir::Axis& axis);
  static ir::Index fixed(int64_t value);
  ir::Index scaled(const ir::Index& index, int64_t stride, int64_t offset);
  ir::Index sum(const ir::Index& a, const ir::Index& b);

  // buffers
  ir::BufferId add_buffer(ir::Buffer buffer);
  ir::BufferId param(ir::NodeId node);
  ir::BufferId input(ir::NodeId node);
  ir::BufferId literal(ir::NodeId node);
  /// The buffer of a value, axes without the batch axis; with positions innermost, or rows of what a position has.
  ir::Buffer value_buffer(ir::NodeId node, ir::Space space, bool positions_last = false) const;
  /// `features`: how those lie, outermost first, if this is the first to ask for the value.
  ir::BufferId shared_value(ir::NodeId node, const ir::Axes& features = {});
  /// The element of [rows][V], not padded, that a caller gets.
  ir::Place logits_place(ir::NodeId id);
  ir::BufferId accumulator(ir::NodeId node, ir::Space space);
  std::string name_of(ir::NodeId node) const;
  /// The nearest value with a name, or output, that is computed from an unnamed one; empty if there is none.
  std::string purpose_of(ir::NodeId node) const;

  /// The same element of a copy in which elements along the axis, which counts one dimension of the place, are neighbours; `prepare` makes it.
  ir::Place in_transposed(const ir::Place& place, const ir::Axis& axis);

  bool is_view(ir::NodeId node) const;
  /// Whether several axes of a value, or of a view of it, are read as one: its features lie in their order then.
  bool is_flattened(ir::NodeId node) const;
  /// Whether a value that is known once a step is a filter that is read at every distance, or a part of it under a condition, and too large for memory: read where the filter lies.
  bool is_spread(ir::NodeId node) const;
  bool is_accumulator(ir::NodeId node) const;  // sums over the sequences of a micro-batch

 private:
  void find_rates();
  std::vector<std::vector<ir::NodeId>> users_;
  std::map<std::pair<uint64_t, ir::Expr>, ir::ExprId> interned_;  // the bits of a constant, and the rest
  std::map<std::string, ir::BufferId> by_key_;
};

/// Products whose operands are not rounded, and why: what an argmax, a top-k or a rounding reads of them, without another product between, and those of few terms.
std::map<ir::NodeId, std::string> float32_products(const ir::Graph& graph, int64_t at_once);

/// A factor of what is summed, or a condition without which it is 0, and an axis along which at most `most` of its elements are not 0: so few that
/// looking them up pays, where a product of matrices adds `at_once` terms in the time of one.
struct FewTerms {
  ir::NodeId factor;
  ir::Axis axis;
  int64_t most;
};
std::optional<FewTerms> few_terms(const ir::Graph& graph, ir::NodeId summed, int64_t at_once);

/// Axes of one sequence.
ir::Axes without_batch(const ir::Axes& axes);

/// Whether counters alone say where a place is.
bool is_affine(const ir::Place& place);

ir::Step fill_step(ir::Place place, double value = 0);

/// Whether computing the operation again and again costs more than reading its value.
bool op_is_costly(ir::Op op);

/// Floats from one row to the next: rows of many floats are padded so that neighbours do not fall into the same cache sets.
int64_t padded_row(int64_t floats);

/// Sets strides and size: row-major, rows of positions padded.  A chunk of positions that each have features is not: [chunk, position in it, feature] lies as one
/// sequence does, whatever its numbers take, and `lie_together` depends on that.
void lay_out(ir::Buffer& buffer);

/// Makes elements along the axis, which counts one dimension of the place, neighbours in its buffer.
void turn_innermost(ir::Buffer& buffer, ir::Place& place, const ir::Axis& axis);

/// Gives the features of a buffer, if they are all there, this order, and lays it out.
void order_features(ir::Buffer& buffer, const ir::Axes& features);

/// Floats that so many elements of the buffer take.
inline int64_t floats_of(const ir::Buffer& buffer, int64_t elements) { return (elements * buffer.element_bytes() + 3) / 4; }

}  // namespace cpuflow::passes::lower
