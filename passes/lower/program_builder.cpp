#include "passes/lower/program_builder.h"

#include "codegen/abi/cache_lines.h"
#include "ir/diagnostics.h"
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace cpuflow::passes::lower {
using namespace ir;

int64_t padded_row(int64_t floats) { return floats < 64 ? floats : codegen::odd_cache_lines(floats); }

void lay_out(Buffer& b) {
  const auto row = std::find_if(b.axes.begin(), b.axes.end(), [](const Axis& a) { return a.kind == AxisKind::Position; }) - b.axes.begin();
  b.strides.resize(b.axes.size());
  int64_t stride = 1;
  bool cut = false;  // there are rows of features inside
  for (size_t i = b.axes.size(); i-- > 0;) {
    if (static_cast<ptrdiff_t>(i) == row && stride > 1 && !cut) stride = b.bf16 ? 2 * padded_row((stride + 1) / 2) : padded_row(stride);
    b.strides[i] = stride;
    cut = cut || (b.axes[i].kind == AxisKind::Position && stride > 1);
    stride *= b.axes[i].size;
  }
  b.floats = floats_of(b, stride);
}

Axes without_batch(const Axes& axes) {
  Axes out = axes;
  std::erase_if(out, is_batch);
  return out;
}

bool is_affine(const Place& place) {
  return std::all_of(place.indices.begin(), place.indices.end(), [](const Index& i) { return i.computed == kNone; });
}

Step fill_step(Place place, double value) {
  Step step;
  step.kind = Step::Kind::Fill;
  step.fill.place = std::move(place);
  step.fill.value = value;
  return step;
}

bool op_is_costly(Op op) {
  switch (op) {
    case Op::Div:
    case Op::Pow:
    case Op::Exp:
    case Op::Log:
    case Op::Sqrt:
    case Op::Tanh:
    case Op::Sigmoid:
    case Op::Erf:
    case Op::Softplus:
    case Op::Sin:
    case Op::Cos:
      return true;
    default:
      return false;
  }
}

ProgramBuilder::ProgramBuilder(const Graph& g, const LowerOptions& o) : graph(g), options(o) {
  program.panel = 2 * o.lanes;
  layer_cycle = cycles(g, [](const Node&) { return false; });
  position_cycle = cycles(g, [](const Node& n) { return n.from[0].kind == AxisKind::Layer; });
  std::set<int> layered;
  for (NodeId n = 0; n < g.size(); ++n) {
    if (layer_cycle[n] >= 0 && g[n].op == Op::Carry && g[n].from[0].kind == AxisKind::Layer) layered.insert(layer_cycle[n]);
  }
  for (int& c : layer_cycle) {
    if (!layered.count(c)) c = -1;
  }
  users_ = users_of(graph);
  find_rates();
  if (options.bf16) float32 = float32_products(g, options.terms_at_once);
}

bool ProgramBuilder::is_accumulator(NodeId id) const {
  const Node& n = graph[id];
  if (n.from.empty() || (!is_reduction(n.op) && n.op != Op::Scatter)) return false;
  return has_batch(n.from);
}

/// A rank orders what must be known first: static and step values, then sequences, a sum over them, sequences that read it, and so on.
void ProgramBuilder::find_rates() {
  constexpr int kStep = 1, kSequence = 2;  // sequences of stage s: 2 + 2 s; sums over them: 3 + 2 s
  std::vector<int> rank(graph.size(), 0);
  for (bool changed = true; changed;) {  // carries read later values: repeat until nothing changes
    changed = false;
    for (NodeId id = 0; id < graph.size(); ++id) {
      const Node& n = graph[id];
      const bool which_sequence = n.op == Op::Iota && n.axes[0].kind == AxisKind::Batch;
      int r = n.op == Op::Param ? kStep : n.op == Op::Input || n.op == Op::Random || which_sequence ? kSequence : 0;
      for (NodeId i : n.inputs) r = std::max(r, rank[i]);
      if (n.op == Op::Carry && n.inputs[0] > id) r = std::max(r, kStep);  // a recurrence of constants is stepped, not written out
      const bool sums = r >= kSequence && r % 2 == 1;
      if (is_accumulator(id)) {
        if (n.op != Op::Sum && n.op != Op::Scatter) throw ModelError(n.loc.str() + ": error: only sums and means may run over the sequences of a micro-batch");
        r = std::max(r, kSequence) + (sums ? 0 : 1);
      } else if (has_batch(n.from)) {
        throw ModelError(n.loc.str() + ": error: this reads another sequence of the batch; only sums and means may run over sequences");
      } else if (sums && has_batch(n.axes)) {
        ++r;
      }
      if (r > rank[id]) rank[id] = r, changed = true;
      if (r > 2 * static_cast<int>(graph.size()) + 4) {
        throw ModelError(n.loc.str() + ": error: a recurrence runs through a sum over the sequences of a micro-batch; such a sum is known after all of them only");
      }
    }
  }
  rate.assign(graph.size(), Rate::Static);
  stage.assign(graph.size(), 0);
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (rank[id] < kSequence) {
      rate[id] = rank[id] == kStep ? Rate::Step : Rate::Static;
    } else {
      rate[id] = rank[id] % 2 == 0 ? Rate::Sequence : Rate::Final;
      stage[id] = (rank[id] - kSequence) / 2;
    }
  }
}

ExprId ProgramBuilder::expr(Expr e) {
  std::pair key{std::bit_cast<uint64_t>(e.value), e};  // NaN is neither smaller nor larger than any number: bits are
  key.second.value = 0;
  auto [it, fresh] = interned_.try_emplace(std::move(key), static_cast<ExprId>(program.exprs.size()));
  if (fresh) program.exprs.push_back(std::move(e));
  return it->second;
}

ExprId ProgramBuilder::constant(double v, DType dtype) {
  Expr e;
  e.kind = Expr::Kind::Constant;
  e.dtype = dtype;
  e.value = v;
  return expr(e);
}

ExprId ProgramBuilder::apply(Op op, DType dtype, std::vector<ExprId> args) {
  Expr e;
  e.kind = Expr::Kind::Apply;
  e.dtype = dtype;
  e.op = op;
  e.args = std::move(args);
  return expr(e);
}

ExprId ProgramBuilder::changed(ExprId id, const std::function<void(Expr&)>& change) {
  std::map<ExprId, ExprId> done;
  const std::function<void(ExprId&)> copy = [&](ExprId& part) {
    if (part == kNone) return;
    if (const auto known = done.find(part); known != done.end()) {
      part = known->second;
      return;
    }
    Expr e = program.exprs[part];
    for (ExprId& arg : e.args) copy(arg);
    for (Index& i : e.place.indices) copy(i.computed);
    copy(e.index.computed);
    change(e);
    part = done[part] = expr(std::move(e));
  };
  copy(id);
  return id;
}

ExprId ProgramBuilder::counter(const Index& index) {
  if (index.terms.empty() && index.computed == kNone) return constant(static_cast<double>(index.offset), DType::Int);
  if (index.computed != kNone && index.terms.empty() && index.offset == 0) return index.computed;
  Expr e;
  e.kind = Expr::Kind::Counter;
  e.dtype = DType::Int;
  e.index = index;
  return expr(e);
}

ExprId ProgramBuilder::load(BufferId buffer, std::vector<Index> indices) {
  Expr e;
  e.kind = Expr::Kind::Load;
  e.dtype = program.buffers[buffer].dtype;
  e.place = {buffer, std::move(indices)};
  return expr(e);
}

Index ProgramBuilder::variable(const Axis& axis) { return {{{axis, 1}}, 0, kNone}; }
Index ProgramBuilder::fixed(int64_t value) { return {{}, value, kNone}; }

Index ProgramBuilder::scaled(const Index& index, int64_t stride, int64_t offset) {
  Index out;
  out.offset = index.offset * stride + offset;
  if (stride != 0) {
    for (auto [a, c] : index.terms) out.terms.emplace_back(a, c * stride);
    if (index.computed != kNone) {
      out.computed = stride == 1 ? index.computed
                                 : apply(Op::Mul, DType::Int, {index.computed, constant(static_cast<double>(stride), DType::Int)});
    }
  }
  return out;
}

Index ProgramBuilder::sum(const Index& a, const Index& b) {
  std::map<Axis, int64_t> terms;
  for (auto [x, c] : a.terms) terms[x] += c;
  for (auto [x, c] : b.terms) terms[x] += c;
  Index out;
  out.offset = a.offset + b.offset;
  for (auto [x, c] : terms) {
    if (c != 0) out.terms.emplace_back(x, c);
  }
  out.computed = a.computed == kNone ? b.computed
                 : b.computed == kNone ? a.computed : apply(Op::Add, DType::Int, {a.computed, b.computed});
  return out;
}

BufferId ProgramBuilder::add_buffer(Buffer b) {
  program.buffers.push_back(std::move(b));
  return static_cast<BufferId>(program.buffers.size() - 1);
}

std::string ProgramBuilder::name_of(NodeId id) const {
  const Node& n = graph[id];
  if (n.op == Op::Saved) return name_of(n.inputs[0]) + "_saved";
  return !n.name.empty() ? n.name : !n.text.empty() ? n.text : op_name(n.op);
}

std::string ProgramBuilder::purpose_of(NodeId id) const {
  std::vector<NodeId> open{id};
  std::set<NodeId> seen{id};
  for (size_t i = 0; i < open.size(); ++i) {
    const NodeId n = open[i];
    if (!graph[n].name.empty()) return graph[n].name;
    for (const Output& o : graph.outputs) {
      if (o.node == n) return o.name;
    }
    for (NodeId user : users_[n]) {
      if (seen.insert(user).second) open.push_back(user);
    }
  }
  return "";
}

BufferId ProgramBuilder::param(NodeId id) {
  const Node& n = graph[id];
  auto [it, fresh] = by_key_.try_emplace("param " + std::to_string(id), 0);
  if (!fresh) return it->second;
  auto place = options.params.find(n.text);
  if (place == options.params.end()) throw InternalError("no place for parameter " + n.text);
  Buffer b;
  b.name = n.text;
  b.space = Space::Params;
  b.axes = n.axes;
  b.node = id;
  b.offset = static_cast<int64_t>(place->second.offset);
  b.strides.resize(b.axes.size());
  int64_t stride = 1;
  for (size_t i = b.axes.size(); i-- > 0;) {
    b.strides[i] = b.axes[i].kind == AxisKind::Layer ? place->second.layer_stride : stride;
    if (b.axes[i].kind != AxisKind::Layer) stride *= b.axes[i].size;
  }
  b.floats = stride;
  return it->second = add_buffer(b);
}

BufferId ProgramBuilder::input(NodeId id) {
  const Node& n = graph[id];
  auto [it, fresh] = by_key_.try_emplace("input " + n.text, 0);
  if (!fresh) return it->second;
  Buffer b;
  b.name = n.text;
  b.space = n.text == "tokens" ? Space::Tokens : Space::Targets;
  b.dtype = DType::Int;
  for (const Axis& a : n.axes) {
    if (a.kind != AxisKind::Batch) b.axes.push_back(a);
  }
  b.strides = {1};
  b.floats = static_cast<int64_t>(element_count(b.axes));
  return it->second = add_buffer(b);
}

BufferId ProgramBuilder::literal(NodeId id) {
  auto [it, fresh] = by_key_.try_emplace("literal " + std::to_string(id), 0);
  if (!fresh) return it->second;
  const Node& n = graph[id];
  Buffer b;
  b.name = name_of(id);
  b.space = Space::Literal;
  b.dtype = n.dtype;
  b.axes = n.axes;
  b.strides = {1};
  b.values = n.values;
  b.floats = static_cast<int64_t>(n.values.size());
  return it->second = add_buffer(b);
}

Buffer ProgramBuilder::value_buffer(NodeId id, Space space, bool positions_last) const {
  const Node& n = graph[id];
  Buffer b;
  b.name = name_of(id);
  b.space = space;
  b.dtype = n.op == Op::Argmax ? DType::Int : DType::Real;  // counts and conditions are kept as floats
  b.node = id;
  // layers, rows, features, and other positions innermost: what a row is used for lies together.  A row is a position, or a chunk and a
  // position in it
  Axes others;
  int rows = 0;
  for (const Axis& a : n.axes) {
    if (a.kind == AxisKind::Batch) continue;
    const bool position = a.kind == AxisKind::Position;
    if (position && (positions_last || rows > (is_split(a) ? 1 : 0))) {
      others.push_back(a);
    } else {
      rows += position;
      b.axes.push_back(a);
    }
  }
  b.axes.insert(b.axes.end(), others.begin(), others.end());
  lay_out(b);
  return b;
}

BufferId ProgramBuilder::shared_value(NodeId id, const Axes& features) {
  auto [it, fresh] = by_key_.try_emplace("shared " + std::to_string(id), 0);
  if (!fresh) return it->second;
  step_values.insert(id);
  Buffer buffer = value_buffer(id, Space::Shared);
  if (!is_flattened(id)) order_features(buffer, features);
  return by_key_["shared " + std::to_string(id)] = add_buffer(std::move(buffer));
}

void order_features(Buffer& buffer, const Axes& features) {
  if (features.empty()) return;
  auto next = features.begin();
  for (Axis& a : buffer.axes) {
    if (a.kind == AxisKind::Feature) a = *next++;
  }
  lay_out(buffer);
}

void turn_innermost(Buffer& buffer, Place& place, const Axis& axis) {
  const auto at = std::find(place.indices.begin(), place.indices.end(), ProgramBuilder::variable(axis)) - place.indices.begin();
  std::rotate(buffer.axes.begin() + at, buffer.axes.begin() + at + 1, buffer.axes.end());
  std::rotate(place.indices.begin() + at, place.indices.begin() + at + 1, place.indices.end());
  lay_out(buffer);
}

Place ProgramBuilder::in_transposed(const Place& place, const Axis& axis) {
  Buffer copy = program.buffers[place.buffer];
  Store store;
  store.node = copy.node;
  Place everywhere{place.buffer, {}};
  for (const Axis& a : copy.axes) everywhere.indices.push_back(variable(a));
  store.value = load(place.buffer, everywhere.indices);
  Place there = place;
  turn_innermost(copy, there, axis);
  std::string key = fmt::format("transposed {}", place.buffer);
  for (const Axis& a : copy.axes) key += fmt::format(" {}", index_of(program.buffers[place.buffer].axes, a));
  const auto [known, fresh] = by_key_.try_emplace(key, 0);
  if (fresh) {
    copy.name += "_transposed";
    copy.space = Space::Shared;
    Step step;
    step.kind = Step::Kind::Nest;
    step.nest.loops = copy.axes;
    step.nest.reduced = copy.axes.size();
    step.nest.lane = static_cast<int>(copy.axes.size()) - 1;
    for (const Axis& a : copy.axes) store.place.indices.push_back(variable(a));
    store.place.buffer = known->second = add_buffer(std::move(copy));
    step.nest.stores.push_back(std::move(store));
    packs.push_back(std::move(step));
  }
  there.buffer = known->second;
  return there;
}

Place ProgramBuilder::logits_place(NodeId id) {
  Buffer b = value_buffer(id, Space::Out);
  int64_t stride = 1;
  for (size_t i = b.axes.size(); i-- > 0;) b.strides[i] = stride, stride *= b.axes[i].size;
  Place place;
  for (const Axis& a : b.axes) place.indices.push_back(variable(a));
  place.buffer = add_buffer(b);
  return place;
}

BufferId ProgramBuilder::accumulator(NodeId id, Space space) {
  if (auto it = accumulators.find(id); it != accumulators.end()) return it->second;
  return accumulators[id] = add_buffer(value_buffer(id, space));
}

bool ProgramBuilder::is_view(NodeId id) const {
  switch (graph[id].op) {
    case Op::Rename:
    case Op::Slice:
    case Op::Reshape:
    case Op::Stop:
      return true;
    default:
      return false;
  }
}

bool ProgramBuilder::is_flattened(NodeId id) const {
  return std::any_of(users_[id].begin(), users_[id].end(), [&](NodeId u) { return is_view(u) && ((graph[u].op == Op::Reshape && graph[u].from.size() > 1) || is_flattened(u)); });
}

bool ProgramBuilder::is_spread(NodeId id) const {
  const Node& n = graph[id];
  if (rate[id] != Rate::Step || n.dtype != DType::Real || !options.is_large(n.axes)) return false;
  if (n.op == Op::Gather) return rate[n.inputs[1]] == Rate::Static;
  return is_zero_else(graph, id) && rate[n.inputs[0]] == Rate::Static && is_spread(n.inputs[1]);
}

}  // namespace cpuflow::passes::lower
