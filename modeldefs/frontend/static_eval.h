#pragma once
#include "ir/graph.h"
#include "ir/interval.h"

#include <optional>
#include <unordered_map>
#include <vector>

namespace cpuflow::frontend {

/// A value of more elements is not known as a whole.
inline constexpr uint64_t kMostKnown = uint64_t{1} << 22;

/// The numbers of a value that depends on no parameter and no token, row-major over `axes`.
struct Table {
  ir::Axes axes;
  std::vector<double> data;
};

/// Whether one is 0 where the other is not, somewhere.
bool nothing_there(const Table& some, const Table& wanted);

/// Computes what is known of values when a model is compiled.
class StaticEval {
 public:
  explicit StaticEval(const ir::Graph& graph) : graph_(graph) {}

  int64_t vocabulary = int64_t{1} << 31;  // token ids are less
  bool pairs_known = true;  // false: values for pairs of positions are not known as a whole, however few there are

  /// Null for values that depend on tokens or parameters, and for very large ones.
  const Table* table(ir::NodeId id);
  /// Whether a condition holds somewhere along `over`, for each element of its other axes: 0 or 1; for conditions of any size, as long as those are few.
  /// Nothing where it depends on tokens or parameters.
  std::optional<Table> any(ir::NodeId condition, const ir::Axes& over);
  /// Whether conditions never hold all together, by the bounds that comparisons set to sums of positions, as t - s < 4 and t - s >= 4 do; false where
  /// these do not tell.
  bool exclude_each_other(const std::vector<ir::NodeId>& conditions) const;
  /// The value of a node without axes.
  std::optional<double> number(ir::NodeId id);
  /// Bounds of a value, whatever the parameters are, as float32 computes it.
  ir::Interval interval(ir::NodeId id);
  /// Whether an integer is computed from whole numbers alone.  Of what is rounded down the bounds are those of any real numbers, and may be far away.
  bool is_whole(ir::NodeId id) const;
  /// Forgets the nodes from `size` on.
  void forget(size_t size);

 private:
  using Place = std::vector<std::pair<ir::Axis, uint32_t>>;

  std::optional<double> element(ir::NodeId id, const Place& at);
  std::optional<Table> compute(const ir::Node& node);
  std::optional<Table> elementwise(const ir::Node& node);
  std::optional<Table> renamed(const ir::Node& node);
  std::optional<Table> gathered(const ir::Node& node);
  std::optional<Table> reduced(const ir::Node& node);

  const ir::Graph& graph_;
  std::unordered_map<ir::NodeId, std::optional<Table>> known_;
  std::vector<ir::Interval> intervals_;  // of the first nodes
};

}  // namespace cpuflow::frontend
