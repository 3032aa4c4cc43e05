#pragma once
#include "modeldefs/frontend/params.h"
#include "modeldefs/frontend/sizes.h"
#include "modeldefs/frontend/value.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace cpuflow::frontend {

/// What is known of a name that recurs, while its group of statements is evaluated.
struct Recurring {
  std::optional<Value> now;    // its value at the step itself, once computed
  std::optional<Value> shape;  // node: unused
  ir::Axes axes;               // of the carried node, where the shape is known
  ir::DType type = ir::DType::Real;
  std::vector<ir::NodeId> steps;     // carries: one step before, two steps before ..
  ir::NodeId history = ir::kNoNode;  // all earlier steps, along an axis of their own
  ir::Axis history_axis;
};

/// A group of statements that run step by step along one axis.
struct Recurrence {
  std::string over;  // the index: `t`, or that of an axis of chunks
  Index index;
  std::map<std::string, Recurring> names;
};

/// Where names are looked up: the model, a block, a layer, a function or the loss.
struct Frame {
  std::map<std::string, Value> vars;
  std::map<std::string, ir::SourceLoc> defined;  // where
  std::map<std::string, ir::SourceLoc> left_out;  // names whose statement's `if` does not hold here
  std::set<std::string> poisoned;                // names whose statement is wrong; what uses them says nothing
  std::map<std::string, Value> around;           // of a block: values of what runs it, where a name means nothing else
  const ParamScope* params = nullptr;
  const SizeMap* sizes = nullptr;
  std::set<std::string> hidden = {"b"};                  // indices that are never written here
  std::map<std::string, std::set<std::string>> written;  // but for these names
  std::map<std::string, Index> index;                    // those that have a value now
  std::set<std::string> left;                            // those of the left side
  std::vector<std::string> targets;                      // names that the statement at hand gives a value
  std::vector<ir::NodeId> conditions;
  std::map<std::string, Value> starts;
  std::map<std::string, std::vector<std::optional<Index>>> axes;  // of recurring names: their indices
  Recurrence* recurrence = nullptr;
  std::optional<Value> layer;         // of a repeated block: the number of the repetition
  ir::Diagnostics* report = nullptr;  // where statements report; null: errors go to the caller
  unsigned base = 0;                  // ordinal of the first feature axis
  bool indexed = false;               // inside an equation with indices on its left side
  unsigned depth = 0;                 // bound indices around
  bool in_block = false;              // `T` is no number, `b` is no index
  int calls = 0;                      // functions and layers around
};

/// Leaves the indices, conditions and recurrence of a frame as they were, whatever happens.
class FrameScope {
 public:
  explicit FrameScope(Frame& frame)
      : frame_(frame), index_(frame.index), left_(frame.left), axes_(frame.axes), recurrence_(frame.recurrence), conditions_(frame.conditions.size()), depth_(frame.depth), indexed_(frame.indexed) {}
  FrameScope(const FrameScope&) = delete;
  FrameScope& operator=(const FrameScope&) = delete;
  ~FrameScope() {
    frame_.index = std::move(index_);
    frame_.left = std::move(left_);
    frame_.axes = std::move(axes_);
    frame_.recurrence = recurrence_;
    frame_.conditions.resize(conditions_);
    frame_.depth = depth_;
    frame_.indexed = indexed_;
  }

 private:
  Frame& frame_;
  std::map<std::string, Index> index_;
  std::set<std::string> left_;
  std::map<std::string, std::vector<std::optional<Index>>> axes_;
  Recurrence* recurrence_;
  size_t conditions_;
  unsigned depth_;
  bool indexed_;
};

}  // namespace cpuflow::frontend
