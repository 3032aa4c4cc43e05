#pragma once
#include "passes/audit/elements.h"

#include <functional>
#include <vector>

namespace cpuflow::passes::audit {

/// On which sources each element of each value depends.  A source is a number; what the sources are is the caller's choice.
class Dependence {
 public:
  using Sources = std::function<std::vector<int>(const Element&)>;

  /// `sources` names the sources that an element stands for itself; the values for which `leaf` holds have no others.
  /// Values are visited that `roots` need.  An element that is zero depends on nothing, and neither does a product with it.
  Dependence(const Elements& elements, const std::vector<ir::NodeId>& roots, int source_count, const Sources& sources,
             const std::function<bool(ir::NodeId)>& leaf = [](ir::NodeId) { return false; });

  bool depends(const Element& e, int source) const { return e.at != Element::kMixed && (word(e)[source / 64] >> (source % 64) & 1) != 0; }
  /// The sources of an element, in order.
  std::vector<int> sources(const Element& e) const;
  /// Whether the element may be other than zero.
  bool nonzero(const Element& e) const { return e.at == Element::kMixed || nonzero_[e.node][static_cast<size_t>(e.at)] != 0; }
  /// The shortest chain of elements, each computed from the next, from `e` to one that stands for `source`.
  std::vector<Element> chain(const Element& e, int source) const;

 private:
  const uint64_t* word(const Element& e) const { return bits_[e.node].data() + e.at * words_; }
  bool update(const Element& e);

  const Elements& elements_;
  Sources own_;
  std::function<bool(ir::NodeId)> leaf_;
  int source_count_, words_;
  std::vector<std::vector<uint64_t>> bits_;
  std::vector<std::vector<char>> nonzero_;
  std::vector<uint64_t> scratch_;
};

}  // namespace cpuflow::passes::audit
