// Each stored value as loops of its own.
#include "codegen/abi/cache_lines.h"
#include "ir/diagnostics.h"
#include "passes/lower/function_lowering.h"

#include <fmt/format.h>

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

/// The affine index below clamps to the range of an axis of so many elements; a model's own min and max are none.
const Index* unclamped(const LoopProgram& p, const Index& index, int64_t size) {
  const Index* i = &index;
  while (i->computed != kNone && i->terms.empty() && i->offset == 0) {
    const Expr* e = &p.exprs[i->computed];
    while (e->kind == Expr::Kind::Apply && (e->op == Op::Max2 || e->op == Op::Min2)) {
      const Expr& end = p.exprs[e->args[1]];
      if (end.kind != Expr::Kind::Constant || end.value != (e->op == Op::Max2 ? 0.0 : static_cast<double>(size - 1))) return nullptr;
      e = &p.exprs[e->args[0]];
    }
    if (e->kind != Expr::Kind::Counter) return nullptr;
    i = &e->index;
  }
  return i->computed == kNone ? i : nullptr;
}

}  // namespace

std::optional<Axis> FunctionLowering::row_of(NodeId id, const Axes& over) const {
  if (int c = b_.position_cycle[id]; c >= 0) {
    for (NodeId m = 0; m < g_.size(); ++m) {
      if (b_.position_cycle[m] == c && g_[m].op == Op::Carry && g_[m].from[0].kind != AxisKind::Layer) return g_[m].from[0];
    }
  }
  if (g_[id].op == Op::Cumsum) return g_[id].from[0];
  for (const Axes* axes : {&g_[id].axes, &over}) {
    for (const Axis& a : *axes) {
      if (a.kind == AxisKind::Position) return a;
    }
  }
  return std::nullopt;
}

/// Whether a value of few numbers a position is read, or summed up, for many positions at once: its positions lie side by side then, for lanes to run along.
bool FunctionLowering::is_read_along_positions(NodeId id) const {
  const Node& n = g_[id];
  if (rate_ != Rate::Sequence || row_range || !b_.options.fuse || n.op == Op::Scatter || is_product(id)) return false;
  int positions = 0;
  uint64_t numbers = 1;
  for (const Axis& a : n.axes) {
    positions += a.kind == AxisKind::Position;
    if (a.kind == AxisKind::Feature) numbers *= a.size;
  }
  if (positions != 1 || numbers == 1 || numbers >= static_cast<uint64_t>(b_.options.lanes)) return false;
  bool along = n.op == Op::Sum && b_.position_cycle[id] < 0 && std::any_of(n.from.begin(), n.from.end(), [](const Axis& a) { return a.kind == AxisKind::Position; });
  for (NodeId u : users_[id]) {
    if (g_[u].op == Op::Rename) along = along || g_[u].from[0].kind == AxisKind::Position;
    else if (!is_elementwise(g_[u].op) && !is_reduction(g_[u].op) && !(g_[u].op == Op::Carry && g_[u].from[0].kind == AxisKind::Position)) return false;
    if (is_summed_as_product(u)) return false;
  }
  return along;
}

/// A product of matrices for each of some features has these outside of its columns, which lie side by side.
void FunctionLowering::order_columns(NodeId product) {
  const Node& n = g_[product];
  const NodeId* factors = g_[n.inputs[0]].inputs.data();
  const Axes* axes[] = {&g_[factors[0]].axes, &g_[factors[1]].axes};
  std::optional<Axis> columns;
  for (size_t side : {0, 1}) {
    const Axes &own = *axes[side], &other = *axes[1 - side];
    if (std::any_of(own.begin(), own.end(), [&](const Axis& a) { return a.kind == AxisKind::Position && !contains(other, a); })) continue;  // it has the rows
    for (const Axis& a : n.axes) {
      if (a.kind == AxisKind::Feature && contains(own, a) && !contains(other, a) && (!columns || a.size >= columns->size)) columns = a;
    }
  }
  if (!columns) return;
  for (const Axis& a : n.axes) {
    if (a.kind == AxisKind::Feature && contains(*axes[0], a) && contains(*axes[1], a) && *columns < a) swapped_.try_emplace({*columns, a}, true);
  }
}

/// Decides how two features lie in every value that has both: as products make them, or as in the first value that is read under these names.  A matrix that is read
/// transposed is copied row by row then, and its gradient lies as it does.  What products alone read is packed, whichever way it lies.
void FunctionLowering::order_features() {
  for (NodeId id = 0; id < g_.size(); ++id) {
    if (is_product(id)) order_columns(id);
  }
  for (NodeId id = 0; id < g_.size(); ++id) {
    const Node& n = g_[id];
    if (n.op != Op::Rename || std::all_of(users_[id].begin(), users_[id].end(), [&](NodeId u) { return is_summed_as_product(u); })) continue;
    Axes order = features_as_they_lie(n.inputs[0]);
    for (Axis& a : order) {
      if (const int i = index_of(n.from, a); i >= 0) a = n.to[static_cast<size_t>(i)];
    }
    for (auto outer = order.begin(); outer != order.end(); ++outer) {
      for (auto inner = outer + 1; inner != order.end(); ++inner) swapped_.try_emplace(std::minmax(*outer, *inner), *inner < *outer);
    }
  }
}

/// The features of a value, outermost first.
Axes FunctionLowering::features_as_they_lie(NodeId id) const {
  const bool flattened = std::any_of(users_[id].begin(), users_[id].end(), [&](NodeId u) { return g_[u].op == Op::Reshape && g_[u].from.size() > 1; });
  Axes out;
  for (const Axis& a : g_[id].axes) {
    if (a.kind != AxisKind::Feature) continue;
    const auto before = std::find_if(out.begin(), out.end(), [&](const Axis& placed) {
      const auto pair = swapped_.find({placed, a});
      return pair != swapped_.end() && pair->second;
    });
    out.insert(flattened || g_[id].op == Op::Param ? out.end() : before, a);
  }
  return out;
}

/// The buffer of a value that is computed here.
BufferId FunctionLowering::buffer_of(NodeId id) {
  const auto [it, fresh] = buffers_.try_emplace(id, kNone);
  if (fresh && id == logits) {
    it->second = b_.logits_place(id).buffer;
  } else if (fresh && rate_ <= Rate::Step) {
    it->second = b_.add_buffer(b_.value_buffer(id, Space::Shared));
  } else if (fresh) {
    Buffer buffer = b_.value_buffer(id, Space::Lane, is_read_along_positions(id));
    lower::order_features(buffer, features_as_they_lie(id));
    it->second = b_.add_buffer(std::move(buffer));
  }
  node_of_[it->second] = id;
  return it->second;
}

Place FunctionLowering::own_place(NodeId id) {
  for (const Target& t : targets) {
    if (t.node == id) return t.place;
  }
  const BufferId buffer = buffer_of(id);
  return {buffer, indices_of(b_.program.buffers[buffer], identity(g_[id].axes))};
}

bool FunctionLowering::in_scope(const Statement& s, const Axis& axis) const {
  if (is_batch(axis) || (s.row && *s.row == axis)) return true;
  int home = layer_home_[s.node];
  return axis.kind == AxisKind::Layer && home >= 0 && cycle_axis_.at(home) == axis;
}

Statement& FunctionLowering::start(NodeId id, const Axes& over) {
  Statement s;
  s.node = id;
  s.row = row_of(id, over);
  s.reduces_rows = s.row && !contains(g_[id].axes, *s.row);
  s.cycle = b_.position_cycle[id];
  statements_of_[id].push_back(statements_.size());
  statements_.push_back(std::move(s));
  return statements_.back();
}

void FunctionLowering::build_nest(Statement& s, const Axes& out, const Axes& over, ExprId value, Store::How how, Place place) {
  Axes loops, reduce;
  for (const Axis& a : out) {
    if (!in_scope(s, a)) loops.push_back(a);
  }
  for (const Axis& a : over) {
    if (!in_scope(s, a)) reduce.push_back(a);
  }
  const Buffer& buffer = b_.program.buffers[place.buffer];
  if (b_[value].dtype != DType::Real && buffer.dtype == DType::Real) value = b_.apply(Op::ToReal, DType::Real, {value});
  Step step;
  step.kind = Step::Kind::Nest;
  Store store;
  store.value = value;
  store.place = std::move(place);
  store.how = how;
  store.node = s.node;
  store.accumulate = buffer.space == Space::Grads || buffer.space == Space::Losses || s.reduces_rows;
  if (store.accumulate && store.how == Store::How::Set) store.how = Store::How::Sum;
  step.nest.stores.push_back(store);
  choose_lane(step.nest, loops, reduce);
  lay_in_lanes(step.nest);
  if (s.reduces_rows && buffer.space == Space::Lane) s.before.push_back(fill_step(step.nest.stores[0].place, neutral_element(how)));
  s.steps.push_back(std::move(step));
}

Place FunctionLowering::pack_operand(Statement& s, const Place& src, NodeId operand, const Axis& k, const Axis& n, bool in_tile, bool bf16) {
  Step step;
  step.kind = Step::Kind::Pack;
  step.pack.k = k;
  step.pack.n = n;
  step.pack.src = src;
  step.pack.bf16 = bf16;
  step.pack.node = s.node;
  const bool step_rate = b_.rate[operand] <= Rate::Step;
  const bool once = step_rate && rate_ != Rate::Step;  // packed by `prepare`, for all functions
  Axes vary;  // what the matrix depends on besides k and n
  for (const Index& i : src.indices) {
    for (const auto& [a, c] : i.terms) {
      if (a != k && a != n && !contains(vary, a) && (once || !in_scope(s, a))) vary.push_back(a);
    }
  }
  std::sort(vary.begin(), vary.end());
  const int64_t floats = panel_floats(b_.program, k.size, n.size, bf16);
  Buffer dst;
  dst.name = b_.program.buffers[src.buffer].name + (step_rate ? "_packed" : "_panels");
  dst.space = step_rate ? Space::Shared : Space::Lane;
  dst.axes = vary;
  dst.strides.resize(vary.size());
  dst.node = s.node;
  std::vector<Index> indices;
  int64_t stride = codegen::whole_cache_lines(floats);
  for (size_t i = vary.size(); i-- > 0;) {
    dst.strides[i] = stride;
    stride *= vary[i].size;
  }
  dst.floats = stride;
  for (const Axis& a : vary) indices.push_back(ProgramBuilder::variable(a));
  if (once) {
    for (const Step& p : b_.packs) {
      if (p.pack.src == src && p.pack.k == k && p.pack.n == n && p.pack.bf16 == bf16) return p.pack.dst;
    }
    step.pack.loops = vary;
    step.pack.dst = {b_.add_buffer(dst), indices};
    b_.packs.push_back(step);
    return step.pack.dst;
  }
  step.pack.loops = vary;
  step.pack.dst = {b_.add_buffer(dst), indices};
  (in_tile ? s.steps : s.before).push_back(step);
  return step.pack.dst;
}

/// Whether a product `rounds` its operands; the reason is explained where it does not.
bool FunctionLowering::takes_bf16(const Statement& s) {
  if (rounds(s.node)) return true;
  const auto exact = b_.float32.find(s.node);
  if (b_.options.bf16 && rate_ == Rate::Sequence && (s.cycle >= 0 || exact != b_.float32.end())) {
    decline(s.node, "multiplies float32 numbers: " + (s.cycle >= 0 ? std::string("rounding would add up in the state that it carries") : exact->second));
  }
  return false;
}

bool FunctionLowering::build_product(Statement& s) {
  const Node& n = g_[s.node];
  const Node& m = g_[n.inputs[0]];
  const Axes out = without_batch(n.axes), over = without_batch(n.from);
  if (over.empty()) return false;
  Place c = own_place(s.node);
  auto c_stride = [&](const Axis& a) { return stride_along(b_.program, c, a); };
  auto row = s.row;
  std::string why = "the axes do not make a product of matrices";
  auto refuse = [&](const std::string& reason) {
    decline(s.node, "runs as loops, not as a product of matrices: " + reason);
    return false;
  };
  for (int turn = 0; turn < 2; ++turn) {
    NodeId x = m.inputs[turn], y = m.inputs[1 - turn];
    const Axes xa = without_batch(g_[x].axes), ya = without_batch(g_[y].axes);
    if (row && contains(out, *row) && !contains(xa, *row)) continue;
    Product p;
    p.node = s.node;
    std::optional<Axis> pm, pn, pk;
    for (const Axis& a : out) {
      if (a.kind == AxisKind::Layer) continue;
      if (contains(xa, a) && !contains(ya, a)) {
        if (!pm || (row && a == *row) || (a.size > pm->size && !(row && *pm == *row))) pm = a;
      } else if (contains(ya, a) && !contains(xa, a)) {
        if (c_stride(a) == 1) pn = a;
      }
    }
    for (const Axis& a : over) {
      if (!pk || (row && a == *row) || (a.size > pk->size && !(row && *pk == *row))) pk = a;
    }
    if (!pm || !pn || !pk) continue;
    const bool each_row = row && contains(out, *row) && contains(xa, *row) && contains(ya, *row);
    if (row && s.cycle < 0 && !each_row && *row != *pm && *row != *pk) continue;
    const bool rounded = rounds(s.node);
    ExprId ea = pull_operand(x, rounded), eb = pull_operand(y, rounded);
    if (b_[ea].kind != Expr::Kind::Load || b_[eb].kind != Expr::Kind::Load) return refuse("a factor is computed where it is read, and has no matrix in memory");
    Place a = b_[ea].place, b = b_[eb].place;
    if (!is_affine(a) || !is_affine(b)) return refuse("a factor is read at computed places");
    if (stride_along(b_.program, a, *pk) != 1 && stride_along(b_.program, a, *pm) != 1) {
      why = "no axis of the left factor is contiguous";
      continue;
    }
    p.bf16 = takes_bf16(s);
    const bool k_rows = row && *pk == *row;
    bool in_tile = false;
    if (k_rows) {
      // storing an operand that is no larger than the result costs less than another pass over the result
      const int64_t held = std::max(b_.options.large_floats, static_cast<int64_t>(pm->size) * pn->size);
      for (const Place* operand : {&a, &b}) {
        const Buffer& buffer = b_.program.buffers[operand->buffer];
        int64_t elements = 1;
        for (const Axis& ax : buffer.axes) elements *= ax.kind == AxisKind::Layer ? 1 : ax.size;
        in_tile = in_tile || ((p.bf16 ? elements / 2 : elements) > held && buffer.space == Space::Lane);
      }
      if (!in_tile) s.row.reset();  // over all rows at once: the inner axis is as long as it can be
      s.reduces_rows = in_tile;
    }
    p.m = *pm;
    p.n = *pn;
    p.k = *pk;
    p.a = a;
    p.c = c;
    for (const Axis& ax : out) {
      if (ax != *pm && ax != *pn && !in_scope(s, ax)) p.loops.push_back(ax);
    }
    bool more_k = false;
    for (const Axis& ax : over) {
      if (ax != *pk && !in_scope(s, ax)) p.loops.push_back(ax), more_k = true;
    }
    const Space space = b_.program.buffers[c.buffer].space;
    p.accumulate = space == Space::Grads || space == Space::Losses || s.reduces_rows || more_k;
    if (p.accumulate && space != Space::Grads && space != Space::Losses) (s.reduces_rows || s.cycle >= 0 ? s.before : s.steps).push_back(fill_step(c));
    p.b = pack_operand(s, b, y, *pk, *pn, k_rows || each_row, p.bf16);
    s.whole_tile = s.row && s.cycle < 0 && !each_row;
    Step step;
    step.kind = Step::Kind::Product;
    step.product = p;
    s.steps.push_back(step);
    return true;
  }
  return refuse(why);
}

void FunctionLowering::build_choose(Statement& s) {
  const Node& n = g_[s.node];
  Choose c;
  c.op = n.op;
  c.axis = n.from[0];
  c.k = n.op == Op::TopkMask ? n.ints[0] : 1;
  c.node = s.node;
  ExprId src = pull_operand(n.inputs[0]);
  if (b_[src].kind != Expr::Kind::Load) throw InternalError(n.loc.str() + ": the values to choose from are not stored");
  c.src = b_[src].place;
  c.dst = own_place(s.node);
  for (const Axis& a : without_batch(n.axes)) {
    if (a != c.axis && !in_scope(s, a)) c.loops.push_back(a);
  }
  Step step;
  step.kind = Step::Kind::Choose;
  step.choose = c;
  s.steps.push_back(step);
}

/// out[.., index, ..] += x, for every element of x.
void FunctionLowering::build_scatter(Statement& s) {
  const Node& n = g_[s.node];
  const Node &x = g_[n.inputs[0]], &index = g_[n.inputs[1]];
  Env env = identity(union_of(x.axes, index.axes));
  ExprId value = pull(n.inputs[0], env);
  Index at = index_of_node(n.inputs[1], env);
  // rows of x are added to any rows of the result
  if (s.row && *s.row == n.to[0] && !contains(x.axes, *s.row)) {
    const auto row = std::find_if(n.from.begin(), n.from.end(), [](const Axis& a) { return a.kind == AxisKind::Position; });
    s.row = row == n.from.end() ? std::nullopt : std::optional<Axis>(*row);
  }
  if (!always_inside(n.inputs[1], n.to[0])) {
    const Bounded bounded = bound(at, n.to[0]);
    at = bounded.index;
    if (bounded.condition != kNone) value = b_.apply(Op::Select, n.dtype, {bounded.condition, value, b_.constant(0, n.dtype)});
  }
  Place place = own_place(s.node);
  // the target's indices speak of the scatter's axes: those of x keep their loops, the scattered one is computed
  for (Index& i : place.indices) {
    if (i.along(n.to[0]) == 1 && i.terms.size() == 1 && i.offset == 0) i = at;
  }
  Axes loops;
  for (const Axis& a : union_of(x.axes, index.axes)) {
    if (!is_batch(a)) loops.push_back(a);
  }
  s.reduces_rows = s.row && contains(n.from, *s.row);
  const Space space = b_.program.buffers[place.buffer].space;
  build_nest(s, loops, {}, value, Store::How::Sum, place);
  Store& store = s.steps.back().nest.stores[0];
  store.accumulate = true;
  if (const std::optional<Nonzeros> some = nonzeros_of(n.inputs[0])) visit_nonzeros(s.steps.back().nest, *some);
  if (space == Space::Lane && s.before.empty()) s.before.push_back(fill_step(own_place(s.node)));
}

/// a * (b where c, else 0) as (a * b where c, else 0): what the condition excludes is not multiplied, as it need not be finite.
ExprId FunctionLowering::condition_outside(ExprId id) {
  const Expr e = b_[id];
  if (e.kind != Expr::Kind::Apply || e.op != Op::Mul || e.dtype != DType::Real) return id;
  ExprId args[2] = {condition_outside(e.args[0]), condition_outside(e.args[1])};
  for (int i = 0; i < 2; ++i) {
    const Expr x = b_[args[i]];
    if (x.kind != Expr::Kind::Apply || x.op != Op::Select) continue;
    const Expr otherwise = b_[x.args[2]];
    if (otherwise.kind != Expr::Kind::Constant || otherwise.value != 0) continue;
    ExprId inner[2] = {i == 0 ? x.args[1] : args[0], i == 0 ? args[1] : x.args[1]};
    ExprId product = condition_outside(b_.apply(Op::Mul, DType::Real, {inner[0], inner[1]}));
    return b_.apply(Op::Select, DType::Real, {x.args[0], product, x.args[2]});
  }
  return id;
}

void FunctionLowering::build(NodeId id) {
  const Node& n = g_[id];
  switch (n.op) {
    case Op::Sum:
    case Op::Max:
    case Op::Min:
    case Op::Prod: {
      Axes over = without_batch(n.from);
      Statement& s = start(id, over);
      if (build_sum_of_few(s) || (is_product(id) && build_product(s))) return;
      s.steps.clear();
      s.before.clear();
      ExprId value = condition_outside(pull(n.inputs[0], identity(g_[n.inputs[0]].axes)));
      if (const std::optional<Axis> made = row_of(n.inputs[0], {}); n.op == Op::Sum && is_read_along_positions(id) && made && contains(over, *made)) {
        s.row = made;  // a row of terms is added to all sums where it is made
        s.reduces_rows = true;
      }
      build_nest(s, without_batch(n.axes), over, value, how_of(n.op), own_place(id));
      return;
    }
    case Op::Argmax:
    case Op::TopkMask:
      build_choose(start(id, {}));
      return;
    case Op::Scatter:
      build_scatter(start(id, without_batch(n.from)));
      return;
    case Op::Concat: {
      int64_t offset = 0;
      for (size_t i = 0; i < n.inputs.size(); ++i) {
        Axes out = without_batch(n.axes);
        Env env = identity(n.axes);
        env[n.from[i]] = ProgramBuilder::variable(n.from[i]);
        for (Axis& a : out) {
          if (a == n.to[0]) a = n.from[i];
        }
        Place place = own_place(id);
        for (Index& index : place.indices) {
          if (index.along(n.to[0]) != 0) index = b_.scaled(ProgramBuilder::variable(n.from[i]), 1, offset);
        }
        Statement& s = start(id, {});
        if (n.to[0].kind == AxisKind::Position) {  // the rows of each part are rows of their own
          s.row = n.from[i].kind == AxisKind::Position ? std::optional<Axis>(n.from[i]) : std::nullopt;
          s.reduces_rows = false;
        }
        build_nest(s, out, {}, pull(n.inputs[i], env), Store::How::Set, place);
        offset += n.from[i].size;
      }
      return;
    }
    default: {
      Statement& s = start(id, {});
      build_nest(s, without_batch(n.axes), {}, compute(id, identity(n.axes)), Store::How::Set, own_place(id));
      return;
    }
  }
}

void FunctionLowering::build_statements() {
  for (NodeId id = 0; id < g_.size(); ++id) {
    if (!stored_[id] || !needed_[id]) continue;
    const bool root = std::find(roots.begin(), roots.end(), id) != roots.end();
    if (!own(id) && !root) continue;
    if (rate_ == Rate::Final && ready(id)) continue;
    build(id);
    set_reaches(statements_.back());
  }
  for (const Target& t : copies) {
    ExprId value = pull(t.node, identity(g_[t.node].axes));
    Statement s;
    s.node = t.node;
    s.row = row_of(t.node, {});
    build_nest(s, without_batch(g_[t.node].axes), {}, value, Store::How::Set, t.place);
    statements_.push_back(std::move(s));
  }
  for (Statement& s : statements_) find_reads(s);
}

void FunctionLowering::find_reads(Statement& s) {
  for (const std::vector<Step>* steps : {&s.before, &s.steps}) {
    for (const Step& step : *steps) {
      for_each_place(b_.program, step, [&](const Place& p, Access access) {
        if (!writes(access)) add_read(s, p, steps == &s.before);
      });
    }
  }
}

void FunctionLowering::add_read(Statement& s, const Place& place, bool whole) {
  auto it = node_of_.find(place.buffer);
  if (it == node_of_.end()) return;
  const Buffer& b = b_.program.buffers[place.buffer];
  Read r;
  r.node = it->second;
  r.how = Read::How::AnyRow;
  r.same_element = true;
  for (size_t d = 0; d < b.axes.size(); ++d) {
    if (s.row && !whole && b.axes[d] == *s.row) {
      const Index* i = unclamped(b_.program, place.indices[d], b.axes[d].size);
      if (i && i->along(*s.row) == 1) {
        Index rest = *i;
        std::erase_if(rest.terms, [&](const auto& term) { return term.first == *s.row; });
        const auto [low, high] = rest.affine_range();
        if (low == 0 && high == 0) r.how = Read::How::SameRow;
        else if (high < 0 || (high == 0 && s.cycle < 0)) r.how = Read::How::EarlierRow, r.distance = -low;
        else if (low > 0 || (low == 0 && s.cycle < 0)) r.how = Read::How::LaterRow, r.distance = high;
      }
    }
    if (s.row && !whole && *s.row != b.axes[d] && ranged(b.axes[d]) && b.axes[d].size == s.row->size) r.same_position = place.indices[d] == ProgramBuilder::variable(*s.row);
    if (b.axes[d].kind == AxisKind::Layer && place.indices[d] != ProgramBuilder::variable(b.axes[d])) {
      r.same_layer = false;
      if (const Index* i = unclamped(b_.program, place.indices[d], b.axes[d].size); i && i->terms.empty()) r.layer = i->offset;
      else if (i && i->terms.size() == 1 && i->along(b.axes[d]) == 1) r.layers_later = i->offset;
    }
    r.same_element = r.same_element && (b.axes[d].kind == AxisKind::Layer || place.indices[d] == ProgramBuilder::variable(b.axes[d]));
  }
  s.reads.push_back(r);
  if (r.how != Read::How::SameRow && r.how != Read::How::AnyRow) {
    const bool own_cycle = r.node == s.node || (s.cycle >= 0 && b_.position_cycle[r.node] == s.cycle);
    if (own_cycle) s.direction = r.how == Read::How::EarlierRow ? 1 : -1;
  }
}

}  // namespace cpuflow::passes::lower
