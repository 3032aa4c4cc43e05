#include "ir/affine.h"

#include <algorithm>

namespace cpuflow::ir {

double Affine::along(const Axis& axis) const {
  const auto it = std::find_if(terms.begin(), terms.end(), [&](const auto& t) { return t.first == axis; });
  return it == terms.end() ? 0 : it->second;
}

Affine& Affine::add(const Affine& other, double times) {
  offset += times * other.offset;
  for (const auto& [axis, coefficient] : other.terms) {
    const auto it = std::lower_bound(terms.begin(), terms.end(), axis, [](const auto& t, const Axis& a) { return t.first < a; });
    if (it != terms.end() && it->first == axis) it->second += times * coefficient;
    else terms.emplace(it, axis, times * coefficient);
  }
  std::erase_if(terms, [](const auto& t) { return t.second == 0; });
  return *this;
}

double Affine::largest() const {
  double sum = offset;
  for (const auto& [axis, coefficient] : terms) sum += std::max(0.0, coefficient) * (axis.size - 1.0);
  return sum;
}

namespace {

/// Values may be read many times on the way; each is looked at once.
class Sums {
 public:
  explicit Sums(const Graph& g) : g_(g) {}

  const std::optional<Affine>& of(NodeId id) {
    const auto known = known_.find(id);
    return known != known_.end() ? known->second : known_.emplace(id, find(g_[id])).first->second;
  }

 private:
  std::optional<Affine> find(const Node& n) {
    if (n.dtype == DType::Bool) return std::nullopt;
    switch (n.op) {
      case Op::Constant:
        return Affine{n.value, {}};
      case Op::Iota:
        return Affine{n.value, {{n.axes[0], 1}}};
      case Op::ToReal:
        return of(n.inputs[0]);
      case Op::Neg:
        return scaled(of(n.inputs[0]), -1);
      case Op::Add:
      case Op::Sub: {
        std::optional<Affine> sum = of(n.inputs[0]);
        if (sum && of(n.inputs[1])) return sum->add(*of(n.inputs[1]), n.op == Op::Add ? 1 : -1);
        return std::nullopt;
      }
      case Op::Mul: {
        const std::optional<Affine>&a = of(n.inputs[0]), &b = of(n.inputs[1]);
        if (a && a->terms.empty()) return scaled(b, a->offset);
        return b && b->terms.empty() ? scaled(a, b->offset) : std::nullopt;
      }
      case Op::Rename:
        return renamed(of(n.inputs[0]), n.from, n.to);
      default:
        return std::nullopt;
    }
  }

  static std::optional<Affine> scaled(std::optional<Affine> a, double by) {
    if (!a) return a;
    a->offset *= by;
    for (auto& [axis, coefficient] : a->terms) coefficient *= by;
    if (by == 0) a->terms.clear();
    return a;
  }

  static std::optional<Affine> renamed(const std::optional<Affine>& a, const Axes& from, const Axes& to) {
    if (!a) return a;
    Affine out{a->offset, {}};
    for (const auto& [axis, coefficient] : a->terms) {
      const int at = index_of(from, axis);
      out.add({0, {{at < 0 ? axis : to[static_cast<size_t>(at)], coefficient}}}, 1);
    }
    return out;
  }

  const Graph& g_;
  std::unordered_map<NodeId, std::optional<Affine>> known_;
};

}  // namespace

std::optional<Affine> affine(const Graph& graph, NodeId id) { return Sums(graph).of(id); }

std::optional<Affine> affine_difference(const Graph& g, const Node& comparison) {
  std::optional<Affine> difference = affine(g, comparison.inputs[0]);
  const std::optional<Affine> right = affine(g, comparison.inputs[1]);
  if (!difference || !right) return std::nullopt;
  return difference->add(*right, -1);
}

}  // namespace cpuflow::ir
