#pragma once
#include "modeldefs/frontend/fault.h"
#include "modeldefs/frontend/frame.h"
#include "modeldefs/frontend/model_file.h"
#include "modeldefs/frontend/nodes.h"
#include "modeldefs/frontend/params.h"
#include "modeldefs/frontend/syntax.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cpuflow::frontend {

/// What an index is used bare on: the size and kind of the axes, and one of them.
struct Found {
  int64_t size = 0;
  ir::AxisKind kind = ir::AxisKind::Feature;
  ir::Axis axis;
  ir::SourceLoc at;
};

/// Everything that the equations of one model share.
struct Program {
  ModelFile file;
  SizeMap sizes;
  int64_t B = 1, T = 1, V = 1;
  std::map<std::string, const LayerDef*> layers;
  std::map<std::string, const FunctionDef*> functions;
  std::map<std::string, const BlockDef*> blocks;
  ParamScope params;
};

/// Thrown where a size depends on `layer`: the layers of the block differ in structure.
struct SplitLayers {};

/// Equations -> graph nodes.  What a text means is in modeldefs/README.md: whole values, indices, recurrences, conditions.
class Evaluator {
 public:
  Evaluator(const Program& program, Nodes& nodes, Params& params, ir::Diagnostics& diagnostics)
      : program_(program), nodes_(nodes), params_(params), diagnostics_(diagnostics) {}

  /// Runs statements in order.  The last value is returned (a loss may be an expression alone).  Where `frame.report` is set, errors
  /// are reported there, statement by statement; otherwise the first one is thrown.
  std::optional<Value> run(const std::vector<Statement>& statements, Frame& frame);
  Value evaluate(const Expr& e, Frame& f);
  ir::Axis batch() const { return {ir::AxisKind::Batch, 0, static_cast<uint32_t>(program_.B)}; }
  ir::Axis positions() const { return {ir::AxisKind::Position, 0, static_cast<uint32_t>(program_.T)}; }
  Index position_index() const { return {0, program_.T, true, positions()}; }
  /// `[b, t, 64]`
  std::string shape_text(const Value& v) const;
  /// The mean over everything that a value depends on: what a loss term does with what is not summed over.
  Value mean_of_all(const Value& v);

 private:
  // names.cpp: names, calls, operators
  Value whole(const Expr& e, Frame& f);
  std::optional<Value> named_value(const std::string& name, const ir::SourceLoc& at, Frame& f);
  Value lookup(const std::string& name, const ir::SourceLoc& at, Frame& f);
  void check_present(const std::string& name, const ir::SourceLoc& at, const Frame& f) const;
  std::vector<std::string> names(const Frame& f) const;
  bool is_named(const std::string& name, const Frame& f) const;
  Value constant(const SizeValue& size, const ir::SourceLoc& at);
  Value shifted_to(Value v, unsigned base);
  unsigned value_base(const Frame& f) const { return f.base + (f.indexed ? 64 : 0); }
  int64_t size_of(const Expr& e, Frame& f);
  Value operation(const Expr& e, Frame& f);
  void check_range(const Expr& e, ir::NodeId integer);
  Value call(const Expr& e, Frame& f);
  std::vector<Value> evaluate_many(const Expr& e, Frame& f);
  Value call_function(const FunctionDef& def, const Expr& e, Frame& f);
  Value apply_layer(const LayerInstance& layer, const Expr& e, Frame& f);
  Value layer_value(const ParamItem& item, const ir::SourceLoc& at);
  Value where(const Expr& e, Frame& f);

  // whole.cpp: functions of whole values
  using Combine = std::function<ir::NodeId(const std::vector<ir::NodeId>&)>;
  Value elementwise(const Expr& e, const std::vector<Value>& values, const Frame& f, const Combine& combine);
  std::optional<Value> elementwise_call(const Expr& e, const std::vector<Value>& args, const Frame& f);
  std::optional<Value> shape_call(const Expr& e, Frame& f);
  Value over_last(const Expr& e, const Value& x);
  Value matmul(const Expr& e, const Value& x, const Value& w, const Frame& f);
  std::vector<Value> split(const Expr& e, Frame& f);
  Value reshape(const Expr& e, Frame& f);
  Value concat(const Expr& e, const std::vector<Value>& values, const Frame& f);
  Value stack(const Expr& e, const std::vector<Value>& values, const Frame& f);
  Value topk(const Expr& e, Frame& f);
  Value onehot(const Expr& e, Frame& f);
  Value cumsum(const Expr& e, const Value& x);
  Value dropout(const Expr& e, Frame& f);
  Value canonical(Value v, unsigned base);
  ir::Axis feature_axis(unsigned base, size_t slot, uint32_t size) const;

  // indexed.cpp: indices
  Fault without_index(const Expr& e, Frame& f, const std::string& message, const Value& v);
  Value index_value(const std::string& name, const Index& index);
  Value reduce(const Expr& e, Frame& f);
  Value reduced(const Expr& e, const Value& body, const ir::Axes& over, int64_t count, ir::NodeId inner, ir::NodeId around, Frame& f);
  bool may_be_empty(ir::NodeId inner, const ir::Axes& over);
  ir::NodeId condition_count(ir::NodeId inner, const ir::Axes& over, int64_t count);
  Index index_range(const Expr& written, const std::vector<const Expr*>& used, Frame& f, std::string& name, bool left, unsigned slot);
  Fault no_range(const Expr& word, const std::vector<const Expr*>& used, std::set<std::string> known, Frame& f);
  std::optional<Found> find_size(const std::string& index, const std::vector<const Expr*>& used, Frame& f);
  std::vector<Found> axes_of(const std::string& name, const ir::SourceLoc& at, Frame& f);
  Value bind(const Statement& s, const Expr& target, Frame& f);

  // reads.cpp: name[i, j]
  struct ReadDim {
    bool is_lead = false;
    std::string lead;
    int64_t size = 1;
    bool has_axis = false;
    ir::Axis axis;
  };
  Value read(const Expr& e, Frame& f);
  Value read_value(const Expr& e, const Value& v, const std::vector<const Expr*>& indices, const Value* start, Frame& f,
                   const std::vector<std::optional<Value>>& given = {});
  std::vector<ReadDim> dims_of(const std::string& name, const Value& v, const Frame& f, std::vector<std::string>* hidden) const;
  /// An index that may lie where nothing can be read.
  struct Outside {
    ir::NodeId condition;
    std::string what;     // "past the end"
    double low = 0, high = 0;  // of the index
  };
  void check_inside(const Expr& e, const Expr& index, const Outside& outside, int64_t size, Frame& f);
  Value random_value(const Expr& e, const std::vector<std::string>& lead, const std::vector<Dim>& features, Frame& f);

  // recurrence.cpp
  std::optional<size_t> recurrence_end(const std::vector<Statement>& statements, size_t i, Frame& f);
  void recur(const std::vector<const Statement*>& group, Frame& f);
  void run_group(const std::vector<const Statement*>& group, Frame& f, Recurrence& r);
  Value before_first_step(const Expr& e, const std::vector<const Expr*>& indices, bool unknown, Frame& f);
  Value read_recurring(const Expr& e, Recurring& r, Frame& f);
  ir::NodeId step_before(const std::string& name, Recurring& r, int64_t steps, Frame& f);
  /// The start of a recurrence, with the axes that its values have without the first: throws a Fault where it has others.
  ir::NodeId aligned_start(const std::string& name, const Value& start, const std::vector<Dim>& dims, const Value& values, const ir::SourceLoc& at);
  void close_group(Recurrence& r);

  // statements.cpp
  void check_target(const Expr& target, const Frame& f) const;
  Value assign(const Statement& s, Frame& f);
  void store(const std::string& name, const Value& v, const ir::SourceLoc& at, Frame& f);
  void poison(const Statement& s, Frame& f);

  // blocks.cpp
  struct BlockRun {
    LayerRun run;
    Frame frame;
    std::shared_ptr<ParamScope> params;
    std::shared_ptr<SizeMap> sizes;
  };
  Value run_block(const BlockDef& def, const Value& x, const Expr& e, Frame& f);
  Value run_layers(const BlockDef& def, const LayerRun& run, const Value& x, const Expr& e, Frame& f);
  std::vector<LayerRun> layer_runs(const BlockDef& def, int64_t count);
  Value over_layers(const std::string& name, const ir::SourceLoc& at);

  const Program& program_;
  Nodes& nodes_;
  Params& params_;
  ir::Diagnostics& diagnostics_;
  std::vector<std::unique_ptr<BlockRun>> runs_;
  uint16_t layer_axes_ = 0;
  std::set<const BlockDef*> running_;  // run_block() of these has not returned
  int64_t called_ = 0;  // functions, so far
  uint16_t history_axes_ = 0;
  uint64_t draws_ = 0;
};

/// The functions that are no equations of the library.
const std::vector<std::string>& builtin_names();
/// The name that a statement's target gives a value to.
const std::string& target_name(const Expr& target);
/// `name[start, ..] = ..`
bool is_start(const Statement& s);

/// More indices than `axes` in name[i, j].
Fault too_many_indices(const Expr& e, size_t axes);

}  // namespace cpuflow::frontend
