#pragma once
#include "ir/graph.h"
#include "ir/interpret.h"
#include "ir/interval.h"

#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace cpuflow::passes::audit {

/// Which element of a value is meant: an offset over the axes that are told apart; kMixed: several that differ in what is not told apart.
struct Element {
  static constexpr int64_t kMixed = -1;
  ir::NodeId node = ir::kNoNode;
  int64_t at = 0;
  auto operator<=>(const Element&) const = default;
};

/// Which elements an element of a value is computed from.
///
/// Some axes are told apart; along the others all elements of a value are one.  What depends on neither tokens nor parameters (indices,
/// conditions on them) is evaluated; a condition that is not known may go either way.
class Elements {
 public:
  /// Which axes are told apart: layers, perhaps positions, and what conditions and indices relate to these (chunks, taps of a window).
  enum class Apart { Layers, Positions };
  /// Keeps a reference to the graph.
  Elements(const ir::Graph& graph, Apart apart);

  const ir::Graph& graph() const { return g_; }
  const ir::Axes& axes(ir::NodeId id) const { return axes_[id]; }
  /// Number of elements.  Throws ModelError where there are too many.
  int64_t count(ir::NodeId id) const;
  /// Whether the value depends on neither tokens, parameters nor random numbers.
  bool known(ir::NodeId id) const { return known_[id]; }
  /// Indices of the element along axes().
  std::vector<int64_t> indices(const Element& e) const;
  /// Index along an axis that is told apart, or -1.
  int64_t index(const Element& e, const ir::Axis& axis) const;
  /// The known value of an element; false if it is not known or mixed.
  bool value(const Element& e, double& value) const;
  /// Whether the element is known to be zero.
  bool zero(const Element& e) const;
  /// A known value as a whole; null if it is not known.
  const ir::Tensor* tensor(ir::NodeId id) const { return values_[id].data.empty() ? nullptr : &values_[id]; }

  /// Calls `read(input, element)` for every element that this one is computed from, where `input` counts the node's inputs.
  void reads(const Element& e, const std::function<void(size_t, const Element&)>& read) const;

 private:
  using Coordinates = std::vector<std::pair<ir::Axis, int64_t>>;
  void evaluate();
  static bool same_in_batch(const ir::Tensor& t);
  bool exact_in_float(ir::NodeId id) const;
  bool same_in_float(ir::NodeId id) const;
  bool is_index(ir::NodeId id) const;
  std::optional<bool> truth(const Element& e) const;
  ir::Interval range(const Element& e, int depth = 0) const;
  void tell_apart(Apart apart);
  Coordinates coordinates(const Element& e) const;
  Element locate(ir::NodeId id, const Coordinates& at) const;
  bool kept(ir::NodeId id, const ir::Axis& axis) const { return ir::contains(axes_[id], axis); }
  void each(ir::NodeId id, const ir::Axes& axes, Coordinates at, const std::function<void(const Coordinates&)>& visit) const;

  const ir::Graph& g_;
  std::vector<bool> known_;
  std::vector<ir::Axes> axes_;
  std::vector<int64_t> count_;
  std::vector<ir::Tensor> values_;  // of known nodes
  std::vector<bool> decided_;       // for each node: values_ are those that generated code finds, in every sequence
  std::vector<bool> exact_;         // for each node: to the last digit, and so is what follows from them
};

}  // namespace cpuflow::passes::audit
