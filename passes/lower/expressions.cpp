// Values as expressions of loop variables: what has no buffer is computed where it is read, views are index arithmetic.
#include "ir/diagnostics.h"
#include "passes/lower/function_lowering.h"

#include <fmt/format.h>

#include <set>
#include <utility>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

/// The affine index that the expression is, if it is one.
std::optional<Index> affine(const ProgramBuilder& b, ExprId e) {
  if (b[e].kind == Expr::Kind::Constant) return ProgramBuilder::fixed(static_cast<int64_t>(b[e].value));
  if (b[e].kind == Expr::Kind::Counter && b[e].index.computed == kNone) return b[e].index;
  return std::nullopt;
}

/// The result of an operation as an affine index: sums and constant multiples of affine indices are affine.
std::optional<Index> affine(ProgramBuilder& b, Op op, DType dtype, const std::vector<ExprId>& args) {
  if (dtype != DType::Int || (op != Op::Add && op != Op::Sub && op != Op::Mul)) return std::nullopt;
  const std::optional<Index> l = affine(b, args[0]), r = affine(b, args[1]);
  if (!l || !r) return std::nullopt;
  if (op == Op::Add) return b.sum(*l, *r);
  if (op == Op::Sub) return b.sum(*l, b.scaled(*r, -1, 0));
  if (l->terms.empty()) return b.scaled(*r, l->offset, 0);
  if (r->terms.empty()) return b.scaled(*l, r->offset, 0);
  return std::nullopt;
}

/// A comparison of integers; what is added to a variable goes to the number that it is compared with: 0 <= t - 1 is 1 <= t.
ExprId compare(ProgramBuilder& b, Op op, ExprId l, ExprId r) {
  std::optional<Index> left = affine(b, l), right = affine(b, r);
  if (left && right && left->terms.empty() != right->terms.empty()) {
    Index &number = left->terms.empty() ? *left : *right, &sum = left->terms.empty() ? *right : *left;
    number.offset -= std::exchange(sum.offset, 0);
    l = b.counter(*left), r = b.counter(*right);
  }
  return b.apply(op, DType::Bool, {l, r});
}

}  // namespace

Env FunctionLowering::identity(const Axes& axes) const {
  Env env;
  for (const Axis& a : axes) env[a] = ProgramBuilder::variable(a);
  return env;
}

std::vector<Index> FunctionLowering::indices_of(const Buffer& buffer, const Env& env) const {
  std::vector<Index> out;
  for (const Axis& a : buffer.axes) out.push_back(env.at(a));
  return out;
}

Index FunctionLowering::index_of_node(NodeId id, const Env& env) {
  ExprId e = pull(id, env);
  const Expr& x = b_[e];
  if (x.kind == Expr::Kind::Constant) return ProgramBuilder::fixed(static_cast<int64_t>(x.value));
  if (x.kind == Expr::Kind::Counter) return x.index;
  Index out;
  out.computed = e;
  return out;
}

ExprId FunctionLowering::load_value(NodeId id, const Env& env) {
  BufferId buffer = external ? external(id) : kNone;
  if (buffer == kNone) buffer = buffer_of(id);
  return load_from(buffer, id, env);
}

/// A value that `prepare` computes.
ExprId FunctionLowering::load_shared(NodeId id, const Env& env) { return load_from(b_.shared_value(id, features_as_they_lie(id)), id, env); }

/// The element of a buffer as what the value is: conditions, and most integers, lie in it as floats.
ExprId FunctionLowering::load_from(BufferId buffer, NodeId id, const Env& env) {
  const ExprId e = b_.load(buffer, indices_of(b_.program.buffers[buffer], env));
  if (g_[id].dtype == DType::Bool) return b_.apply(Op::Ne, DType::Bool, {e, b_.constant(0, DType::Real)});
  return g_[id].dtype == DType::Int && b_.program.buffers[buffer].dtype == DType::Real ? b_.apply(Op::Floor, DType::Int, {e}) : e;
}

/// The value for a step that takes a matrix in memory; `rounded`: which rounds it, so that a rounded copy does.
ExprId FunctionLowering::pull_operand(NodeId id, bool rounded) {
  reading_operand_ = true;
  reading_rounded_ = rounded;
  const ExprId e = pull(id, identity(g_[id].axes));
  reading_operand_ = reading_rounded_ = false;
  return e;
}

ExprId FunctionLowering::pull(NodeId id, const Env& outer) {
  const Node& n = g_[id];
  Env env;  // of the node's own axes
  for (const Axis& a : n.axes) env[a] = outer.at(a);
  if (ready(id)) return load_value(id, env);
  if (reading_rounded_ && saved_as_[id] != kNoNode) return load_value(saved_as_[id], env);
  if (stored_[id] && own(id) && (reading_operand_ || !operand_copy_[id])) return load_value(id, env);
  if (n.op == Op::Param) return b_.load(b_.param(id), indices_of(b_.program.buffers[b_.param(id)], env));
  if (n.op == Op::Input) return b_.load(b_.input(id), indices_of(b_.program.buffers[b_.input(id)], env));
  if (!own(id) && b_.rate[id] != Rate::Static) {
    if (b_.rate[id] == Rate::Step) {
      const bool made_by_loops = n.op == Op::Argmax || n.op == Op::TopkMask || (n.op == Op::Carry && n.inputs[0] > id);
      if (b_.is_view(id) || n.op == Op::ToReal || (b_.is_spread(id) && !reading_operand_) || (n.dtype != DType::Real && !made_by_loops)) return compute(id, env);
      return load_shared(id, env);
    }
    throw InternalError(fmt::format("{}: '{}' is read by '{}', which runs at another time", n.loc.str(), b_.name_of(id), name_));
  }
  const bool leaf = n.op == Op::Constant || n.op == Op::Iota || n.op == Op::Literal;
  if (b_.rate[id] == Rate::Static && rate_ != Rate::Step && !leaf && !is_elementwise(n.op) && !b_.is_view(id) && n.op != Op::Gather && n.op != Op::Carry) {
    return load_shared(id, env);
  }
  if (b_.rate[id] == Rate::Static && rate_ != Rate::Step && n.dtype == DType::Real && !n.axes.empty() && is_elementwise(n.op) &&
      (op_is_costly(n.op) || element_count(n.axes) <= 65536) && n.op != Op::ToReal && n.op != Op::Select) {
    bool costly = false;
    std::vector<NodeId> open{id};
    std::set<NodeId> seen{id};
    while (!open.empty() && !costly) {
      NodeId m = open.back();
      open.pop_back();
      costly = op_is_costly(g_[m].op);
      for (NodeId input : g_[m].inputs) {
        if (seen.insert(input).second) open.push_back(input);
      }
    }
    if (costly) return load_shared(id, env);
  }
  // a value may be read by two operands of each of many statements: once is enough
  if (!is_elementwise(n.op) || n.inputs.size() < 2) return compute(id, env);
  const bool outermost = !pulling_;
  pulling_ = true;
  const std::pair key{id, env};
  auto known = pulled_.find(key);
  if (known == pulled_.end()) known = pulled_.emplace(key, compute(id, env)).first;
  const ExprId result = known->second;
  if (outermost) {
    pulling_ = false;
    pulled_.clear();
  }
  return result;
}

ExprId FunctionLowering::read_at(NodeId x, Env env, const Axis& axis, const Index& index, ExprId otherwise, bool inside) {
  if (inside) {
    env[axis] = index;
    return pull(x, env);
  }
  const Bounded bounded = bound(index, axis);
  env[axis] = bounded.index;
  ExprId value = pull(x, env);
  if (bounded.condition == kNone) return value;
  DType dtype = g_[x].dtype;
  if (dtype == DType::Bool) return b_.apply(Op::And, DType::Bool, {bounded.condition, value});
  return b_.apply(Op::Select, dtype, {bounded.condition, value, otherwise});
}

/// The index kept inside the axis, and whether it was there; kNone if it always is.
FunctionLowering::Bounded FunctionLowering::bound(const Index& index, const Axis& axis) {
  const auto [lowest, highest] = index.affine_range();
  const bool affine = index.computed == kNone, not_below = affine && lowest >= 0, not_above = affine && highest < static_cast<int64_t>(axis.size);
  if (not_below && not_above) return {index, kNone};
  const ExprId i = b_.counter(index);
  const ExprId low = compare(b_, Op::Le, b_.constant(0, DType::Int), i);
  const ExprId high = compare(b_, Op::Lt, i, b_.constant(axis.size, DType::Int));
  ExprId clamped = i;
  if (!not_below) clamped = b_.apply(Op::Max2, DType::Int, {clamped, b_.constant(0, DType::Int)});
  if (!not_above) clamped = b_.apply(Op::Min2, DType::Int, {clamped, b_.constant(axis.size - 1.0, DType::Int)});
  Index safe;
  safe.computed = clamped;
  return {safe, not_below ? high : not_above ? low : b_.apply(Op::And, DType::Bool, {low, high})};
}

/// Whether the index is inside the axis by what it is: a token below the vocabulary, an argmax.
bool FunctionLowering::always_inside(NodeId index, const Axis& axis) const {
  while (g_[index].op == Op::Rename || g_[index].op == Op::Slice) index = g_[index].inputs[0];
  return (g_[index].op == Op::Input && static_cast<int64_t>(axis.size) >= b_.options.vocabulary) ||
         (g_[index].op == Op::Argmax && g_[index].from[0].size <= axis.size);
}

/// Whether elements along the axes, in this order, are at equal distances in the value's buffer, and in that of its rounded copy.
bool FunctionLowering::lie_together(NodeId id, const Axes& axes) {
  if (axes.size() < 2) return true;
  const Axes& own = g_[id].axes;
  if (b_.is_view(id) && !stored_[id]) {  // where they lie is up to what it shows
    const Node& view = g_[id];
    if (view.op != Op::Rename && view.op != Op::Stop) return false;
    Axes there = axes;
    for (Axis& a : there) {
      if (const int at = index_of(view.to, a); view.op == Op::Rename && at >= 0) a = view.from[static_cast<size_t>(at)];
    }
    return lie_together(view.inputs[0], there);
  }
  const bool features = std::all_of(axes.begin(), axes.end(), [](const Axis& a) { return a.kind == AxisKind::Feature; });
  const bool in_order = std::is_sorted(axes.begin(), axes.end(), [&](const Axis& a, const Axis& b) { return index_of(own, a) < index_of(own, b); }) &&
                        index_of(own, axes.back()) - index_of(own, axes.front()) + 1 == static_cast<int>(axes.size());
  if (!(stored_[id] && this->own(id))) return features && in_order;
  if (!features && (!in_order || row_range || operand_copy_[id])) return false;
  const auto evenly = [&](NodeId value, bool bf16) {  // rows may be padded, and features in another order
    Buffer b = b_.program.buffers[buffer_of(value)];
    b.bf16 = bf16;
    lay_out(b);
    const auto stride = [&](const Axis& a) { return b.strides[static_cast<size_t>(index_of(b.axes, a))]; };
    for (size_t i = 1; i < axes.size(); ++i) {
      if (stride(axes[i - 1]) != stride(axes[i]) * axes[i].size) return false;
    }
    return true;
  };
  const NodeId copy = saved_as_[id];
  return evenly(id, false) && evenly(id, true) && (copy == kNoNode || evenly(copy, true));
}

ExprId FunctionLowering::compute(NodeId id, const Env& env) {
  const Node& n = g_[id];
  switch (n.op) {
    case Op::Constant:
      return b_.constant(n.value, n.dtype);
    case Op::Iota:
      return b_.counter(b_.scaled(env.at(n.axes[0]), 1, static_cast<int64_t>(n.value)));
    case Op::Literal:
      return b_.load(b_.literal(id), indices_of(b_.program.buffers[b_.literal(id)], env));
    case Op::Stop:
      return pull(n.inputs[0], env);
    case Op::Rename: {
      Env inner = env;
      for (size_t i = 0; i < n.from.size(); ++i) inner[n.from[i]] = env.at(n.to[i]);
      // an axis that is both given up and kept keeps its own index
      for (const Axis& a : g_[n.inputs[0]].axes) {
        if (index_of(n.from, a) < 0) inner[a] = env.at(a);
      }
      return pull(n.inputs[0], inner);
    }
    case Op::Slice: {
      Env inner = env;
      inner[n.from[0]] = b_.scaled(env.at(n.to[0]), n.ints[1], n.ints[0]);
      return pull(n.inputs[0], inner);
    }
    case Op::Reshape: {
      // where the axes `from` lie one after the other in memory, the flat index is an index of the last one
      Env inner = env;
      Index flat = ProgramBuilder::fixed(0);
      for (const Axis& a : n.to) flat = b_.sum(b_.scaled(flat, a.size, 0), env.at(a));
      if (lie_together(n.inputs[0], n.from)) {
        for (const Axis& a : n.from) inner[a] = ProgramBuilder::fixed(0);
        if (!n.from.empty()) inner[n.from.back()] = flat;
        return pull(n.inputs[0], inner);
      }
      int64_t below = 1;
      for (size_t i = n.from.size(); i-- > 0;) {
        ExprId digit = b_.counter(flat);
        if (below > 1) digit = b_.apply(Op::FloorDiv, DType::Int, {digit, b_.constant(static_cast<double>(below), DType::Int)});
        if (i > 0) digit = b_.apply(Op::Mod, DType::Int, {digit, b_.constant(n.from[i].size, DType::Int)});
        below *= n.from[i].size;
        Index at;
        at.computed = digit;
        inner[n.from[i]] = at;
      }
      return pull(n.inputs[0], inner);
    }
    case Op::Gather: {
      NodeId x = n.inputs[0], index = n.inputs[1];
      const Axis& axis = n.from[0];
      return read_at(x, env, axis, index_of_node(index, env), b_.constant(0, n.dtype), always_inside(index, axis));
    }
    case Op::Carry: {
      const Axis& axis = n.from[0];
      ExprId otherwise = n.inputs.size() > 1 ? pull(n.inputs[1], env) : b_.constant(0, n.dtype);
      return read_at(n.inputs[0], env, axis, b_.scaled(env.at(axis), 1, -n.ints[0]), otherwise, false);
    }
    case Op::Cumsum: {
      const Axis& axis = n.from[0];
      const int64_t step = n.ints[0] ? -1 : 1;
      Index before = b_.scaled(env.at(axis), 1, -step);
      ExprId zero = b_.constant(0, n.dtype);
      ExprId sum = read_at(id, env, axis, before, zero, false);
      ExprId value = n.ints[1] ? read_at(n.inputs[0], env, axis, before, zero, false) : pull(n.inputs[0], env);
      return b_.apply(Op::Add, n.dtype, {sum, value});
    }
    case Op::Random: {
      Expr e;
      e.kind = Expr::Kind::Random;
      e.text = n.text;
      Index flat = ProgramBuilder::fixed(0);
      for (const Axis& a : n.axes) {
        if (a.kind != AxisKind::Batch) flat = b_.sum(b_.scaled(flat, a.size, 0), env.at(a));
      }
      e.index = flat;
      return b_.expr(e);
    }
    default:
      break;
  }
  if (!is_elementwise(n.op)) {
    throw InternalError(fmt::format("{}: '{}' ({}) has no expression in '{}'", n.loc.str(), b_.name_of(id), op_name(n.op), name_));
  }
  std::vector<ExprId> args;
  for (NodeId input : n.inputs) args.push_back(pull(input, env));
  if (n.op == Op::ToReal && b_[args[0]].kind == Expr::Kind::Constant) return b_.constant(b_[args[0]].value, DType::Real);
  if (const std::optional<Index> index = affine(b_, n.op, n.dtype, args)) return b_.counter(*index);
  if (n.op == Op::Eq || n.op == Op::Ne || n.op == Op::Lt || n.op == Op::Le) return compare(b_, n.op, args[0], args[1]);
  return b_.apply(n.op, n.dtype, args);
}

}  // namespace cpuflow::passes::lower
