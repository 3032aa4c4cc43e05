// Functions of whole values: what happens inside one position.
#include "modeldefs/frontend/evaluator.h"

#include "ir/random_draw.h"

#include <algorithm>

namespace cpuflow::frontend {
using namespace ir;
using Kind = Expr::Kind;

namespace {

const std::map<std::string, Op>& unary_functions() {
  static const std::map<std::string, Op> table = {
      {"exp", Op::Exp}, {"log", Op::Log},         {"sqrt", Op::Sqrt},   {"tanh", Op::Tanh},         {"sin", Op::Sin},
      {"cos", Op::Cos}, {"sigmoid", Op::Sigmoid}, {"erf", Op::Erf},     {"softplus", Op::Softplus}, {"relu", Op::Relu},
      {"abs", Op::Abs}, {"round", Op::Round},     {"floor", Op::Floor}, {"ceil", Op::Ceil},         {"stop", Op::Stop}};
  return table;
}

/// `b` and `t` first, then the others in the order in which they appear.
std::vector<std::string> lead_of(const std::vector<Value>& values) {
  std::vector<std::string> out;
  auto add = [&](const std::string& name) {
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  };
  auto anywhere = [&](const std::string& name) {
    return std::any_of(values.begin(), values.end(),
                       [&](const Value& v) { return std::find(v.lead.begin(), v.lead.end(), name) != v.lead.end(); });
  };
  for (const char* first : {"b", "t"}) {
    if (anywhere(first)) add(first);
  }
  for (const Value& v : values) {
    for (const std::string& name : v.lead) add(name);
  }
  return out;
}

}  // namespace

Axis Evaluator::feature_axis(unsigned base, size_t slot, uint32_t size) const {
  return {AxisKind::Feature, static_cast<uint16_t>(base + slot), size};
}

std::string Evaluator::shape_text(const Value& v) const {
  std::string out = "[";
  for (const std::string& name : v.lead) out += (out.size() > 1 ? ", " : "") + name;
  for (const Dim& dim : v.features) out += (out.size() > 1 ? ", " : "") + std::to_string(dim.size);
  return out + "]";
}

Value Evaluator::elementwise(const Expr& e, const std::vector<Value>& values, const Frame& f, const Combine& combine) {
  size_t rank = 0;
  bool unknown = false;
  for (const Value& v : values) {
    rank = std::max(rank, v.features.size());
    unknown = unknown || v.zero;
  }
  auto clash = [&](const std::string& what) {
    Fault fault{e.at, what};
    const std::vector<Expr>& operands = e.args;
    for (size_t i = 0; i < values.size(); ++i) {
      fault.message += (i == 0 ? ": " : " and ") + shape_text(values[i]);
      if (i >= operands.size() || !operands[i].is(Kind::Name)) continue;
      SourceLoc place;
      if (auto it = f.defined.find(operands[i].name); it != f.defined.end()) place = it->second;
      if (f.params != nullptr && f.params->items.count(operands[i].name) > 0) place = f.params->items.at(operands[i].name).at;
      if (place.known()) fault.notes.emplace_back(place, "'" + operands[i].name + "' is " + shape_text(values[i]));
    }
    return fault;
  };
  // A vector meets the last axis, a number meets everything.
  auto slot_of = [&](const Value& v, size_t k) { return v.features.size() == rank ? k : rank - 1; };
  std::vector<Dim> dims(rank);
  for (const Value& v : values) {
    if (v.features.size() != rank && v.features.size() > 1) throw clash("different numbers of axes");
    for (size_t k = 0; k < v.features.size(); ++k) {
      Dim& dim = dims[slot_of(v, k)];
      if (v.features[k].size == 1) continue;
      if (dim.size != 1 && dim.size != v.features[k].size) throw clash("sizes clash");
      if (dim.size == 1)
        dim = {v.features[k].size,
               v.features.size() == rank ? v.features[k].axis : feature_axis(value_base(f), rank - 1, v.features[k].size)};
    }
  }
  // The feature axes of the result must not be those of an index.
  for (const Value& v : values) {
    for (const Axis& axis : nodes_[v.node].axes) {
      bool feature = std::any_of(v.features.begin(), v.features.end(), [&](const Dim& d) { return d.size > 1 && d.axis == axis; });
      for (size_t k = 0; k < rank && !feature; ++k) {
        if (dims[k].size > 1 && dims[k].axis == axis) dims[k].axis = feature_axis(value_base(f) + 32, k, dims[k].size);
      }
    }
  }
  std::vector<NodeId> aligned;
  for (const Value& v : values) {
    Axes from, to;
    for (size_t k = 0; k < v.features.size(); ++k) {
      if (v.features[k].size == 1 || v.features[k].axis == dims[slot_of(v, k)].axis) continue;
      from.push_back(v.features[k].axis);
      to.push_back(dims[slot_of(v, k)].axis);
    }
    aligned.push_back(from.empty() ? v.node : nodes_.rename(v.node, from, to));
  }
  Value out{combine(aligned), lead_of(values), dims};
  out.zero = unknown && rank == 0;
  return out;
}

std::optional<Value> Evaluator::elementwise_call(const Expr& e, const std::vector<Value>& args, const Frame& f) {
  auto need = [&](size_t n) {
    if (args.size() != n)
      throw Fault{e.at,
                  "'" + e.name + "' takes " + std::to_string(n) + (n == 1 ? " value" : " values") + ", not " + std::to_string(args.size())};
  };
  if (auto it = unary_functions().find(e.name); it != unary_functions().end()) {
    need(1);
    return elementwise(e, args, f, [&](const std::vector<NodeId>& n) { return nodes_.unary(it->second, n[0]); });
  }
  if ((e.name == "max" || e.name == "min") && args.size() != 1) {
    need(2);
    Op op = e.name == "max" ? Op::Max2 : Op::Min2;
    return elementwise(e, args, f, [&](const std::vector<NodeId>& n) { return nodes_.arithmetic(op, n[0], n[1]); });
  }
  if (e.name == "clamp") {
    need(3);
    return elementwise(e, args, f, [&](const std::vector<NodeId>& n) {
      return nodes_.arithmetic(Op::Min2, nodes_.arithmetic(Op::Max2, n[0], n[1]), n[2]);
    });
  }
  if (e.name == "concat") return concat(e, args, f);
  if (e.name == "stack") return stack(e, args, f);
  need(1);
  if (e.name == "cumsum") return cumsum(e, args[0]);
  if (is_reduction(e.name)) return over_last(e, args[0]);
  const Value& x = args[0];
  if (e.name == "argmax") {
    if (x.zero) return x;
    if (x.features.empty()) throw Fault{e.at, "argmax acts on the last axis, and " + shape_text(x) + " has none"};
    Value out = x;
    Dim last = out.features.back();
    out.features.pop_back();
    out.node =
        last.size == 1 || !nodes_.has(x.node, last.axis) ? nodes_.integer(0) : nodes_.graph.argmax(nodes_.to_real(x.node), last.axis);
    return out;
  }
  if (e.name == "transpose") {
    if (x.features.size() < 2) throw Fault{e.at, "transpose needs two axes, this is " + shape_text(x)};
    Value out = canonical(x, value_base(f));
    size_t n = out.features.size();
    Dim a = out.features[n - 2], b = out.features[n - 1];
    out.features[n - 2] = {b.size, feature_axis(value_base(f), n - 2, b.size)};
    out.features[n - 1] = {a.size, feature_axis(value_base(f), n - 1, a.size)};
    out.node = nodes_.rename(out.node, {a.axis, b.axis}, {out.features[n - 1].axis, out.features[n - 2].axis});
    return out;
  }
  return std::nullopt;
}

/// Calls with arguments that are sizes.
std::optional<Value> Evaluator::shape_call(const Expr& e, Frame& f) {
  if (e.name == "reshape") return reshape(e, f);
  if (e.name == "topk") return topk(e, f);
  if (e.name == "onehot") return onehot(e, f);
  if (e.name == "dropout") return dropout(e, f);
  if (e.name == "randint") {
    std::vector<std::string> lead;
    for (const std::string& name : f.left) lead.push_back(name);
    return random_value(e, lead, {}, f);
  }
  if (e.name != "size") return std::nullopt;
  if (e.args.empty() || e.args.size() > 2) throw Fault{e.at, "size takes a value and, where it is not the last, the number of an axis"};
  Value x = evaluate(e.args[0], f);
  int64_t rank = static_cast<int64_t>(x.features.size());
  int64_t axis = e.args.size() == 2 ? size_of(e.args[1], f) : rank - 1;
  if (axis < 0 || axis >= rank) throw Fault{e.at, shape_text(x) + " has no axis " + std::to_string(axis)};
  return Value{nodes_.integer(x.features[static_cast<size_t>(axis)].size), {}, {}};
}

Value Evaluator::over_last(const Expr& e, const Value& x) {
  if (x.zero) return x;
  if (x.features.empty()) {
    throw Fault{e.at, e.name + " without indices acts on the last axis, and " + shape_text(x) + " has none" + (is_reduction(e.name) ? "; name the index, as in " + e.name + "(i: x[t,i])" : "")};
  }
  Value out = x;
  Dim last = out.features.back();
  Axes over;
  if (last.size > 1) over.push_back(last.axis);
  NodeId v = nodes_.to_real(x.node);
  if (e.name == "sum") v = nodes_.reduce(Op::Sum, v, over);
  if (e.name == "prod") v = nodes_.reduce(Op::Prod, v, over);
  if (e.name == "max") v = nodes_.reduce(Op::Max, v, over);
  if (e.name == "min") v = nodes_.reduce(Op::Min, v, over);
  if (e.name == "mean") v = nodes_.arithmetic(Op::Div, nodes_.reduce(Op::Sum, v, over), nodes_.real(last.size));
  if (e.name == "softmax" || e.name == "logsumexp") {
    NodeId most = nodes_.unary(Op::Stop, nodes_.reduce(Op::Max, v, over));
    NodeId powers = nodes_.unary(Op::Exp, nodes_.sub(v, most));
    NodeId total = nodes_.reduce(Op::Sum, powers, over);
    v = e.name == "softmax" ? nodes_.arithmetic(Op::Div, powers, total) : nodes_.add(most, nodes_.unary(Op::Log, total));
  }
  out.node = v;
  if (e.name != "softmax") out.features.back() = Dim{};
  return out;
}

Value Evaluator::matmul(const Expr& e, const Value& x, const Value& w, const Frame& f) {
  unsigned base = value_base(f);
  if (w.features.size() != 2 || !w.lead.empty())
    throw Fault{e.at, "the right side of @ must be a matrix without positions, not " + shape_text(w)};
  Dim n = w.features[0], m = w.features[1];
  if (x.zero) return Value{nodes_.real(0), {}, {{m.size, feature_axis(base, 0, m.size)}}};
  if (x.features.empty() || x.features.back().size != n.size) {
    Fault fault{e.at, "sizes clash: " + shape_text(x) + " @ " + shape_text(w)};
    for (const Expr& operand : e.args) {
      auto it = f.defined.find(operand.name);
      if (operand.is(Kind::Name) && it != f.defined.end()) fault.notes.emplace_back(it->second, "'" + operand.name + "' stands here");
    }
    throw fault;
  }
  Value out = x;
  size_t slot = x.features.size() - 1;
  Axis sum{AxisKind::Feature, static_cast<uint16_t>(16 + f.depth), n.size};
  Axis to = feature_axis(base, slot, m.size);
  NodeId left = nodes_.to_real(x.node), right = nodes_.to_real(w.node);
  Axes from_w, to_w;
  if (n.size > 1) {
    left = nodes_.rename(left, {x.features.back().axis}, {sum});
    from_w.push_back(n.axis);
    to_w.push_back(sum);
  }
  if (m.size > 1) {
    from_w.push_back(m.axis);
    to_w.push_back(to);
  }
  right = nodes_.rename(right, from_w, to_w);
  out.node = nodes_.reduce(Op::Sum, nodes_.mul(left, right), n.size > 1 ? Axes{sum} : Axes{});
  out.features.back() = {m.size, to};
  return out;
}

/// The value with its feature axes called by their places.
Value Evaluator::canonical(Value v, unsigned base) {
  Axes from, to;
  for (size_t k = 0; k < v.features.size(); ++k) {
    Axis axis = feature_axis(base, k, v.features[k].size);
    if (v.features[k].size > 1 && !(v.features[k].axis == axis)) {
      from.push_back(v.features[k].axis);
      to.push_back(axis);
    }
    v.features[k].axis = axis;
  }
  if (!from.empty()) v.node = nodes_.rename(v.node, from, to);
  return v;
}

std::vector<Value> Evaluator::split(const Expr& e, Frame& f) {
  if (e.args.size() != 2 || !e.named.empty())
    throw Fault{e.at, "split takes a value and the number or sizes of its parts, as in split(x, 3) or split(x, [a, b])"};
  Value x = evaluate(e.args[0], f);
  std::vector<int64_t> sizes;
  if (e.args[1].is(Kind::List)) {
    for (const Expr& a : e.args[1].args) sizes.push_back(size_of(a, f));
  } else {
    int64_t parts = size_of(e.args[1], f);
    if (parts < 1 || parts > 65536) throw Fault{e.args[1].at, "split into " + std::to_string(parts) + " parts"};
    int64_t whole = x.zero || x.features.empty() ? parts : x.features.back().size;
    if (whole % parts != 0)
      throw Fault{e.at, "the last axis has " + std::to_string(whole) + " elements, which do not split into " + std::to_string(parts) +
                            " equal parts"};
    sizes.assign(static_cast<size_t>(parts), whole / parts);
  }
  if (x.zero) return std::vector<Value>(sizes.size(), x);
  if (x.features.empty()) throw Fault{e.at, "split acts on the last axis, and " + shape_text(x) + " has none"};
  Dim last = x.features.back();
  int64_t total = 0;
  std::string text;
  for (int64_t n : sizes) {
    if (n < 1) throw Fault{e.at, "a part has at least 1 element, not " + std::to_string(n)};
    total += n;
    text += (text.empty() ? "" : " + ") + std::to_string(n);
  }
  if (total != last.size) throw Fault{e.at, "the last axis has " + std::to_string(last.size) + " elements, not " + text};
  std::vector<Value> out;
  int64_t offset = 0;
  for (int64_t n : sizes) {
    Value part = x;
    Axis to = last.axis;
    to.size = static_cast<uint32_t>(n);
    part.features.back() = {to.size, to};
    if (n != last.size && nodes_.has(x.node, last.axis)) {
      part.node =
          n == 1 ? nodes_.graph.gather(x.node, last.axis, nodes_.integer(offset)) : nodes_.graph.slice(x.node, last.axis, to, offset);
    }
    out.push_back(part);
    offset += n;
  }
  return out;
}

Value Evaluator::reshape(const Expr& e, Frame& f) {
  if (e.args.size() < 2) throw Fault{e.at, "reshape takes a value and sizes, as in reshape(x, H, dh)"};
  Value x = evaluate(e.args[0], f);
  unsigned base = value_base(f);
  std::vector<Dim> dims;
  uint64_t before = 1, after = 1;
  for (size_t k = 1; k < e.args.size(); ++k) {
    int64_t n = size_of(e.args[k], f);
    if (n < 1 || n > 0x7FFFFFFF) throw Fault{e.args[k].at, "a size is at least 1, this is " + std::to_string(n)};
    dims.push_back({static_cast<uint32_t>(n), feature_axis(base, k - 1, static_cast<uint32_t>(n))});
    after *= static_cast<uint64_t>(n);
  }
  if (x.zero) return Value{nodes_.real(0), {}, dims};
  for (const Dim& d : x.features) before *= d.size;
  Value out = canonical(x, base);
  std::swap(out.features, dims);
  if (before != after) {
    Value wanted = out;
    wanted.lead.clear();
    throw Fault{e.at, shape_text(x) + " does not reshape to " + shape_text(wanted) + ": " + std::to_string(before) + " elements are not " +
                          std::to_string(after)};
  }
  // `dims` are the old ones.  Axes that stay as they are at either end are only called differently.
  auto real_axes = [](const std::vector<Dim>& all) {
    Axes axes;
    for (const Dim& d : all) {
      if (d.size > 1) axes.push_back(d.axis);
    }
    return axes;
  };
  Axes from = real_axes(dims), to = real_axes(out.features), head_from, head_to, tail_from, tail_to;
  while (!from.empty() && !to.empty() && from.front().size == to.front().size) {
    head_from.push_back(from.front());
    head_to.push_back(to.front());
    from.erase(from.begin());
    to.erase(to.begin());
  }
  while (!from.empty() && !to.empty() && from.back().size == to.back().size) {
    tail_from.push_back(from.back());
    tail_to.push_back(to.back());
    from.pop_back();
    to.pop_back();
  }
  if (from.empty()) {
    head_from.insert(head_from.end(), tail_from.begin(), tail_from.end());
    head_to.insert(head_to.end(), tail_to.begin(), tail_to.end());
    out.node = nodes_.rename(out.node, head_from, head_to);
    return out;
  }
  // Axes whose number grows move before the regrouping, the others after it, so that no two are ever called the same.
  Axes early_from, early_to, late_from, late_to;
  for (const auto& [a, b] : {std::pair(&head_from, &head_to), std::pair(&tail_from, &tail_to)}) {
    for (size_t k = 0; k < a->size(); ++k) {
      bool grows = (*b)[k].ordinal > (*a)[k].ordinal;
      (grows ? early_from : late_from).push_back((*a)[k]);
      (grows ? early_to : late_to).push_back((*b)[k]);
    }
  }
  NodeId node = nodes_.spread(out.node, from);
  node = nodes_.rename(node, early_from, early_to);
  node = nodes_.graph.reshape(node, from, to);
  out.node = nodes_.rename(node, late_from, late_to);
  return out;
}

Value Evaluator::concat(const Expr& e, const std::vector<Value>& values, const Frame& f) {
  constexpr uint64_t kLargestAxis = 2147483647;  // as a size
  if (values.empty()) throw Fault{e.at, "concat takes values"};
  unsigned base = value_base(f);
  for (const Value& v : values) {
    if (v.zero) return v;
  }
  size_t rank = values[0].features.size();
  std::string shapes;
  for (const Value& v : values) shapes += (shapes.empty() ? "" : " and ") + shape_text(v);
  if (rank == 0) throw Fault{e.at, "concat acts on the last axis; these have none: " + shapes};
  uint64_t total = 0;
  std::vector<Value> all;
  bool real = false;
  for (const Value& v : values) {
    bool fits = v.features.size() == rank;
    for (size_t k = 0; fits && k + 1 < rank; ++k) fits = v.features[k].size == values[0].features[k].size;
    if (!fits) throw Fault{e.at, "all axes but the last must be equal: " + shapes};
    total += v.features.back().size;
    all.push_back(canonical(v, base));
    real = real || !nodes_.is(v.node, DType::Int);
  }
  if (all.size() == 1) return all[0];
  if (total > kLargestAxis) throw Fault{e.at, "an axis has at most " + std::to_string(kLargestAxis) + " elements; these have " + std::to_string(total)};
  std::vector<NodeId> parts;
  Axes from;
  for (const Value& v : all) {
    Axis last = v.features.back().axis;
    NodeId node = real ? nodes_.to_real(v.node) : v.node;
    node = last.size == 1 ? nodes_.with_unit(node, last) : nodes_.spread(node, {last});
    parts.push_back(node);
    from.push_back(last);
  }
  Value out = all[0];
  out.lead = lead_of(values);
  out.features.back() = {static_cast<uint32_t>(total), feature_axis(base, rank - 1, static_cast<uint32_t>(total))};
  out.node = nodes_.graph.concat(parts, from, out.features.back().axis);
  return out;
}

Value Evaluator::stack(const Expr& e, const std::vector<Value>& values, const Frame& f) {
  if (values.empty()) throw Fault{e.at, "stack takes values"};
  unsigned base = value_base(f);
  size_t rank = 0;
  for (const Value& v : values) rank = std::max(rank, v.features.size());
  uint32_t count = static_cast<uint32_t>(values.size());
  Axis unit = feature_axis(base, rank, 1), to = feature_axis(base, rank, count);
  Value out = elementwise(e, values, f, [&](const std::vector<NodeId>& nodes) {
    if (count == 1) return nodes[0];
    std::vector<NodeId> parts;
    for (NodeId n : nodes) parts.push_back(nodes_.with_unit(nodes_.to_real(n), unit));
    return nodes_.graph.concat(parts, Axes(count, unit), to);
  });
  if (!out.zero) out.features.push_back({count, to});
  return out;
}

Value Evaluator::topk(const Expr& e, Frame& f) {
  if (e.args.size() != 2) throw Fault{e.at, "topk takes a value and how many elements it keeps, as in topk(x, 8)"};
  Value x = evaluate(e.args[0], f);
  int64_t k = size_of(e.args[1], f);
  if (x.zero) return x;
  if (x.features.empty()) throw Fault{e.at, "topk acts on the last axis, and " + shape_text(x) + " has none"};
  Dim last = x.features.back();
  if (k < 1 || k > last.size)
    throw Fault{e.args[1].at, "topk keeps " + std::to_string(k) + " of " + std::to_string(last.size) + " elements"};
  if (k == last.size) return x;
  NodeId node = nodes_.spread(nodes_.to_real(x.node), {last.axis});
  x.node = nodes_.mul(node, nodes_.to_real(nodes_.graph.topk_mask(node, last.axis, k)));
  return x;
}

Value Evaluator::onehot(const Expr& e, Frame& f) {
  if (e.args.size() != 2) throw Fault{e.at, "onehot takes an integer and a size, as in onehot(argmax(x), n)"};
  Value x = evaluate(e.args[0], f);
  int64_t n = size_of(e.args[1], f);
  if (n < 1 || n > 0x7FFFFFFF) throw Fault{e.args[1].at, "a size is at least 1, this is " + std::to_string(n)};
  if (x.zero) return x;
  if (!nodes_.is(x.node, DType::Int)) throw Fault{e.args[0].at, "onehot is of an integer, as argmax gives it"};
  Axis axis = feature_axis(value_base(f), x.features.size(), static_cast<uint32_t>(n));
  NodeId place = n == 1 ? nodes_.integer(0) : nodes_.graph.iota(axis);
  x.node = nodes_.to_real(nodes_.compare(Op::Eq, x.node, place));
  x.features.push_back({axis.size, axis});
  return x;
}

Value Evaluator::cumsum(const Expr& e, const Value& x) {
  if (x.zero) return x;
  if (std::find(x.lead.begin(), x.lead.end(), "t") == x.lead.end())
    throw Fault{e.at, "cumsum runs over positions, and " + shape_text(x) + " has none"};
  Value out = x;
  NodeId v = nodes_.to_real(x.node);
  out.node = nodes_.has(v, positions()) ? nodes_.graph.cumsum(v, positions()) : nodes_.mul(v, nodes_.graph.iota(positions(), 1));
  return out;
}

/// Draws of a generator, one for each element of the left side.
Value Evaluator::random_value(const Expr& e, const std::vector<std::string>& lead, const std::vector<Dim>& features, Frame& f) {
  if (e.args.size() != 1) throw Fault{e.at, "randint takes how many numbers to draw from, as in randint(V)"};
  int64_t n = size_of(e.args[0], f);
  if (n < 1) throw Fault{e.args[0].at, "randint draws from at least 1 number"};
  if (n > int64_t{1} << 24) throw Fault{e.args[0].at, "integers are exact to 16777216 only, and randint draws below that"};
  Axes axes;
  for (const std::string& name : lead) {
    auto it = f.index.find(name);
    if (it != f.index.end() && it->second.has_axis) axes.push_back(it->second.axis);
  }
  if (lead.empty()) axes = {batch(), positions()};
  axes = union_of({}, axes);
  Value out{nodes_.graph.random("draw" + std::to_string(draws_++), axes), lead, features};
  if (lead.empty()) out.lead = {"b", "t"};
  // A draw just below 1 may be rounded to n.
  NodeId drawn = nodes_.unary(Op::Floor, nodes_.mul(out.node, nodes_.real(static_cast<double>(n))));
  out.node = nodes_.arithmetic(Op::Min2, drawn, nodes_.integer(n - 1));
  return out;
}

Value Evaluator::dropout(const Expr& e, Frame& f) {
  if (e.args.size() != 2) throw Fault{e.at, "dropout takes a value and a probability, as in dropout(x, 0.1)"};
  Value x = evaluate(e.args[0], f);
  std::optional<double> p = nodes_.statics.number(evaluate(e.args[1], f).node);
  if (!p || *p < 0 || *p >= 1) throw Fault{e.args[1].at, "the probability is a constant of at least 0 and less than 1"};
  if (*p == 0 || x.zero) return x;
  // A draw of 1, which the generator never gives, stands for evaluation: everything is kept, and as it is.
  NodeId draw = nodes_.graph.random(kDropoutStream + std::to_string(draws_++), union_of(nodes_[x.node].axes, {batch()}));  // each sequence drops for itself
  NodeId scale = nodes_.select(nodes_.compare(Op::Lt, draw, nodes_.real(1)), nodes_.real(1 / (1 - *p)), nodes_.real(1));
  NodeId factor = nodes_.select(nodes_.compare(Op::Lt, draw, nodes_.real(*p)), nodes_.real(0), scale);
  x.node = nodes_.arithmetic(Op::Mul, nodes_.to_real(x.node), factor);
  return x;
}

}  // namespace cpuflow::frontend
