// Recurrences: groups of statements whose names are read at earlier positions, or earlier chunks.
#include "ir/affine.h"
#include "modeldefs/frontend/evaluator.h"

#include <algorithm>

namespace cpuflow::frontend {
using namespace ir;
using Kind = Expr::Kind;

namespace {

// Shapes of values that recur through each other settle within as many rounds.
constexpr int kMostRounds = 6;

}  // namespace

/// The last statement of the recurrence that begins at i, perhaps with starts, or nothing: names that are read before they are defined.
std::optional<size_t> Evaluator::recurrence_end(const std::vector<Statement>& statements, size_t i, Frame& f) {
  while (i < statements.size() && is_start(statements[i])) ++i;
  if (i == statements.size()) return std::nullopt;
  std::optional<size_t> last;
  auto defines = [&](size_t k, const std::string& name) {
    const Statement& s = statements[k];
    return !is_start(s) && std::any_of(s.targets.begin(), s.targets.end(), [&](const Expr& t) { return target_name(t) == name; });
  };
  for (size_t j = i; j <= last.value_or(i); ++j) {
    statements[j].value.walk([&](const Expr& e) {
      if (!e.is(Kind::Index) || !e.args[0].is(Kind::Name)) return;
      const std::string& name = e.args[0].name;
      if (defines(i, name) && f.vars.count(name) > 0 && e.args[1].is(Kind::Binary)) {
        throw Fault{e.at,
                    "'" + name + "' has a value already: a recurrence needs a name of its own",
                    {{f.defined.count(name) > 0 ? f.defined.at(name) : e.at, "it got a value here"}}};
      }
      if (is_named(name, f)) return;
      for (size_t k = statements.size(); k-- > j;) {
        if (!defines(k, name)) continue;
        last = std::max(last.value_or(k), k);
        break;
      }
    });
  }
  return last;
}

void Evaluator::recur(const std::vector<const Statement*>& group, Frame& f) {
  Recurrence r{"t", position_index(), {}};
  std::map<std::string, const Expr*> heads;
  for (const Statement* s : group) {
    if (is_start(*s)) continue;
    for (const Expr& t : s->targets) {
      const std::string& name = target_name(t);
      if (!r.names.emplace(name, Recurring{}).second)
        throw Fault{t.at, "'" + name + "' gets a value twice in one recurrence: give the second one another name"};
      if (t.is(Kind::Index)) heads[name] = &t;
    }
  }
  const FrameScope scope(f);
  f.recurrence = &r;

  // Which axis?  That of a written range at the head, else positions.
  for (const auto& [name, head] : heads) {
    if (!head->args[1].is(Kind::In)) continue;
    r.index = index_range(head->args[1], {}, f, r.over, true, 0);
  }
  if (r.over == "t" && f.index.count("t") == 0 && heads.empty())
    throw Fault{group[0]->at, "a recurrence in a loss needs its indices on the left side, as in y[b,t,i] = .. y[b,t-1,i] .."};

  // Sizes of the indices, from each other until nothing changes.
  for (const auto& [name, head] : heads) f.axes[name].resize(head->args.size() - 1);
  std::vector<const Statement*> equations = group;  // starts say what those leave open
  std::stable_partition(equations.begin(), equations.end(), [](const Statement* s) { return !is_start(*s); });
  for (size_t round = 0; round <= group.size(); ++round) {
    for (const Statement* s : equations) {
      for (const Expr& t : s->targets) {
        if (!t.is(Kind::Index) || heads.count(target_name(t)) == 0 || t.args.size() > heads.at(target_name(t))->args.size()) continue;
        unsigned leading = is_start(*s) ? 1 : 0;
        for (size_t k = 1 + leading; k < t.args.size(); ++k) {
          std::string name;
          Index index = index_range(t.args[k], {&s->value}, f, name, true, static_cast<unsigned>(k - 1 - leading));
          if ((name == "b" || name == "t") && leading == k - 1) ++leading;
          if (name == r.over) index = r.index;
          std::optional<Index>& known = f.axes[target_name(t)][k - 1];
          if (index.size() > 0 && (!is_start(*s) || !known)) known = index;
        }
      }
    }
  }

  for (int round = 0; round < kMostRounds; ++round) {
    Graph graph = nodes_.graph;
    std::map<std::string, Value> starts = f.starts;
    run_group(group, f, r);
    bool settled = true;
    std::map<std::string, Recurring> next;
    for (auto& [name, n] : r.names) {
      if (!n.now) throw Fault{group[0]->at, "'" + name + "' got no value"};
      Recurring known;
      known.shape = n.now;
      known.type = nodes_[n.now->node].dtype;
      auto start = f.starts.find(name);
      if (start != f.starts.end() && nodes_[start->second.node].dtype != known.type) known.type = DType::Real;
      known.axes = union_of(n.axes, nodes_[n.now->node].axes);
      if (r.index.has_axis) known.axes = union_of(known.axes, {r.index.axis});
      bool read = !n.steps.empty() || n.history != kNoNode || !n.shape;
      if (read && (!n.shape || known.axes != n.axes || known.type != n.type || n.shape->features != n.now->features ||
                   n.shape->lead != n.now->lead))
        settled = false;
      next[name] = known;
    }
    if (settled) {
      close_group(r);
      for (const auto& [name, n] : r.names) f.vars[name] = *n.now;
      return;
    }
    nodes_.graph = graph;
    nodes_.statics.forget(graph.size());
    f.starts = starts;
    r.names = next;
  }
  throw Fault{group[0]->at, "the shape of this recurrence grows with every step"};
}

void Evaluator::run_group(const std::vector<const Statement*>& group, Frame& f, Recurrence& r) {
  for (const Statement* s : group) {
    if (f.calls == 0) nodes_.graph.at = s->at;
    auto fits = [&](const Expr& t) { return t.is(Kind::Index) || r.over == "t"; };
    if (!std::all_of(s->targets.begin(), s->targets.end(), fits))
      throw Fault{s->at, "this statement stands inside a recurrence over '" + r.over + "': move it out, or give it the index"};
    assign(*s, f);
  }
}

NodeId Evaluator::aligned_start(const std::string& name, const Value& start, const std::vector<Dim>& dims, const Value& values, const SourceLoc& at) {
  bool fits = dims.size() == start.features.size();
  Axes from, to;
  for (size_t k = 0; fits && k < dims.size(); ++k) {
    fits = dims[k].size == start.features[k].size;
    if (!fits || dims[k].size == 1) continue;
    from.push_back(start.features[k].axis);
    to.push_back(dims[k].axis);
  }
  if (!fits) throw Fault{at, "the start of '" + name + "' is " + shape_text(start) + ", its values are " + shape_text(values)};
  return nodes_.rename(start.node, from, to);
}

/// A carry: the value of a name some steps earlier.
NodeId Evaluator::step_before(const std::string& name, Recurring& r, int64_t steps, Frame& f) {
  const Axis& over = f.recurrence->index.axis;
  NodeId init = kNoNode;
  if (auto it = f.starts.find(name); it != f.starts.end()) {
    std::vector<Dim> dims;
    for (const Dim& d : r.shape->features) {
      if (!(d.size > 1 && d.axis == over)) dims.push_back(d);
    }
    init = aligned_start(name, it->second, dims, *r.shape, nodes_[it->second.node].loc);
    if (nodes_[init].dtype != r.type) init = nodes_.to_real(init);
  }
  while (static_cast<int64_t>(r.steps.size()) < steps) {
    r.steps.push_back(r.steps.empty() ? nodes_.graph.carry_open(r.axes, r.type, over, 1, init)
                                      : nodes_.graph.carry(r.steps.back(), over, 1, init));
  }
  return r.steps[static_cast<size_t>(steps - 1)];
}

/// What is read of a name before its first step, or before its shape is known: its start, or 0, as large as its equation says.
Value Evaluator::before_first_step(const Expr& e, const std::vector<const Expr*>& indices, bool unknown, Frame& f) {
  const std::string& name = e.args[0].name;
  const Recurrence& group = *f.recurrence;
  const auto head = f.axes.find(name);
  const bool whole = indices.empty() && head != f.axes.end();
  if (const auto start = f.starts.find(name); start != f.starts.end()) {
    Value first = indices.empty() ? shifted_to(start->second, value_base(f)) : read_value(e, start->second, indices, nullptr, f);
    if (whole && group.over == "t") first.lead = {"t"};
    return first;
  }
  Value zero{nodes_.integer(0), {}, {}};
  zero.zero = head == f.axes.end() && unknown;
  if (!whole) return zero;
  for (const std::optional<Index>& i : head->second) {
    if (i && !(i->has_axis && i->axis == group.index.axis)) zero.features.push_back({static_cast<uint32_t>(i->size()), i->axis});
  }
  if (zero.features.size() + 1 < head->second.size()) zero.features.clear();
  else if (group.over == "t") zero.lead = {"t"};
  return shifted_to(zero, value_base(f));
}

/// A read of a name of the group that is running.
Value Evaluator::read_recurring(const Expr& e, Recurring& r, Frame& f) {
  const std::string& name = e.args[0].name;
  const Recurrence& group = *f.recurrence;
  std::vector<const Expr*> indices;
  for (size_t k = 1; k < e.args.size(); ++k) indices.push_back(&e.args[k]);
  auto start = f.starts.find(name);
  const Value* shape = r.now ? &*r.now : r.shape ? &*r.shape : nullptr;
  // Which index steps?
  size_t over = 0;
  if (shape != nullptr) {
    std::vector<ReadDim> dims = dims_of(name, *shape, f, nullptr);
    auto is_over = [&](const ReadDim& d) { return group.index.has_axis ? d.has_axis && d.axis == group.index.axis : d.size == 1; };
    over = static_cast<size_t>(std::find_if(dims.begin(), dims.end(), is_over) - dims.begin());
    if (over >= indices.size()) throw Fault{e.at, "'" + name + "' recurs over '" + group.over + "', and has no index for it here; one that recurs over something else says so where it is computed, as in " + name + "[n in 0..8, ..] = .."};
  }
  Value index = evaluate(*indices[over], f);
  const std::optional<Affine> affine = ir::affine(nodes_.graph, index.node);
  bool along = affine && (group.index.has_axis
                              ? affine->terms.size() == 1 && affine->terms[0].first == group.index.axis && affine->terms[0].second == 1
                              : affine->terms.empty());
  int64_t steps = along ? static_cast<int64_t>((group.index.has_axis ? 0 : static_cast<double>(group.index.low)) - affine->offset) : 0;
  if (group.index.has_axis && along) steps += group.index.low;
  if (along && steps < 0)
    throw Fault{indices[over]->at, "'" + name + "' is read at a later step of its own recurrence: a cycle must step back in time"};
  if (along && steps == 0) {
    if (!r.now)
      throw Fault{e.at,
                  "'" + name + "' is read before it is computed: its equation must stand above, or this step back in time, as in " + name + "[" + group.over + "-1]"};
    return read_value(e, *r.now, indices, nullptr, f);
  }
  bool before_start = along && !group.index.has_axis;  // one step only: nothing is earlier
  if (r.shape == std::nullopt || before_start) {
    std::vector<const Expr*> rest = indices;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(over));
    return before_first_step(e, rest, r.shape == std::nullopt, f);
  }
  std::vector<std::optional<Value>> given(indices.size());
  Value v = *r.shape;
  if (along) {
    given[over] = Value{nodes_.graph.iota(group.index.axis), {group.over}, {}};
    v.node = step_before(name, r, steps, f);
    return read_value(e, v, indices, nullptr, f, given);
  }
  // Any earlier step: all of them are kept, along an axis of their own.
  if (r.history == kNoNode) {
    r.history_axis = {group.index.axis.kind, static_cast<uint16_t>(ordinals::kHistory + history_axes_++), group.index.axis.size};
    r.history = nodes_.graph.carry_open(union_of(r.axes, {r.history_axis}), r.type, group.index.axis, 1);
  }
  check_inside(e, *indices[over], {nodes_.compare(Op::Le, nodes_.graph.iota(group.index.axis), index.node), "at a step that is not computed yet,"},
               group.index.axis.size, f);
  v.node = r.history;
  Dim kept{r.history_axis.size, r.history_axis};
  auto lead = std::find(v.lead.begin(), v.lead.end(), group.over);
  if (lead != v.lead.end()) {
    v.lead.erase(lead);
    v.features.insert(v.features.begin(), kept);
  } else {
    for (Dim& d : v.features) {
      if (d.size > 1 && d.axis == group.index.axis) d = kept;
    }
  }
  given[over] = index;
  Value out = read_value(e, v, indices, start != f.starts.end() ? &start->second : nullptr, f, given);
  if (std::find(out.lead.begin(), out.lead.end(), group.over) == out.lead.end()) out.lead.push_back(group.over);
  return out;
}

void Evaluator::close_group(Recurrence& r) {
  for (auto& [name, n] : r.names) {
    if (n.steps.empty() && n.history == kNoNode) continue;
    NodeId now = n.now->node;
    if (nodes_[now].dtype != n.type) now = nodes_.to_real(now);
    now = nodes_.spread(now, n.axes);
    if (!n.steps.empty()) nodes_.graph.close(n.steps[0], now);
    if (n.history == kNoNode) continue;
    NodeId here = nodes_.compare(Op::Eq, nodes_.graph.iota(n.history_axis), nodes_.graph.iota(r.index.axis));
    nodes_.graph.close(n.history, nodes_.select(here, now, n.history));
  }
}

}  // namespace cpuflow::frontend
