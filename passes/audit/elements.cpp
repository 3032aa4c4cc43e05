#include "passes/audit/elements.h"

#include "ir/diagnostics.h"
#include "ir/op.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

constexpr int64_t kMostElements = int64_t{1} << 23;

int64_t coordinate(const std::vector<std::pair<Axis, int64_t>>& at, const Axis& axis) {
  for (const auto& [a, i] : at) {
    if (a == axis) return i;
  }
  return 0;
}

void set(std::vector<std::pair<Axis, int64_t>>& at, const Axis& axis, int64_t index) {
  for (auto& [a, i] : at) {
    if (a == axis) {
      i = index;
      return;
    }
  }
  at.push_back({axis, index});
}

/// Classes of axes that are told apart together: union-find over (node, axis).
class Ties {
 public:
  explicit Ties(const Graph& g) : g_(g), first_(g.size() + 1) {
    for (NodeId id = 0; id < g.size(); ++id) first_[id + 1] = first_[id] + g[id].axes.size();
    parent_.resize(first_.back());
    std::iota(parent_.begin(), parent_.end(), size_t{0});
  }
  void tie(NodeId a, const Axis& x, NodeId b, const Axis& y) {
    const int i = index_of(g_[a].axes, x), j = index_of(g_[b].axes, y);
    if (i < 0 || j < 0 || x.kind == AxisKind::Batch || y.kind == AxisKind::Batch) return;
    parent_[root(first_[a] + static_cast<size_t>(i))] = root(first_[b] + static_cast<size_t>(j));
  }
  /// Ties all of these axes of a node that it has.
  void tie(NodeId id, const Axes& axes) {
    for (size_t i = 1; i < axes.size(); ++i) {
      for (size_t j = 0; j < i; ++j) tie(id, axes[i], id, axes[j]);
    }
  }
  size_t of(NodeId id, size_t axis) { return root(first_[id] + axis); }

 private:
  size_t root(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  const Graph& g_;
  std::vector<size_t> first_, parent_;
};

/// What the axis `a` of input `i` is called in the result; false if it is not there.
bool renamed(const Node& n, size_t i, const Axis& a, Axis& out) {
  out = a;
  switch (n.op) {
    case Op::Rename:
      for (size_t k = 0; k < n.from.size(); ++k) {
        if (n.from[k] == a) out = n.to[k];
      }
      return true;
    case Op::Slice:
      if (a == n.from[0]) out = n.to[0];
      return true;
    case Op::Concat:
      if (a == n.from[i]) out = n.to[0];
      return true;
    case Op::Gather:
      return i != 0 || a != n.from[0];
    case Op::Scatter:
    case Op::Reshape:
    case Op::Sum:
    case Op::Max:
    case Op::Min:
    case Op::Prod:
    case Op::Argmax:
      return !contains(n.from, a);
    default:
      return true;
  }
}

}  // namespace

Elements::Elements(const Graph& graph, Apart apart) : g_(graph), known_(graph.size()), axes_(graph.size()), count_(graph.size(), 1), values_(graph.size()), decided_(graph.size()), exact_(graph.size()) {
  for (NodeId id = 0; id < g_.size(); ++id) {
    const Node& n = g_[id];
    known_[id] = n.op != Op::Param && n.op != Op::Input && n.op != Op::Random;
    for (NodeId i : n.inputs) known_[id] = known_[id] && i < id && known_[i];
  }
  evaluate();
  tell_apart(apart);
  for (NodeId id = 0; id < g_.size(); ++id) {
    for (const Axis& a : axes_[id]) count_[id] = std::min(count_[id] * a.size, kMostElements + 1);
  }
}

void Elements::evaluate() {
  Graph known;
  std::vector<NodeId> there(g_.size(), kNoNode);
  for (NodeId id = 0; id < g_.size(); ++id) {
    if (!known_[id]) continue;
    Node copy = g_[id];
    for (NodeId& i : copy.inputs) i = there[i];
    if (copy.op == Op::Constant && copy.dtype == DType::Real) copy.value = static_cast<double>(static_cast<float>(copy.value));  // as in generated code
    there[id] = known.add(std::move(copy));
    if (element_count(g_[id].axes) <= static_cast<uint64_t>(kMostElements)) known.outputs.push_back({std::to_string(id), there[id]});
  }
  for (auto& [name, tensor] : interpret(known, {}, {})) values_[std::stoul(name)] = std::move(tensor);
  for (NodeId id = 0; id < g_.size(); ++id) {
    decided_[id] = !values_[id].data.empty() && same_in_batch(values_[id]) && same_in_float(id);
    exact_[id] = exact_in_float(id);
  }
}

/// Whether all sequences have the same numbers: elements have no index along the batch.
bool Elements::same_in_batch(const Tensor& t) {
  size_t inner = t.data.size();
  for (const Axis& a : t.axes) {
    const size_t outer = inner;
    inner /= a.size;
    if (a.kind != AxisKind::Batch) continue;
    for (size_t i = 0; i < t.data.size(); ++i) {
      if (t.data[i] != t.data[i / outer * outer + i % inner]) return false;
    }
  }
  return true;
}

/// Whether float32 arithmetic, which is that of generated code, finds exactly these numbers: each step does from exact ones, rounds correctly, and need not.
bool Elements::exact_in_float(NodeId id) const {
  const Node& n = g_[id];
  const std::vector<double>& v = values_[id].data;
  if (n.dtype != DType::Real) return decided_[id];
  if (v.empty() || std::any_of(v.begin(), v.end(), [](double x) { return std::isfinite(x) && static_cast<double>(static_cast<float>(x)) != x; })) return false;
  if (!std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId in) { return exact_[in]; })) return false;
  switch (n.op) {
    case Op::Exp:
    case Op::Log:
    case Op::Tanh:
    case Op::Sigmoid:
    case Op::Erf:
    case Op::Softplus:
    case Op::Sin:
    case Op::Cos:
    case Op::Prod:
      return false;
    case Op::Div: {  // becomes a multiplication
      const std::vector<double>& by = values_[n.inputs[1]].data;
      int exponent = 0;
      return std::all_of(by.begin(), by.end(), [&](double x) { return std::abs(std::frexp(x, &exponent)) == 0.5; });
    }
    case Op::Sum:
    case Op::Cumsum: {  // on the way, in any order
      const std::vector<double>& terms = values_[n.inputs[0]].data;
      double size = 0;
      for (const double x : terms) size += std::abs(x);
      return size <= 0x1p24 && std::all_of(terms.begin(), terms.end(), [](double x) { return x == std::floor(x); });
    }
    default:
      return true;
  }
}

/// Whether a value follows from choices (indices, conditions) that are the same where real numbers are float32 values.
bool Elements::same_in_float(NodeId id) const {
  const Node& n = g_[id];
  if (!std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId in) { return decided_[in]; })) return false;
  const bool chooses = n.dtype != DType::Real || n.op == Op::Mod || n.op == Op::FloorDiv;
  return !chooses || std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId in) { return g_[in].dtype != DType::Real || exact_[in]; });
}

/// Whether a known value chooses: an index, a condition, or a mask of zeros and ones.
bool Elements::is_index(NodeId id) const {
  if (!known_[id]) return false;
  if (g_[id].dtype != DType::Real) return true;
  const std::vector<double>& v = values_[id].data;
  return !g_[id].axes.empty() && !v.empty() && std::all_of(v.begin(), v.end(), [](double x) { return x == 0 || x == 1; });
}

void Elements::tell_apart(Apart apart) {
  Ties ties(g_);
  for (NodeId id = 0; id < g_.size(); ++id) {
    const Node& n = g_[id];
    if (known_[id]) continue;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const NodeId in = n.inputs[i];
      if (known_[in]) {
        if (is_index(in)) ties.tie(id, g_[in].axes);
        continue;
      }
      for (const Axis& a : g_[in].axes) {
        Axis there;
        if (renamed(n, i, a, there)) ties.tie(id, there, in, a);
      }
    }
    if (n.op == Op::Reshape) {
      for (const Axis& a : n.from) {
        for (const Axis& to : n.to) ties.tie(id, to, n.inputs[0], a);
      }
    }
    if (n.op == Op::Gather && known_[n.inputs[1]]) {
      for (const Axis& a : g_[n.inputs[1]].axes) ties.tie(id, a, n.inputs[0], n.from[0]);
    }
    if (n.op == Op::Scatter && known_[n.inputs[1]]) {
      for (const Axis& a : g_[n.inputs[1]].axes) ties.tie(n.inputs[0], a, id, n.to[0]);
    }
  }
  std::set<size_t> chosen;
  for (NodeId id = 0; id < g_.size(); ++id) {
    for (size_t i = 0; i < g_[id].axes.size(); ++i) {
      const AxisKind kind = g_[id].axes[i].kind;
      if (!known_[id] && (kind == AxisKind::Layer || (kind == AxisKind::Position && apart == Apart::Positions))) chosen.insert(ties.of(id, i));
    }
  }
  for (NodeId id = 0; id < g_.size(); ++id) {
    for (size_t i = 0; i < g_[id].axes.size(); ++i) {
      const Axis& a = g_[id].axes[i];
      if (a.kind != AxisKind::Batch && (known_[id] || chosen.count(ties.of(id, i)))) axes_[id].push_back(a);
    }
  }
}

int64_t Elements::count(NodeId id) const {
  if (count_[id] <= kMostElements) return count_[id];
  throw ModelError(fmt::format("{}: a value with more than {} elements over positions", g_[id].loc.str(), kMostElements));
}

bool Elements::value(const Element& e, double& value) const {
  const Tensor& t = values_[e.node];
  if (!decided_[e.node] || e.at == Element::kMixed) return false;
  // their axes are in the tensor's order
  int64_t offset = 0, rest = e.at, stride = 1;
  for (size_t i = t.axes.size(); i-- > 0;) {
    if (contains(axes_[e.node], t.axes[i])) {
      offset += rest % t.axes[i].size * stride;
      rest /= t.axes[i].size;
    }
    stride *= t.axes[i].size;
  }
  value = t.data[static_cast<size_t>(offset)];
  return true;
}

/// A truth value that is known, or follows from parts that are.
std::optional<bool> Elements::truth(const Element& e) const {
  double v = 0;
  if (value(e, v)) return v != 0;
  const Node& n = g_[e.node];
  if (e.at == Element::kMixed || (n.op != Op::And && n.op != Op::Or && n.op != Op::Not)) return std::nullopt;
  const Coordinates at = coordinates(e);
  std::optional<bool> out = n.op != Op::Or;
  for (const NodeId in : n.inputs) {
    const std::optional<bool> part = truth(locate(in, at));
    if (n.op == Op::Not) return part ? std::optional<bool>(!*part) : std::nullopt;
    if (part && *part != (n.op == Op::And)) return part;
    if (!part) out.reset();
  }
  return out;
}

/// What an integer may be, from what is known of its parts: min(p[t], t), t - tokens[t] % 3.  Only operations that float32 does not round.
Interval Elements::range(const Element& e, int depth) const {
  constexpr int kDeepest = 8;
  double v = 0;
  const Node& n = g_[e.node];
  if (value(e, v)) return n.dtype != DType::Real || exact_[e.node] ? between(v, v) : any_number();
  if (n.op == Op::Input) return between(0, INFINITY);
  const bool chooses = n.op == Op::Max2 || n.op == Op::Min2 || n.op == Op::Select || n.op == Op::Stop || n.op == Op::Rename;
  const bool exact = chooses || n.op == Op::ToReal || (n.dtype == DType::Int && is_elementwise(n.op));
  if (e.at == Element::kMixed || depth == kDeepest || !exact) return any_number();
  std::vector<Interval> in(n.inputs.size());
  reads(e, [&](size_t i, const Element& part) { in[i] = range(part, depth + 1); });
  if (n.op == Op::Select) return join(in[1], in[2]);
  return n.op == Op::Rename ? in[0] : op_def(n.op).bounds(n, in.data());
}

bool Elements::zero(const Element& e) const {
  double v = 1;
  return value(e, v) && v == 0;
}

Elements::Coordinates Elements::coordinates(const Element& e) const {
  const Axes& axes = axes_[e.node];
  Coordinates out(axes.size());
  int64_t rest = e.at;
  for (size_t i = axes.size(); i-- > 0;) {
    out[i] = {axes[i], rest % axes[i].size};
    rest /= axes[i].size;
  }
  return out;
}

/// An axis that `at` does not mention is not told apart by the reader.
Element Elements::locate(NodeId id, const Coordinates& at) const {
  Element e{id, 0};
  for (const Axis& a : axes_[id]) {
    const auto it = std::find_if(at.begin(), at.end(), [&](const auto& c) { return c.first == a; });
    if (it == at.end()) return {id, Element::kMixed};
    e.at = e.at * a.size + it->second;
  }
  return e;
}

std::vector<int64_t> Elements::indices(const Element& e) const {
  std::vector<int64_t> out;
  for (const auto& [a, i] : coordinates(e)) out.push_back(i);
  return out;
}

int64_t Elements::index(const Element& e, const Axis& axis) const {
  if (e.at == Element::kMixed) return -1;
  for (const auto& [a, i] : coordinates(e)) {
    if (a == axis) return i;
  }
  return -1;
}

/// Every combination of indices along those of `axes` that are told apart in `id`.
void Elements::each(NodeId id, const Axes& axes, Coordinates at, const std::function<void(const Coordinates&)>& visit) const {
  Axes loops;
  for (const Axis& a : axes) {
    if (kept(id, a)) loops.push_back(a);
  }
  for (const Axis& a : loops) set(at, a, 0);
  while (true) {
    visit(at);
    size_t i = loops.size();
    for (; i-- > 0;) {
      const int64_t next = coordinate(at, loops[i]) + 1;
      set(at, loops[i], next < loops[i].size ? next : 0);
      if (next < loops[i].size) break;
    }
    if (i == static_cast<size_t>(-1)) return;
  }
}

void Elements::reads(const Element& e, const std::function<void(size_t, const Element&)>& read) const {
  const Node& n = g_[e.node];
  if (n.inputs.empty()) return;
  const Coordinates at = coordinates(e);
  auto plain = [&](size_t i) { read(i, locate(n.inputs[i], at)); };
  switch (n.op) {
    case Op::Select: {
      const Element condition = locate(n.inputs[0], at);
      const std::optional<bool> holds = truth(condition);
      if (!holds) read(0, condition);
      if (holds != false) plain(1);
      if (holds != true) plain(2);
      return;
    }
    case Op::Rename: {
      Coordinates in = at;
      for (const Axis& a : n.to) std::erase_if(in, [&](const auto& c) { return c.first == a; });
      for (size_t i = 0; i < n.from.size(); ++i) set(in, n.from[i], coordinate(at, n.to[i]));
      read(0, locate(n.inputs[0], in));
      return;
    }
    case Op::Slice: {
      Coordinates in = at;
      if (kept(e.node, n.to[0])) set(in, n.from[0], n.ints[0] + n.ints[1] * coordinate(at, n.to[0]));
      read(0, locate(n.inputs[0], in));
      return;
    }
    case Op::Reshape: {
      Coordinates in = at;
      int64_t offset = 0;
      for (const Axis& a : n.to) offset = offset * a.size + coordinate(at, a);
      for (const Axis& a : n.to) std::erase_if(in, [&](const auto& c) { return c.first == a; });
      for (size_t i = n.from.size(); i-- > 0;) {
        set(in, n.from[i], offset % n.from[i].size);
        offset /= n.from[i].size;
      }
      read(0, locate(n.inputs[0], in));
      return;
    }
    case Op::Concat: {
      int64_t begin = 0;
      for (size_t i = 0; i < n.inputs.size(); ++i) {
        const int64_t index = coordinate(at, n.to[0]) - begin;
        begin += n.from[i].size;
        if (kept(e.node, n.to[0]) && (index < 0 || index >= n.from[i].size)) continue;
        Coordinates in = at;
        if (kept(e.node, n.to[0])) set(in, n.from[i], index);  // else the reader tells its elements apart in vain: they are mixed
        read(i, locate(n.inputs[i], in));
      }
      return;
    }
    case Op::Gather: {
      const Element index = locate(n.inputs[1], at);
      double v = 0;
      const bool decided = value(index, v);
      if (!kept(n.inputs[0], n.from[0])) {
        plain(0);
      } else if (decided) {
        if (v < 0 || v >= n.from[0].size) return;
        Coordinates in = at;
        set(in, n.from[0], static_cast<int64_t>(v));
        read(0, locate(n.inputs[0], in));
      } else {
        const Interval inside = range(index);
        Coordinates in = at;
        for (auto i = static_cast<int64_t>(std::max(0.0, std::ceil(inside.low))); i < n.from[0].size && static_cast<double>(i) <= inside.high; ++i) {
          set(in, n.from[0], i);
          read(0, locate(n.inputs[0], in));
        }
      }
      if (!decided) read(1, index);
      return;
    }
    case Op::Scatter: {
      const int64_t target = coordinate(at, n.to[0]);
      Coordinates outer = at;
      std::erase_if(outer, [&](const auto& c) { return c.first == n.to[0]; });
      each(n.inputs[0], n.from, outer, [&](const Coordinates& in) {
        const Element index = locate(n.inputs[1], in);
        double v = 0;
        const bool decided = value(index, v);
        if (decided && kept(e.node, n.to[0]) && v != static_cast<double>(target)) return;
        read(0, locate(n.inputs[0], in));
        if (!decided) read(1, index);
      });
      return;
    }
    case Op::Sum:
    case Op::Max:
    case Op::Min:
    case Op::Prod:
    case Op::Argmax:
    case Op::TopkMask:
      each(n.inputs[0], n.from, at, [&](const Coordinates& in) { read(0, locate(n.inputs[0], in)); });
      return;
    case Op::Cumsum: {
      if (!kept(e.node, n.from[0])) return plain(0);
      const int64_t here = coordinate(at, n.from[0]);
      const bool reverse = n.ints[0] != 0, exclusive = n.ints[1] != 0;
      const int64_t first = reverse ? here + exclusive : 0, last = reverse ? n.from[0].size - 1 : here - exclusive;
      Coordinates in = at;
      for (int64_t i = first; i <= last; ++i) {
        set(in, n.from[0], i);
        read(0, locate(n.inputs[0], in));
      }
      return;
    }
    case Op::Carry: {
      const int64_t before = coordinate(at, n.from[0]) - n.ints[0];
      const bool inside = before >= 0 && before < n.from[0].size;
      Coordinates in = at;
      if (kept(e.node, n.from[0])) set(in, n.from[0], before);
      if (!kept(e.node, n.from[0]) || inside) read(0, locate(n.inputs[0], in));
      if (n.inputs.size() > 1 && (!kept(e.node, n.from[0]) || !inside)) plain(1);
      return;
    }
    default:
      for (size_t i = 0; i < n.inputs.size(); ++i) plain(i);
  }
}

}  // namespace cpuflow::passes::audit
