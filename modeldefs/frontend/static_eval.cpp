#include "modeldefs/frontend/static_eval.h"

#include "ir/op.h"

#include <algorithm>
#include <cmath>

namespace cpuflow::frontend {

using ir::Axes;
using ir::Axis;
using ir::Node;
using ir::NodeId;
using ir::Op;

namespace {

constexpr uint64_t kMostElements = uint64_t{1} << 22;

/// Walks the elements of `axes` in row-major order and gives the matching element of tables over other axes.
class Walker {
 public:
  explicit Walker(const Axes& axes) : axes_(axes), at_(axes.size(), 0) {}

  /// Returns the table's number for `offset`.
  size_t follow(const Axes& table) {
    std::vector<size_t> strides(axes_.size(), 0);
    size_t stride = 1;
    for (size_t k = table.size(); k-- > 0;) {
      int i = ir::index_of(axes_, table[k]);
      if (i >= 0) strides[static_cast<size_t>(i)] = stride;
      stride *= table[k].size;
    }
    strides_.push_back(std::move(strides));
    offsets_.push_back(0);
    return offsets_.size() - 1;
  }
  size_t offset(size_t table) const { return offsets_[table]; }
  void next() {
    for (size_t k = axes_.size(); k-- > 0;) {
      bool carry = ++at_[k] == axes_[k].size;
      for (size_t i = 0; i < offsets_.size(); ++i)
        offsets_[i] += carry ? strides_[i][k] * (1 - static_cast<size_t>(axes_[k].size)) : strides_[i][k];
      if (!carry) return;
      at_[k] = 0;
    }
  }

 private:
  const Axes& axes_;
  std::vector<uint32_t> at_;
  std::vector<std::vector<size_t>> strides_;
  std::vector<size_t> offsets_;
};

}  // namespace

const Table* StaticEval::table(NodeId id) {
  auto it = known_.find(id);
  if (it == known_.end()) {
    std::optional<Table> value = compute(graph_[id]);
    it = known_.emplace(id, std::move(value)).first;
  }
  return it->second ? &*it->second : nullptr;
}

std::optional<double> StaticEval::number(NodeId id) {
  const Table* t = graph_[id].axes.empty() ? table(id) : nullptr;
  return t != nullptr ? std::optional<double>(t->data[0]) : std::nullopt;
}

void StaticEval::forget(size_t size) {
  for (auto it = known_.begin(); it != known_.end();) it = it->first >= size ? known_.erase(it) : std::next(it);
}

std::optional<Table> StaticEval::compute(const Node& node) {
  if (ir::element_count(node.axes) > kMostElements) return std::nullopt;
  switch (node.op) {
    case Op::Constant:
      return Table{{}, {node.value}};
    case Op::Literal:
      return Table{node.axes, node.values};
    case Op::Iota: {
      Table t{node.axes, {}};
      for (uint32_t i = 0; i < node.axes[0].size; ++i) t.data.push_back(node.value + i);
      return t;
    }
    case Op::Rename:
      return renamed(node);
    case Op::Gather:
    case Op::Slice:
      return gathered(node);
    case Op::Sum:
    case Op::Max:
      return reduced(node);
    default:
      return ir::is_elementwise(node.op) ? elementwise(node) : std::nullopt;
  }
}

std::optional<Table> StaticEval::elementwise(const Node& node) {
  std::vector<const Table*> in;
  for (NodeId id : node.inputs) {
    in.push_back(table(id));
    if (in.back() == nullptr) return std::nullopt;
  }
  Table out{node.axes, {}};
  uint64_t count = ir::element_count(node.axes);
  out.data.reserve(count);
  Walker walk(node.axes);
  for (const Table* t : in) walk.follow(t->axes);
  std::vector<double> operands(in.size());
  const auto scalar = ir::op_def(node.op).scalar.value;
  for (uint64_t i = 0; i < count; ++i, walk.next()) {
    for (size_t k = 0; k < in.size(); ++k) operands[k] = in[k]->data[walk.offset(k)];
    out.data.push_back(scalar(operands.data()));
  }
  return out;
}

std::optional<Table> StaticEval::renamed(const Node& node) {
  const Table* in = table(node.inputs[0]);
  if (in == nullptr) return std::nullopt;
  Axes named = in->axes;
  for (Axis& axis : named) {
    int i = ir::index_of(node.from, axis);
    if (i >= 0) axis = node.to[static_cast<size_t>(i)];
  }
  Table out{node.axes, {}};
  Walker walk(node.axes);
  walk.follow(named);
  for (size_t i = 0; i < in->data.size(); ++i, walk.next()) out.data.push_back(in->data[walk.offset(0)]);
  return out;
}

std::optional<Table> StaticEval::gathered(const Node& node) {
  const Table* in = table(node.inputs[0]);
  const Table* index = node.op == Op::Gather ? table(node.inputs[1]) : nullptr;
  if (in == nullptr || (node.op == Op::Gather && index == nullptr)) return std::nullopt;
  const Axis& from = node.from[0];
  size_t stride = 1;
  for (size_t k = in->axes.size(); k-- > 0 && !(in->axes[k] == from);) stride *= in->axes[k].size;
  // The axes of the input without the one that is read at an index; that one is followed by hand.
  Table out{node.axes, {}};
  Walker walk(node.axes);
  Axes others = in->axes;
  for (Axis& axis : others) {
    if (axis == from) axis.ordinal = 0xFFFF;
  }
  walk.follow(others);
  if (index != nullptr) walk.follow(index->axes);
  uint64_t count = ir::element_count(node.axes);
  Walker along(node.axes);
  size_t position = node.op == Op::Slice ? along.follow({node.to[0]}) : 0;
  for (uint64_t i = 0; i < count; ++i, walk.next(), along.next()) {
    double j = index != nullptr
                   ? index->data[walk.offset(1)]
                   : static_cast<double>(node.ints[0]) + static_cast<double>(node.ints[1]) * static_cast<double>(along.offset(position));
    bool inside = j >= 0 && j < from.size;
    out.data.push_back(inside ? in->data[walk.offset(0) + stride * static_cast<size_t>(j)] : 0.0);
  }
  return out;
}

std::optional<Table> StaticEval::reduced(const Node& node) {
  const Table* in = table(node.inputs[0]);
  if (in == nullptr) return std::nullopt;
  bool sum = node.op == Op::Sum;
  Table out{node.axes, std::vector<double>(ir::element_count(node.axes), sum ? 0.0 : -HUGE_VAL)};
  Walker walk(in->axes);
  walk.follow(node.axes);
  for (double v : in->data) {
    double& into = out.data[walk.offset(0)];
    into = sum ? into + v : std::max(into, v);
    walk.next();
  }
  return out;
}

std::optional<Affine> StaticEval::affine(NodeId id) const {
  const Node& node = graph_[id];
  auto both = [&](double sign) -> std::optional<Affine> {
    std::optional<Affine> a = affine(node.inputs[0]), b = affine(node.inputs[1]);
    if (!a || !b) return std::nullopt;
    a->offset += sign * b->offset;
    for (const auto& [axis, coefficient] : b->terms) {
      auto it = std::find_if(a->terms.begin(), a->terms.end(), [&, &axis = axis](const auto& t) { return t.first == axis; });
      if (it == a->terms.end()) {
        a->terms.emplace_back(axis, sign * coefficient);
      } else {
        it->second += sign * coefficient;
      }
    }
    std::erase_if(a->terms, [](const auto& t) { return t.second == 0; });
    return a;
  };
  auto scaled = [](std::optional<Affine> a, double by) {
    if (a) {
      a->offset *= by;
      for (auto& term : a->terms) term.second *= by;
    }
    return a;
  };
  switch (node.op) {
    case Op::Constant:
      return Affine{node.value, {}};
    case Op::Iota:
      return Affine{node.value, {{node.axes[0], 1.0}}};
    case Op::Add:
      return both(1);
    case Op::Sub:
      return both(-1);
    case Op::Neg:
      return scaled(affine(node.inputs[0]), -1);
    case Op::Mul:
      for (int k = 0; k < 2; ++k) {
        const Node& factor = graph_[node.inputs[static_cast<size_t>(k)]];
        if (factor.op == Op::Constant && factor.value != 0) return scaled(affine(node.inputs[static_cast<size_t>(1 - k)]), factor.value);
      }
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

Interval StaticEval::interval(NodeId id, double tokens) const {
  Intervals known;
  return interval(id, tokens, known);
}

Interval StaticEval::interval(NodeId id, double tokens, Intervals& known) const {
  if (const auto it = known.find(id); it != known.end()) return it->second;
  const Interval out = interval_of(id, tokens, known);
  known.emplace(id, out);
  return out;
}

Interval StaticEval::interval_of(NodeId id, double tokens, Intervals& known) const {
  const Node& node = graph_[id];
  auto in = [&](size_t k) { return interval(node.inputs[k], tokens, known); };
  auto hull = [](Interval a, Interval b) { return Interval{std::min(a.low, b.low), std::max(a.high, b.high)}; };
  switch (node.op) {
    case Op::Constant:
      return {node.value, node.value};
    case Op::Literal:
      return {*std::min_element(node.values.begin(), node.values.end()), *std::max_element(node.values.begin(), node.values.end())};
    case Op::Iota:
      return {node.value, node.value + node.axes[0].size - 1};
    case Op::Input:
      return {0, tokens - 1};
    case Op::Random:
      return {0, 1};
    case Op::Floor:
      return {std::floor(in(0).low), std::floor(in(0).high)};
    case Op::Ceil:
      return {std::ceil(in(0).low), std::ceil(in(0).high)};
    case Op::Argmax:
      return {0, node.from[0].size - 1.0};
    case Op::Add:
      return {in(0).low + in(1).low, in(0).high + in(1).high};
    case Op::Sub:
      return {in(0).low - in(1).high, in(0).high - in(1).low};
    case Op::Neg:
      return {-in(0).high, -in(0).low};
    case Op::Mul: {
      Interval a = in(0), b = in(1);
      auto [low, high] = std::minmax({a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high});
      return {low, high};
    }
    case Op::FloorDiv: {
      Interval a = in(0), b = in(1);
      if (b.low != b.high || b.low <= 0) return {};
      return {std::floor(a.low / b.low), std::floor(a.high / b.low)};
    }
    case Op::Mod: {
      Interval a = in(0), b = in(1);
      if (b.low <= 0) return {};
      if (a.low >= 0 && a.high < b.low) return a;
      return {0, node.dtype == ir::DType::Int ? b.high - 1 : b.high};
    }
    case Op::Max2:
      return {std::max(in(0).low, in(1).low), std::max(in(0).high, in(1).high)};
    case Op::Min2:
      return {std::min(in(0).low, in(1).low), std::min(in(0).high, in(1).high)};
    case Op::Select:
      return hull(in(1), in(2));
    case Op::Rename:
    case Op::Slice:
    case Op::Reshape:
    case Op::Stop:
      return in(0);
    case Op::Gather:
      return hull(in(0), {0, 0});
    case Op::Carry:
      if (node.inputs[0] >= id) return {};  // a recurrence
      return node.inputs.size() > 1 ? hull(in(0), in(1)) : hull(in(0), {0, 0});
    default:
      return {};
  }
}

}  // namespace cpuflow::frontend
