#include "modeldefs/frontend/static_eval.h"

#include "ir/affine.h"
#include "ir/op.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace cpuflow::frontend {
using namespace ir;

namespace {

/// Walks the elements of `axes` in row-major order and gives the matching element of tables over other axes.
class Walker {
 public:
  explicit Walker(const Axes& axes) : axes_(axes), at_(axes.size(), 0) {}

  /// Returns the table's number for `offset`.
  size_t follow(const Axes& table) {
    std::vector<size_t> strides(axes_.size(), 0);
    size_t stride = 1;
    for (size_t k = table.size(); k-- > 0;) {
      int i = index_of(axes_, table[k]);
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

bool nothing_there(const Table& some, const Table& wanted) {
  const Axes all = union_of(some.axes, wanted.axes);
  Walker walk(all);
  walk.follow(some.axes);
  walk.follow(wanted.axes);
  for (uint64_t i = 0, count = element_count(all); i < count; ++i, walk.next()) {
    if (some.data[walk.offset(0)] == 0 && wanted.data[walk.offset(1)] != 0) return true;
  }
  return false;
}

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
  intervals_.resize(std::min(size, intervals_.size()));
}

/// One element of a value that is too large for a table; nothing where it is not known.
std::optional<double> StaticEval::element(NodeId id, const Place& at) {
  const Node& node = graph_[id];
  if (const Table* known = table(id)) {
    size_t offset = 0;
    for (const Axis& axis : known->axes) {
      const auto here = std::find_if(at.begin(), at.end(), [&](const auto& place) { return place.first == axis; });
      if (here == at.end()) return std::nullopt;
      offset = offset * axis.size + here->second;
    }
    return known->data[offset];
  }
  if (node.op == Op::Rename) {
    Place inner = at;
    for (auto& [axis, index] : inner) {
      if (const int i = index_of(node.to, axis); i >= 0) axis = node.from[static_cast<size_t>(i)];
    }
    return element(node.inputs[0], inner);
  }
  if (!is_elementwise(node.op)) return std::nullopt;
  std::vector<double> operands;
  for (const NodeId in : node.inputs) {
    const std::optional<double> operand = element(in, at);
    if (!operand) return std::nullopt;
    operands.push_back(*operand);
  }
  return op_def(node.op).scalar.value(operands.data());
}

std::optional<Table> StaticEval::any(NodeId condition, const Axes& over) {
  const auto advance = [](Place& at, size_t begin, size_t end) {  // false after the last
    for (size_t k = end; k-- > begin;) {
      if (++at[k].second < at[k].first.size) return true;
      at[k].second = 0;
    }
    return false;
  };
  Table out{without(graph_[condition].axes, over), {}};
  if (element_count(out.axes) > kMostKnown) return std::nullopt;
  Place at;
  for (const Axis& axis : out.axes) at.emplace_back(axis, 0);
  const size_t outer = at.size();
  for (const Axis& axis : over) {
    if (contains(graph_[condition].axes, axis)) at.emplace_back(axis, 0);
  }
  do {
    // Where both count positions the own one is the likeliest.
    for (size_t k = outer; k < at.size(); ++k) {
      const auto same = std::find_if(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(outer), [&](const auto& place) { return place.first.kind == at[k].first.kind && place.first.size == at[k].first.size; });
      at[k].second = same == at.begin() + static_cast<std::ptrdiff_t>(outer) ? 0 : same->second;
    }
    const std::optional<double> own = element(condition, at);
    if (!own) return std::nullopt;
    bool some = *own != 0;
    for (size_t k = outer; k < at.size(); ++k) at[k].second = 0;
    for (bool more = !some; more && !some; more = advance(at, outer, at.size())) some = element(condition, at).value_or(0) != 0;
    for (size_t k = outer; k < at.size(); ++k) at[k].second = 0;
    out.data.push_back(some);
  } while (advance(at, 0, outer));
  return out;
}

std::optional<Table> StaticEval::compute(const Node& node) {
  if (element_count(node.axes) > kMostKnown) return std::nullopt;
  const auto positions = std::count_if(node.axes.begin(), node.axes.end(), [](const Axis& a) { return a.kind == AxisKind::Position; });
  if (!pairs_known && positions > 1) return std::nullopt;
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
      return is_elementwise(node.op) ? elementwise(node) : std::nullopt;
  }
}

std::optional<Table> StaticEval::elementwise(const Node& node) {
  std::vector<const Table*> in;
  for (NodeId id : node.inputs) {
    in.push_back(table(id));
    if (in.back() == nullptr) return std::nullopt;
  }
  Table out{node.axes, {}};
  uint64_t count = element_count(node.axes);
  out.data.reserve(count);
  Walker walk(node.axes);
  for (const Table* t : in) walk.follow(t->axes);
  std::vector<double> operands(in.size());
  const auto scalar = op_def(node.op).scalar.value;
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
    int i = index_of(node.from, axis);
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
  uint64_t count = element_count(node.axes);
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
  Table out{node.axes, std::vector<double>(element_count(node.axes), sum ? 0.0 : -HUGE_VAL)};
  Walker walk(in->axes);
  walk.follow(node.axes);
  for (double v : in->data) {
    double& into = out.data[walk.offset(0)];
    into = sum ? into + v : std::max(into, v);
    walk.next();
  }
  return out;
}

namespace {

/// What comparisons leave of sums of positions: whole numbers, each with its axes' coefficients, of which the first is positive.
class Bounds {
 public:
  /// value <= 0, or < 0.
  void at_most_zero(Affine value, bool strictly) {
    if (value.terms.empty()) {
      impossible_ = impossible_ || (strictly ? value.offset >= 0 : value.offset > 0);
      return;
    }
    const bool whole = std::all_of(value.terms.begin(), value.terms.end(), [](const auto& term) { return term.second == std::floor(term.second); });
    if (!whole) return;
    int64_t common = 0;
    for (const auto& [axis, coefficient] : value.terms) common = std::gcd(common, static_cast<int64_t>(coefficient));
    const double sign = value.terms[0].second > 0 ? 1 : -1, scale = static_cast<double>(common);
    for (auto& [axis, coefficient] : value.terms) coefficient *= sign / scale;
    value.offset /= scale;
    Interval& range = ranges_.try_emplace(value.terms, any_number()).first->second;
    // sign * sum <= -offset
    const double limit = strictly ? std::ceil(-value.offset) - 1 : std::floor(-value.offset);
    if (sign > 0) range.high = std::min(range.high, limit);
    else range.low = std::max(range.low, -limit);
  }
  bool impossible() const {
    return impossible_ || std::any_of(ranges_.begin(), ranges_.end(), [&](const auto& sum) {
      const Interval reached = reach(sum.first);
      return std::max(sum.second.low, reached.low) > std::min(sum.second.high, reached.high);
    });
  }

 private:
  using Terms = std::vector<std::pair<Axis, double>>;

  /// What a sum may be by what is left of each of its positions.
  Interval reach(const Terms& terms) const {
    Interval out = between(0, 0);
    for (const auto& [axis, coefficient] : terms) {
      const auto own = ranges_.find({{axis, 1.0}});
      const Interval left = own == ranges_.end() ? any_number() : own->second;
      const double low = coefficient * std::max(left.low, 0.0), high = coefficient * std::min(left.high, axis.size - 1.0);
      out.low += std::min(low, high), out.high += std::max(low, high);
    }
    return out;
  }

  std::map<Terms, Interval> ranges_;
  bool impossible_ = false;
};

}  // namespace

bool StaticEval::exclude_each_other(const std::vector<NodeId>& conditions) const {
  std::vector<NodeId> open = conditions;
  Bounds bounds;
  while (!open.empty()) {
    const NodeId id = open.back();
    open.pop_back();
    const Node& node = graph_[id];
    if (node.op == Op::And) {
      open.insert(open.end(), node.inputs.begin(), node.inputs.end());
    } else if (node.op == Op::Or) {
      return std::all_of(node.inputs.begin(), node.inputs.end(), [&](NodeId either) {
        std::vector<NodeId> all = conditions;
        std::replace(all.begin(), all.end(), id, either);
        return all != conditions && exclude_each_other(all);
      });
    } else if (node.op == Op::Lt || node.op == Op::Le || node.op == Op::Eq) {
      const std::optional<Affine> a = affine(graph_, node.inputs[0]), b = affine(graph_, node.inputs[1]);
      if (!a || !b) continue;
      bounds.at_most_zero(Affine(*a).add(*b, -1), node.op == Op::Lt);
      if (node.op == Op::Eq) bounds.at_most_zero(Affine(*b).add(*a, -1), false);
    }
  }
  return bounds.impossible();
}

namespace {

/// Whether float32 may give another number than the operation means.
bool rounds(const Node& node) {
  if (node.dtype != DType::Real) return false;
  switch (node.op) {
    case Op::Constant:
    case Op::Literal:
    case Op::Param:
    case Op::Random:
    case Op::ToReal:
    case Op::Neg:
    case Op::Abs:
    case Op::Relu:
    case Op::Max2:
    case Op::Min2:
    case Op::Max:
    case Op::Min:
    case Op::Select:
    case Op::Stop:
    case Op::Saved:
    case Op::Rename:
    case Op::Slice:
    case Op::Reshape:
    case Op::Concat:
    case Op::Gather:
    case Op::Carry:
      return false;
    default:
      return true;
  }
}

constexpr double kRounding = 0x1p-20;  // of a few operations, relative to the result

}  // namespace

Interval StaticEval::interval(NodeId id) {
  for (NodeId n = static_cast<NodeId>(intervals_.size()); n <= id; ++n) {
    const Node& node = graph_[n];
    std::vector<Interval> in;
    for (const NodeId input : node.inputs) in.push_back(input < n ? intervals_[input] : any_number());  // a recurrence reads what follows
    intervals_.push_back(op_def(node.op).bounds(node, in.data()));
    Interval& bounds = intervals_.back();
    if (node.op == Op::Input) bounds.high = static_cast<double>(vocabulary - 1);
    if (rounds(node)) bounds = between(bounds.low - std::abs(bounds.low) * kRounding, bounds.high + std::abs(bounds.high) * kRounding);
  }
  return intervals_[id];
}

bool StaticEval::is_whole(NodeId id) const {
  std::vector<NodeId> open{id};
  std::set<NodeId> seen;
  while (!open.empty()) {
    const NodeId n = open.back();
    const Node& node = graph_[n];
    open.pop_back();
    if (node.dtype == DType::Bool || node.op == Op::Argmax || !seen.insert(n).second) continue;
    if (node.dtype == DType::Real) return false;
    for (const NodeId input : node.inputs) {
      if (input != kNoNode) open.push_back(input);
    }
  }
  return true;
}

}  // namespace cpuflow::frontend
