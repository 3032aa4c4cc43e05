// Which values have loops and a buffer of their own; the others are computed where they are read.
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"
#include "passes/lower/function_lowering.h"

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

constexpr uint64_t kMany = 16;  // so many times as much is another order of work

}  // namespace

bool FunctionLowering::trivial(NodeId id) const {
  const Node& n = g_[id];
  return b_.is_view(id) || n.op == Op::ToReal || n.op == Op::Iota || n.op == Op::Constant || n.op == Op::Literal || n.op == Op::Param ||
         n.op == Op::Input || n.op == Op::Carry || n.dtype != DType::Real;
}

NodeId FunctionLowering::strip_views(NodeId id) const {
  while (b_.is_view(id) && !stored_[id]) id = g_[id].inputs[0];
  return id;
}

bool FunctionLowering::is_product(NodeId id) const {
  const Node& n = g_[id];
  if (n.op != Op::Sum || n.dtype != DType::Real) return false;
  const Node& m = g_[n.inputs[0]];
  if (m.op != Op::Mul) return false;
  const Axes &a = g_[m.inputs[0]].axes, &b = g_[m.inputs[1]].axes;
  auto of_batch_or_layer = [](const Axis& x) { return x.kind == AxisKind::Batch || x.kind == AxisKind::Layer; };
  uint64_t k = 1, only_a = 1, only_b = 1;
  bool rows = false;  // both factors have rows
  for (const Axis& x : n.from) {
    if (of_batch_or_layer(x)) {
      if (x.kind == AxisKind::Layer) return false;
      continue;
    }
    if (!contains(a, x) || !contains(b, x)) return false;
    k *= x.size;
  }
  for (const Axis& x : n.axes) {
    if (of_batch_or_layer(x)) continue;
    bool in_a = contains(a, x), in_b = contains(b, x);
    rows = rows || (in_a && in_b && x.kind == AxisKind::Position);
    if (in_a && !in_b) only_a *= x.size;
    if (in_b && !in_a) only_b *= x.size;
  }
  const uint64_t narrow = rows ? 7 : 1;  // a matrix of each row must be worth it
  return k * only_a * only_b >= 64 && std::min(only_a, only_b) > narrow;
}

bool FunctionLowering::is_summed_as_product(NodeId id) const { return g_[id].op == Op::Mul && users_[id].size() == 1 && is_product(users_[id][0]); }

/// The multiplication in a sum of what a condition leaves few of; kNoNode if there is none.
NodeId FunctionLowering::chosen_terms(NodeId sum) const {
  const NodeId summed = g_[sum].op == Op::Sum ? g_[sum].inputs[0] : kNoNode;
  if (summed == kNoNode || !is_zero_else(g_, summed) || g_[g_[summed].inputs[1]].op != Op::Mul) return kNoNode;
  return few_terms(g_, summed, b_.options.terms_at_once) ? g_[summed].inputs[1] : kNoNode;
}

/// Whether a value is a part of such a sum, and of nothing else.
bool FunctionLowering::is_chosen_term(NodeId id) const {
  if (users_[id].size() != 1) return false;
  const NodeId user = users_[id][0];
  return chosen_terms(user) != kNoNode || (users_[user].size() == 1 && chosen_terms(users_[user][0]) == id);
}

/// Whether reading the value again costs about what a load of it would: at most `operations` cheap ones on values that are stored anyway, in
/// the same loop over layers if in any (held for all layers if at all), or on what the layer before left, and on numbers that are the same
/// for many of its elements.  What a state decays to is read as the state of the row before.
bool FunctionLowering::cheap_again(NodeId id, int operations) const {
  const Node& n = g_[id];
  if (!is_elementwise(n.op) || op_is_costly(n.op) || operations == 0) return false;
  int wide = 0, from_layer_before = 0;
  for (NodeId i : n.inputs) {
    const NodeId base = strip_views(i);
    const Node& m = g_[base];
    if (m.op == Op::Param || m.op == Op::Constant || !own(base)) continue;
    if (b_.layer_cycle[base] != b_.layer_cycle[id]) return false;
    const bool narrow = element_count(m.axes) * kMany <= element_count(n.axes);
    wide += !narrow;
    const bool decays = n.op == Op::Mul && m.op == Op::Carry && m.inputs.size() == 1 && m.from[0].kind == AxisKind::Position;
    if (stored_[base] || (decays && stored_[m.inputs[0]])) continue;
    if (m.op == Op::Carry && m.from[0].kind == AxisKind::Layer && stored_[m.inputs[0]]) ++from_layer_before;
    else if (!cheap_again(base, narrow ? operations : operations - 1)) return false;
  }
  return from_layer_before == 0 || wide == 1;  // else what it is added to would be kept instead
}

/// Whether a costly value is computed of few numbers, each for many of its elements: memory takes longer than computing it where it is read again, for another
/// row of a state or for its gradient.
bool FunctionLowering::of_few_numbers(NodeId id) const {
  const uint64_t most = element_count(g_[id].axes) / kMany;
  std::vector<NodeId> open{id};
  for (int operations = 0; !open.empty(); ++operations) {
    const Node& n = g_[open.back()];
    open.pop_back();
    if (!is_elementwise(n.op) || operations > 2 || (operations > 0 && op_is_costly(n.op))) return false;
    for (NodeId i : n.inputs) {
      const NodeId base = strip_views(i);
      const bool known = stored_[base] || g_[base].op == Op::Param || g_[base].op == Op::Constant || !own(base);
      if (known && element_count(g_[base].axes) > most) return false;
      if (!known) open.push_back(base);
    }
  }
  return true;
}

/// x, if the value is a constant times x, else the value itself: a decayed state is read as what it decays from.
NodeId FunctionLowering::without_factor(NodeId id) const {
  const Node& n = g_[id];
  const bool decays = n.op == Op::Mul && n.dtype == DType::Real && own(id) && b_.options.fuse;
  for (size_t i = 0; decays && i < 2; ++i) {
    const NodeId other = n.inputs[1 - i];
    if (g_[n.inputs[i]].op == Op::Constant && own(other) && !trivial(other)) return other;
  }
  return id;
}

/// Whether reading the value is reading a row of what lies in memory anyway: its own, one at another place, or, by a condition on positions, one of two.
bool FunctionLowering::lies_in_memory(NodeId id, int choices) const {
  const NodeId base = strip_views(id);
  const Node& n = g_[base];
  const auto of_rows = [&](NodeId of) {
    const Axes& axes = g_[of].axes;
    return std::none_of(axes.begin(), axes.end(), [](const Axis& a) { return a.kind == AxisKind::Feature; });
  };
  if (stored_[base]) return true;
  if (n.op == Op::Select) return choices > 0 && of_rows(n.inputs[0]) && lies_in_memory(n.inputs[1], choices - 1) && lies_in_memory(n.inputs[2], choices - 1);
  if (n.op == Op::Gather) return of_rows(n.inputs[1]) && lies_in_memory(n.inputs[0], choices);
  const bool earlier = n.op == Op::Carry && n.inputs.size() == 1 && n.from[0].kind == AxisKind::Position && stored_[n.inputs[0]];
  return n.op == Op::Param || n.op == Op::Constant || earlier;
}

/// Whether a product takes operands rounded to bf16.
bool FunctionLowering::rounds(NodeId product) const {
  if (!b_.options.bf16 || rate_ != Rate::Sequence || b_.position_cycle[product] >= 0 || b_.float32.count(product)) return false;
  return reaches_of(product).empty();  // one number more or less is half a unit
}

FunctionLowering::Readers FunctionLowering::readers_of(NodeId id) const {
  Readers out;
  const auto is_position = [](const Axis& a) { return a.kind == AxisKind::Position; };
  std::vector<std::pair<NodeId, Axes>> through;  // who reads it, and the names that its axes have there
  const auto read_by = [&](NodeId value, const Axes& axes) {
    for (NodeId u : users_[value]) through.emplace_back(u, axes);
  };
  read_by(id, g_[id].axes);
  while (!through.empty()) {
    auto [u, axes] = std::move(through.back());
    through.pop_back();
    const Node& reader = g_[u];
    if (saved_as_[id] != kNoNode && is_summed_as_product(u) && rounds(users_[u][0])) continue;  // reads the copy
    if (trivial(u) && reader.dtype == DType::Real && reader.op != Op::Carry && !stored_[u]) {
      if (reader.op == Op::Rename) {
        for (Axis& a : axes) {
          if (const int i = index_of(reader.from, a); i >= 0) a = reader.to[static_cast<size_t>(i)];
        }
      }
      read_by(u, axes);
      continue;
    }
    out.nodes.insert(u);
    const Axes loops = reader.op == Op::Scatter ? union_of(g_[reader.inputs[0]].axes, g_[reader.inputs[1]].axes) : reader.op == Op::Gather ? reader.axes : union_of(reader.axes, reader.from);
    const std::optional<Axis> row = row_of(u, reader.from);
    const bool by_names = std::all_of(axes.begin(), axes.end(), [&](const Axis& a) { return contains(loops, a); });  // not as a part, or reshaped
    uint64_t times = 1;
    for (const Axis& a : loops) {
      if (contains(axes, a)) continue;
      if (is_position(a)) {
        out.again = out.again || a == row || std::none_of(axes.begin(), axes.end(), is_position);
        if (a == row && by_names && std::any_of(axes.begin(), axes.end(), is_position)) times *= a.size;
      } else if (a.kind == AxisKind::Feature && !axes.empty() && a < *std::max_element(axes.begin(), axes.end())) {
        out.again = true;
        if (by_names) times *= a.size;
      }
    }
    out.times = std::max(out.times, times);
  }
  return out;
}

void FunctionLowering::store_operand(NodeId id, bool rounded) {
  NodeId base = strip_views(id);
  const Node& n = g_[base];
  if (rounded && saved_as_[base] != kNoNode) return;
  if (n.op == Op::Param || n.op == Op::Input || n.op == Op::Literal || !own(base)) return;
  if (n.op == Op::Carry && !stored_[base] && b_.options.bf16) operand_copy_[base] = true;
  stored_[base] = true;
}

void FunctionLowering::select_stored() {
  std::vector<bool> root(g_.size());
  for (NodeId id : roots) root[id] = true;
  auto read_only = [&](NodeId id) { return ready(id) && !(root[id] && given.count(id)); };
  // values of another rate are read from buffers, whatever they are made of
  needed_.assign(g_.size(), false);
  std::vector<NodeId> open = roots;
  while (!open.empty()) {
    NodeId id = open.back();
    open.pop_back();
    if (needed_[id]) continue;
    needed_[id] = true;
    if ((!own(id) && !root[id] && b_.rate[id] != Rate::Static) || read_only(id)) continue;
    for (NodeId i : g_[id].inputs) open.push_back(i);
  }
  stored_.assign(g_.size(), false);
  operand_copy_.assign(g_.size(), false);
  saved_as_.assign(g_.size(), kNoNode);
  users_.assign(g_.size(), {});
  auto mine = [&](NodeId id) { return needed_[id] && (own(id) || root[id]) && !read_only(id); };
  auto store_computed = [&](NodeId id) {  // what kernels are given lies in memory
    if (own(id) && g_[id].op != Op::Param && g_[id].op != Op::Input) stored_[id] = true;
  };
  for (NodeId id = 0; id < g_.size(); ++id) {
    if (!mine(id)) continue;
    for (NodeId i : g_[id].inputs) {
      if (users_[i].empty() || users_[i].back() != id) users_[i].push_back(id);
    }
    if (g_[id].op == Op::Saved) saved_as_[g_[id].inputs[0]] = id;
  }
  for (NodeId id : roots) stored_[id] = true;
  std::vector<bool> costly(g_.size());  // made by a costly operation, or of such values that are not stored
  for (NodeId id = 0; id < g_.size(); ++id) {
    if (!mine(id)) continue;
    const Node& n = g_[id];
    costly[id] = is_elementwise(n.op) && own(id) && (op_is_costly(n.op) || std::any_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) {
                                                       const NodeId base = strip_views(i);
                                                       return costly[base] && !stored_[base];
                                                     }));
    switch (n.op) {
      case Op::Sum:
      case Op::Max:
      case Op::Min:
      case Op::Prod:
      case Op::Cumsum:
      case Op::Concat:
      case Op::Scatter:
      case Op::Saved:
        stored_[id] = true;
        break;
      case Op::Argmax:
      case Op::TopkMask:
        stored_[id] = true;
        store_computed(n.inputs[0]);
        break;
      case Op::Carry:
        store_computed(without_factor(n.inputs[0]));
        if (n.inputs.size() > 1 && own(n.inputs[1]) && !trivial(n.inputs[1])) stored_[n.inputs[1]] = true;
        break;
      case Op::Gather: {
        const NodeId read = without_factor(n.inputs[0]);
        if (own(read) && !trivial(read)) stored_[read] = true;
        break;
      }
      case Op::Reshape:
        if (n.from.size() > 1) store_computed(n.inputs[0]);
        break;
      default:
        break;
    }
    const bool product = is_product(id);
    if (const NodeId terms = product ? n.inputs[0] : chosen_terms(id); terms != kNoNode) {
      const std::optional<FewTerms> few = b_.options.fuse ? few_terms(g_, n.inputs[0], b_.options.terms_at_once) : std::nullopt;
      for (NodeId operand : g_[terms].inputs) {
        if (!few || operand == few->factor || !lies_in_memory(operand)) store_operand(operand, product && rounds(id));
      }
    }
    if (is_elementwise(n.op) && !trivial(id) && n.op != Op::Stop) {
      if (!b_.options.fuse) {
        if (!is_summed_as_product(id) && !is_chosen_term(id)) stored_[id] = true;
      } else {
        const Readers readers = readers_of(id);
        if ((readers.nodes.size() > 1 && !cheap_again(id, 2) && !lies_in_memory(id) && !(op_is_costly(n.op) && of_few_numbers(id))) || (readers.again && costly[id]) || readers.times >= kMany) stored_[id] = true;
      }
    }
  }
}

}  // namespace cpuflow::passes::lower
