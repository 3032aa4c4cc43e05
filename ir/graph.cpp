#include "ir/graph.h"

#include "ir/diagnostics.h"
#include "ir/op.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <string_view>

namespace cpuflow::ir {

namespace {

uint64_t bits(double v) {
  uint64_t b;
  std::memcpy(&b, &v, sizeof b);
  return b;
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, double y) { return bits(x) == bits(y); });
}

struct Hasher {
  uint64_t h = 0;
  void mix(uint64_t v) { h = (h ^ v) * 0x9E3779B97F4A7C15u + (h >> 29); }
  void mix(const Axes& axes) {
    mix(axes.size());
    for (const Axis& a : axes) mix(uint64_t{a.size} << 32 | uint64_t{a.ordinal} << 8 | static_cast<uint64_t>(a.kind));
  }
};

uint64_t hash(const Node& n) {
  Hasher s;
  s.mix(static_cast<uint64_t>(n.op) << 8 | static_cast<uint64_t>(n.dtype));
  s.mix(n.axes);
  std::vector<NodeId> inputs = n.inputs;
  if (is_commutative(n.op)) std::sort(inputs.begin(), inputs.end());
  for (NodeId i : inputs) s.mix(i);
  s.mix(n.from);
  s.mix(n.to);
  for (int64_t i : n.ints) s.mix(static_cast<uint64_t>(i));
  for (double v : n.values) s.mix(bits(v));
  s.mix(bits(n.value));
  s.mix(std::hash<std::string>{}(n.text));
  return s.h;
}

bool equal(const Node& a, const Node& b) {
  const bool inputs = a.inputs == b.inputs || (is_commutative(a.op) && a.inputs.size() == 2 && b.inputs.size() == 2 &&
                                               a.inputs[0] == b.inputs[1] && a.inputs[1] == b.inputs[0]);
  return inputs && a.op == b.op && a.dtype == b.dtype && a.axes == b.axes && a.from == b.from && a.to == b.to && a.ints == b.ints &&
         bits(a.value) == bits(b.value) && a.text == b.text && same_bits(a.values, b.values);
}

bool is_constant(const Graph& g, NodeId id) { return g[id].op == Op::Constant; }
bool is_number(const Graph& g, NodeId id, double v) { return is_constant(g, id) && g[id].value == v; }

NodeId constant(Graph& g, double v, DType type) {
  Node n;
  n.op = Op::Constant;
  n.dtype = type;
  n.value = v;
  return g.add(std::move(n));
}

Node make(Op op, std::vector<NodeId> inputs) {
  Node n;
  n.op = op;
  n.inputs = std::move(inputs);
  return n;
}

NodeId as_real(Graph& g, NodeId x) { return g[x].dtype == DType::Real ? x : g.unary(Op::ToReal, x); }

/// Bools become 0 and 1.
NodeId as_number(Graph& g, NodeId x) { return g[x].dtype == DType::Bool ? g.select(x, g.integer(1), g.integer(0)) : x; }

NodeId as_bool(Graph& g, NodeId x) { return g[x].dtype == DType::Bool ? x : g.binary(Op::Ne, x, constant(g, 0, g[x].dtype)); }

/// Brings two values to one dtype: that of both, else Real if one is Real, else Int.
void unify(Graph& g, NodeId& a, NodeId& b) {
  if (g[a].dtype == g[b].dtype) return;
  if (g[a].dtype == DType::Real || g[b].dtype == DType::Real) {
    a = as_real(g, a);
    b = as_real(g, b);
  } else {
    a = as_number(g, a);
    b = as_number(g, b);
  }
}

/// The constant that an elementwise operation gives for constant inputs, or kNoNode.
NodeId folded(Graph& g, const Node& n) {
  double in[3] = {0, 0, 0};
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    if (!is_constant(g, n.inputs[i])) return kNoNode;
    in[i] = g[n.inputs[i]].value;
  }
  Node typed = n;
  infer(g, typed);
  const double v = op_def(n.op).scalar.value(in);
  // An undefined integer stays in the program, where its place can be named.
  if (typed.dtype != DType::Real && !(v - v == 0)) return kNoNode;
  return constant(g, v, typed.dtype);
}

}  // namespace

NodeId Graph::add(Node node) {
  infer(*this, node);
  if (!node.loc.known()) node.loc = at;
  const uint64_t key = hash(node);
  auto [first, last] = by_hash_.equal_range(key);
  for (auto it = first; it != last; ++it) {
    if (equal(nodes_[it->second], node)) return it->second;
  }
  const NodeId id = static_cast<NodeId>(nodes_.size());
  nodes_.push_back(std::move(node));
  by_hash_.emplace(key, id);
  return id;
}

void Graph::close(NodeId carry, NodeId x) {
  Node& node = nodes_[carry];
  if (node.op != Op::Carry || node.inputs[0] != kNoNode) throw InternalError("close: not an open carry");
  Node closed = node;
  closed.inputs[0] = x;
  infer(*this, closed);
  if (closed.axes != node.axes || closed.dtype != node.dtype)
    throw InternalError("close: the carry was opened for other axes or another dtype");
  node.inputs[0] = x;
}

void Graph::set_name(NodeId id, const std::string& name, const SourceLoc& loc) {
  nodes_[id].name = name;
  nodes_[id].loc = loc;
}

NodeId Graph::param(const std::string& name, const Axes& axes) {
  Node n = make(Op::Param, {});
  n.text = name;
  n.axes = axes;
  return add(std::move(n));
}

NodeId Graph::input(const std::string& name, const Axes& axes) {
  Node n = make(Op::Input, {});
  n.text = name;
  n.axes = axes;
  return add(std::move(n));
}

NodeId Graph::real(double v) { return constant(*this, v, DType::Real); }
NodeId Graph::integer(int64_t v) { return constant(*this, static_cast<double>(v), DType::Int); }
NodeId Graph::boolean(bool v) { return constant(*this, v, DType::Bool); }

NodeId Graph::literal(const std::vector<double>& values, const Axis& axis, DType dtype) {
  Node n = make(Op::Literal, {});
  n.values = values;
  n.axes = {axis};
  n.dtype = dtype;
  return add(std::move(n));
}

NodeId Graph::iota(const Axis& axis, int64_t start) {
  Node n = make(Op::Iota, {});
  n.axes = {axis};
  n.value = static_cast<double>(start);
  return add(std::move(n));
}

NodeId Graph::random(const std::string& stream, const Axes& axes) {
  Node n = make(Op::Random, {});
  n.text = stream;
  n.axes = axes;
  return add(std::move(n));
}

NodeId Graph::unary(Op op, NodeId x) {
  const DType type = nodes_[x].dtype;
  switch (op) {
    case Op::Stop:
      break;
    case Op::Not:
      x = as_bool(*this, x);
      break;
    case Op::ToReal:
      if (type == DType::Real) return x;
      break;
    case Op::Floor:
    case Op::Ceil:
      if (type != DType::Real) return as_number(*this, x);
      break;
    case Op::Neg:
    case Op::Abs:
      x = as_number(*this, x);
      break;
    default:
      x = as_real(*this, x);
  }
  if ((op == Op::Neg || op == Op::Not) && nodes_[x].op == op) return nodes_[x].inputs[0];
  Node n = make(op, {x});
  if (NodeId f = folded(*this, n); f != kNoNode) return f;
  return add(std::move(n));
}

NodeId Graph::binary(Op op, NodeId a, NodeId b) {
  switch (op) {
    case Op::And:
    case Op::Or:
      a = as_bool(*this, a);
      b = as_bool(*this, b);
      break;
    case Op::Div:
    case Op::Pow:
      a = as_real(*this, a);
      b = as_real(*this, b);
      break;
    case Op::Eq:
    case Op::Ne:
    case Op::Lt:
    case Op::Le:
      unify(*this, a, b);
      break;
    default:
      unify(*this, a, b);
      a = as_number(*this, a);
      b = as_number(*this, b);
  }
  if ((op == Op::Add || op == Op::Sub) && is_number(*this, b, 0)) return a;
  if (op == Op::Add && is_number(*this, a, 0)) return b;
  if ((op == Op::Mul || op == Op::Div) && is_number(*this, b, 1)) return a;
  if (op == Op::FloorDiv && nodes_[a].dtype == DType::Int && is_number(*this, b, 1)) return a;
  if (op == Op::Mul && is_number(*this, a, 1)) return b;
  if ((op == Op::And && is_number(*this, a, 1)) || (op == Op::Or && is_number(*this, a, 0))) return b;
  if ((op == Op::And && is_number(*this, b, 1)) || (op == Op::Or && is_number(*this, b, 0))) return a;
  Node n = make(op, {a, b});
  if (NodeId f = folded(*this, n); f != kNoNode) return f;
  return add(std::move(n));
}

NodeId Graph::select(NodeId condition, NodeId a, NodeId b) {
  condition = as_bool(*this, condition);
  unify(*this, a, b);
  if (is_constant(*this, condition)) return nodes_[condition].value != 0 ? a : b;
  return add(make(Op::Select, {condition, a, b}));
}

NodeId Graph::zero(DType dtype) { return dtype == DType::Real ? real(0) : dtype == DType::Int ? integer(0) : boolean(false); }

NodeId Graph::rename_present(NodeId x, const Axes& from, const Axes& to) {
  Axes old, now;
  for (size_t i = 0; i < from.size(); ++i) {
    if (contains(nodes_[x].axes, from[i])) old.push_back(from[i]), now.push_back(to[i]);
  }
  return old.empty() ? x : rename(x, old, now);
}

NodeId Graph::rename(NodeId x, const Axes& from, const Axes& to) {
  // The renaming of a renaming renames once.
  const bool again = nodes_[x].op == Op::Rename;
  const NodeId source = again ? nodes_[x].inputs[0] : x;
  Node n = make(Op::Rename, {source});
  if (from.size() != to.size()) throw InternalError("rename: as many new names as old ones are needed");
  for (const Axis& a : from) {
    if (!contains(nodes_[x].axes, a)) throw InternalError("rename: the input has no axis " + a.str());
  }
  for (const Axis& original : nodes_[source].axes) {
    Axis axis = original;
    if (int k = again ? index_of(nodes_[x].from, axis) : -1; k >= 0) axis = nodes_[x].to[static_cast<size_t>(k)];
    if (int k = index_of(from, axis); k >= 0) axis = to[static_cast<size_t>(k)];
    if (axis == original) continue;
    n.from.push_back(original);
    n.to.push_back(axis);
  }
  return n.from.empty() ? source : add(std::move(n));
}

NodeId Graph::slice(NodeId x, const Axis& from, const Axis& to, int64_t offset, int64_t stride) {
  if (from.size == to.size && offset == 0 && stride == 1) return rename(x, {from}, {to});
  Node n = make(Op::Slice, {x});
  n.from = {from};
  n.to = {to};
  n.ints = {offset, stride};
  return add(std::move(n));
}

NodeId Graph::reshape(NodeId x, const Axes& from, const Axes& to) {
  if (from == to) return x;
  Node n = make(Op::Reshape, {x});
  n.from = from;
  n.to = to;
  return add(std::move(n));
}

NodeId Graph::concat(const std::vector<NodeId>& xs, const Axes& from, const Axis& to) {
  if (xs.size() == 1) return rename(xs[0], from, {to});
  Node n = make(Op::Concat, xs);
  n.from = from;
  n.to = {to};
  return add(std::move(n));
}

NodeId Graph::gather(NodeId x, const Axis& axis, NodeId index) {
  Node n = make(Op::Gather, {x, index});
  n.from = {axis};
  return add(std::move(n));
}

NodeId Graph::scatter(NodeId x, NodeId index, const Axes& over, const Axis& to) {
  x = as_number(*this, x);
  Node n = make(Op::Scatter, {x, index});
  n.from = over;
  n.to = {to};
  return add(std::move(n));
}

NodeId Graph::reduce(Op op, NodeId x, const Axes& over) {
  x = as_number(*this, x);
  if (over.empty()) return x;
  Node n = make(op, {x});
  n.from = over;
  return add(std::move(n));
}

NodeId Graph::argmax(NodeId x, const Axis& axis) {
  Node n = make(Op::Argmax, {as_number(*this, x)});
  n.from = {axis};
  return add(std::move(n));
}

NodeId Graph::topk_mask(NodeId x, const Axis& axis, int64_t k) {
  Node n = make(Op::TopkMask, {as_number(*this, x)});
  n.from = {axis};
  n.ints = {k};
  return add(std::move(n));
}

NodeId Graph::cumsum(NodeId x, const Axis& axis, bool reverse, bool exclusive) {
  Node n = make(Op::Cumsum, {as_number(*this, x)});
  n.from = {axis};
  n.ints = {reverse, exclusive};
  return add(std::move(n));
}

NodeId Graph::carry(NodeId x, const Axis& axis, int64_t step, NodeId init) {
  Node n = make(Op::Carry, {x});
  if (init != kNoNode) n.inputs.push_back(init);
  n.from = {axis};
  n.ints = {step};
  return add(std::move(n));
}

NodeId Graph::carry_open(const Axes& axes, DType dtype, const Axis& axis, int64_t step, NodeId init) {
  Node n = make(Op::Carry, {kNoNode});
  if (init != kNoNode) n.inputs.push_back(init);
  n.from = {axis};
  n.ints = {step};
  n.axes = union_of(axes, {});
  n.dtype = dtype;
  n.loc = at;
  infer(*this, n);
  nodes_.push_back(std::move(n));
  return static_cast<NodeId>(nodes_.size() - 1);
}

namespace {

/// Puts what `text` makes of the number that layers are counted from in the place of `{layer}` and `{layer+2}`.
template <class Text>
std::string fill_holes(std::string name, const Text& text) {
  constexpr std::string_view kHole = "{layer";
  for (size_t at = name.find(kHole); at != std::string::npos; at = name.find(kHole, at)) {
    const size_t end = name.find('}', at);
    if (end == std::string::npos) break;
    int64_t first = 0;
    if (name[at + kHole.size()] == '+') std::from_chars(name.data() + at + kHole.size() + 1, name.data() + end, first);
    name.replace(at, end + 1 - at, text(first));
  }
  return name;
}

}  // namespace

std::string with_layer(std::string name, int64_t layer) {
  return fill_holes(std::move(name), [layer](int64_t first) { return std::to_string(first + layer); });
}

std::string of_all_layers(std::string name) {
  return fill_holes(std::move(name), [](int64_t) { return std::string("*"); });
}

std::string from_layer(std::string name, int64_t first) {
  constexpr std::string_view kHole = "{layer}";
  const std::string begins = first == 0 ? std::string(kHole) : "{layer+" + std::to_string(first) + "}";
  for (size_t at = name.find(kHole); at != std::string::npos; at = name.find(kHole, at + begins.size())) name.replace(at, kHole.size(), begins);
  return name;
}

std::vector<std::string> checkpoint_names(const Node& param) {
  if (with_layer(param.text, 0) == param.text) return {param.text};
  int64_t layers = 1;
  for (const Axis& a : param.axes) {
    if (a.kind == AxisKind::Layer) layers = a.size;
  }
  std::vector<std::string> names;
  for (int64_t l = 0; l < layers; ++l) names.push_back(with_layer(param.text, l));
  return names;
}

NodeId output_node(const Graph& g, const std::string& name) {
  for (const Output& o : g.outputs) {
    if (o.name == name) return o.node;
  }
  return kNoNode;
}

}  // namespace cpuflow::ir
