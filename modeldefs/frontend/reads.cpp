// Reads: name[i, j], with any integer expressions as indices.
#include "ir/affine.h"
#include "modeldefs/frontend/evaluator.h"

#include <algorithm>

namespace cpuflow::frontend {
using namespace ir;
using Kind = Expr::Kind;

namespace {

/// Whether axes have the name of one, of whatever size: an equation means the same nodes at every size.
bool has_name_of(const Axes& axes, const Axis& axis) {
  return std::any_of(axes.begin(), axes.end(), [&](const Axis& a) { return same_name(a, axis); });
}

// Longer steps back are gathered.
constexpr int64_t kMostCarries = 16;

/// Whether an expression speaks of an index; along an axis of one element it is a number all the same.
bool mentions_index(const Expr& e, const Frame& f) {
  bool found = false;
  e.walk([&](const Expr& part) { found = found || (part.is(Expr::Kind::Name) && f.index.count(part.name)); });
  return found;
}

}  // namespace

/// The axes that the indices of a name stand on here, in order.
std::vector<Evaluator::ReadDim> Evaluator::dims_of(const std::string& name, const Value& v, const Frame& f,
                                                   std::vector<std::string>* hidden) const {
  std::vector<ReadDim> out;
  auto written = f.written.find(name);
  for (const std::string& lead : v.lead) {
    bool shown = f.hidden.count(lead) == 0 || (written != f.written.end() && written->second.count(lead) > 0);
    if (!shown) {
      if (hidden != nullptr) hidden->push_back(lead);
      continue;
    }
    ReadDim dim;
    dim.is_lead = true;
    dim.lead = lead;
    if (lead == "t" || lead == "b") {
      dim.axis = lead == "t" ? positions() : batch();
      dim.has_axis = true;
    } else if (auto it = f.index.find(lead); it != f.index.end()) {
      dim.axis = it->second.axis;
      dim.has_axis = it->second.has_axis;
    }
    dim.size = dim.has_axis ? dim.axis.size : 1;
    out.push_back(dim);
  }
  for (const Dim& d : v.features) out.push_back({false, "", d.size, d.size > 1, d.axis});
  return out;
}

Value Evaluator::read(const Expr& e, Frame& f) {
  const Expr& base = e.args[0];
  if (!base.is(Kind::Name)) throw Fault{base.at, "only names have indices; give this a name first"};
  std::vector<const Expr*> indices;
  for (size_t k = 1; k < e.args.size(); ++k) indices.push_back(&e.args[k]);
  if (indices[0]->is_name("start")) {
    auto it = f.starts.find(base.name);
    if (it == f.starts.end()) throw Fault{e.at, "'" + base.name + "' has no start"};
    return read_value(e, it->second, {indices.begin() + 1, indices.end()}, nullptr, f);
  }
  if (f.recurrence != nullptr) {
    auto it = f.recurrence->names.find(base.name);
    if (it != f.recurrence->names.end()) return read_recurring(e, it->second, f);
  }
  Value v = lookup(base.name, base.at, f);
  auto start = f.starts.find(base.name);
  return read_value(e, v, indices, start != f.starts.end() ? &start->second : nullptr, f);
}

Fault too_many_indices(const Expr& e, size_t axes) {
  const bool batch = e.args.size() > 1 && e.args[1].is_name("b");
  return {e.at, "'" + e.args[0].name + "' has " + std::to_string(axes) + (axes == 1 ? " axis" : " axes") + " here, not " + std::to_string(e.args.size() - 1) +
                    (batch ? "; an equation speaks of one sequence, so the batch has no index" : "")};
}

/// An error unless the conditions around exclude what lies outside.
void Evaluator::check_inside(const Expr& e, const Expr& index, const Outside& outside, int64_t size, Frame& f) {
  std::string name = e.args[0].name;
  NodeId bad = outside.condition;
  const std::string& what = outside.what;
  std::vector<NodeId> together = f.conditions;
  together.push_back(outside.condition);
  if (nodes_.statics.exclude_each_other(together)) return;
  for (NodeId c : f.conditions) {
    if (nodes_.statics.table(c) != nullptr) bad = nodes_.both(bad, c);
  }
  const Table* t = nodes_.statics.table(bad);
  if (t == nullptr) {
    const bool bounded = outside.low > -1e15 && outside.high < 1e15;
    throw Fault{index.at, "this index of '" + name + "' depends on data" +
                              (bounded ? ", from " + std::to_string(static_cast<int64_t>(outside.low)) + " to " + std::to_string(static_cast<int64_t>(outside.high)) + "," : "") + " and may lie " + what + " of an axis of " + std::to_string(size) + ": keep it inside with % or clamp"};
  }
  for (size_t i = 0; i < t->data.size(); ++i) {
    if (t->data[i] == 0) continue;
    std::string where;
    size_t rest = i;
    for (size_t k = t->axes.size(); k-- > 0;) {
      size_t at = rest % t->axes[k].size;
      rest /= t->axes[k].size;
      for (const auto& [index_name, range] : f.index) {
        if (range.has_axis && range.axis == t->axes[k]) {
          where = index_name + " = " + std::to_string(static_cast<int64_t>(at) + range.low) + (where.empty() ? "" : ", ") + where;
        }
      }
    }
    throw Fault{index.at, "'" + name + "' is read " + what + " of an axis of " + std::to_string(size) +
                              (where.empty() ? "" : " (at " + where + ")") + ": a condition must exclude it" + (outside.what == "before the start" ? ", or " + name + "[start] = .. say what is there" : "")};
  }
}

/// `given` replaces indices by values that are known already.
Value Evaluator::read_value(const Expr& e, const Value& v, const std::vector<const Expr*>& indices, const Value* start, Frame& f,
                            const std::vector<std::optional<Value>>& given) {
  const std::string name = e.args[0].name;
  std::vector<std::string> hidden;
  std::vector<ReadDim> dims = dims_of(name, v, f, &hidden);
  for (const Expr* index : indices) {
    if (index->is(Kind::Name) && index->name.size() == 1 && f.index.count(index->name) == 0 && !is_named(index->name, f))
      throw Fault{index->at, "unknown name '" + index->name + "'; an index stands on the left side of the equation, or is bound where it runs, as in sum(" + index->name + ": ..)"};
  }
  if (indices.size() > dims.size()) {
    throw too_many_indices(e, dims.size());
  }
  enum class Way { None, Rename, Slice, Gather };
  struct Plan {
    Way way = Way::None;
    Value index;
    Axis from, to;
    int64_t offset = 0, stride = 1;
  };
  std::vector<Plan> plans(indices.size());
  NodeId node = v.node, before = nodes_.graph.boolean(false);
  Value out;
  out.lead = hidden;
  auto add_lead = [&](const std::string& lead) {
    if (std::find(out.lead.begin(), out.lead.end(), lead) == out.lead.end()) out.lead.push_back(lead);
  };
  Axes targets, index_axes;
  for (size_t k = 0; k < indices.size(); ++k) {
    Plan& plan = plans[k];
    const ReadDim& dim = dims[k];
    plan.index = k < given.size() && given[k] ? *given[k] : evaluate(*indices[k], f);
    NodeId w = plan.index.node;
    if (!plan.index.features.empty()) throw Fault{indices[k]->at, "an index is one number, and this has axes of its own"};
    if (!nodes_.is(w, DType::Int)) throw Fault{indices[k]->at, "an index is an integer, and this is real: floor(..) makes an integer of it"};
    for (const std::string& lead : plan.index.lead) add_lead(lead);
    const std::optional<Affine> affine = ir::affine(nodes_.graph, w);
    bool one = affine && affine->terms.size() == 1;
    const auto counts_positions = [](const auto& term) { return term.first.kind == AxisKind::Position; };
    if (dim.has_axis && dim.axis.kind == AxisKind::Batch && affine && std::any_of(affine->terms.begin(), affine->terms.end(), counts_positions))
      throw Fault{indices[k]->at, "this index of '" + name + "' is that of a sequence, and positions stand here: write " + name + "[b,t] where sequences have an index, as in a loss"};
    // Where may it lie?
    double low = 0, high = 0;
    if (affine) {
      low = high = affine->offset;
      for (const auto& [axis, by] : affine->terms) (by < 0 ? low : high) += by * (axis.size - 1.0);
      if (affine->terms.empty() && high < 0 && start == nullptr && !mentions_index(*indices[k], f)) throw Fault{indices[k]->at, "there is nothing before index 0, so this is always 0; the last one has the index " + std::to_string(dim.size - 1)};
    } else if (const Table* t = nodes_.statics.table(w)) {
      low = *std::min_element(t->data.begin(), t->data.end());
      high = *std::max_element(t->data.begin(), t->data.end());
    } else {
      const Interval range = nodes_.statics.interval(w);
      low = range.low, high = range.high;
    }
    NodeId size = nodes_.integer(dim.size), zero = nodes_.integer(0);
    const auto range = indices[k]->is(Kind::Name) ? f.index.find(indices[k]->name) : f.index.end();
    if (high >= dim.size && range != f.index.end() && range->second.has_axis && range->second.axis.kind == AxisKind::Position && !dim.is_lead)
      throw Fault{indices[k]->at, "the position '" + indices[k]->name + "' stands on an axis of " + std::to_string(dim.size) + ": '" + name + "' is " + shape_text(v) + " here, and has one index for each axis"};
    if (high >= dim.size) check_inside(e, *indices[k], {nodes_.compare(Op::Le, size, w), "past the end", low, high}, dim.size, f);
    bool may_precede = low < 0;
    NodeId precedes = may_precede ? nodes_.compare(Op::Lt, w, zero) : kNoNode;
    bool no_value = k > 0 || (start == nullptr && nodes_.is(v.node, DType::Int));
    if (may_precede && no_value) check_inside(e, *indices[k], {precedes, "before the start", low, high}, dim.size, f);
    if (may_precede && no_value) may_precede = false;  // excluded by a condition

    bool has = dim.has_axis && nodes_.has(node, dim.axis);
    plan.from = dim.axis;
    bool whole_axis = one && affine->terms[0].second == 1 && affine->terms[0].first.size == static_cast<uint32_t>(dim.size);
    bool steps_back = whole_axis && affine->offset < 0 && -affine->offset <= kMostCarries;
    if (has && k == 0 && steps_back) {
      NodeId init = kNoNode;
      if (start != nullptr) {
        std::vector<Dim> rest;
        for (size_t i = 1; i < dims.size(); ++i) rest.push_back({static_cast<uint32_t>(dims[i].size), dims[i].axis});
        init = aligned_start(name, *start, rest, v, e.at);
        if (nodes_[init].dtype != nodes_[node].dtype) {
          init = nodes_.to_real(init);
          node = nodes_.to_real(node);
        }
      }
      for (int64_t i = 0; i < static_cast<int64_t>(-affine->offset); ++i) node = nodes_.graph.carry(node, dim.axis, 1, init);
      may_precede = false;
    }
    const auto is_of_layers = [&](const Axis& a) {  // each layer has a value of its own, of which the index chooses by the layer
      return a.kind == AxisKind::Layer && nodes_.has(node, a) && std::none_of(dims.begin(), dims.end(), [&](const ReadDim& d) { return d.has_axis && d.axis == a; });
    };
    bool free = one && !contains(targets, affine->terms[0].first) && !is_of_layers(affine->terms[0].first);
    bool carried = whole_axis && !may_precede && (affine->offset == 0 || (k == 0 && steps_back));
    if (!has) {
      plan.way = Way::None;
    } else if (free && carried) {
      plan.way = Way::Rename;
      plan.to = affine->terms[0].first;
    } else if (free && low >= 0 && high < dim.size && affine->terms[0].second >= 1) {
      plan.way = Way::Slice;
      plan.to = affine->terms[0].first;
      plan.offset = static_cast<int64_t>(affine->offset);
      plan.stride = static_cast<int64_t>(affine->terms[0].second);
    } else {
      plan.way = Way::Gather;
    }
    if (plan.way == Way::Rename || plan.way == Way::Slice) targets.push_back(plan.to);
    if (plan.way == Way::Gather) index_axes = union_of(index_axes, nodes_[w].axes);
    // A gather gives 0 before the start by itself.
    bool covered = plan.way == Way::Gather && start == nullptr;
    if (may_precede && !covered) before = before == nodes_.graph.boolean(false) ? precedes : nodes_.graph.binary(Op::Or, before, precedes);
  }

  // All at once: axes that are only called differently, and axes that would meet another of the same name.
  Axes from, to, busy = union_of(targets, index_axes);
  for (size_t k = 0; k < plans.size(); ++k) {
    Plan& plan = plans[k];
    if (plan.way == Way::Rename) {
      from.push_back(plan.from);
      to.push_back(plan.to);
    } else if (plan.way != Way::None && has_name_of(busy, plan.from)) {
      Axis temporary{plan.from.kind, static_cast<uint16_t>(ordinals::kTemporary + k), plan.from.size};
      from.push_back(plan.from);
      to.push_back(temporary);
      plan.from = temporary;
    }
  }
  // Features without an index move out of the way of the indices, then to their new places.
  unsigned base = value_base(f);
  std::vector<Dim> rest;
  for (size_t k = indices.size(); k < dims.size(); ++k) {
    if (dims[k].is_lead) {
      add_lead(dims[k].lead);
      continue;
    }
    Dim dim{static_cast<uint32_t>(dims[k].size), dims[k].axis};
    if (dim.size > 1 && has_name_of(busy, dim.axis)) {
      Axis temporary{dim.axis.kind, static_cast<uint16_t>(ordinals::kTemporary + 64 + k), dim.size};
      from.push_back(dim.axis);
      to.push_back(temporary);
      dim.axis = temporary;
    }
    rest.push_back(dim);
  }
  node = nodes_.rename(node, from, to);
  for (const Plan& plan : plans) {
    if (plan.way == Way::Slice) node = nodes_.graph.slice(node, plan.from, plan.to, plan.offset, plan.stride);
  }
  for (const Plan& plan : plans) {
    if (plan.way == Way::Gather) node = nodes_.gather(node, plan.from, plan.index.node);
  }
  out.features = rest;
  out.node = node;
  Axes rest_from, rest_to;
  for (size_t k = 0; k < rest.size(); ++k) {
    Dim& dim = out.features[k];
    if (dim.size == 1) continue;
    Axis axis = feature_axis(base, k, dim.size);
    if (dim.axis.kind == AxisKind::Position) axis = {AxisKind::Position, static_cast<uint16_t>(base + k + 1), dim.size};
    if (dim.axis.kind == AxisKind::Batch || dim.axis.kind == AxisKind::Layer) continue;
    rest_from.push_back(dim.axis);
    rest_to.push_back(axis);
    dim.axis = axis;
  }
  out.node = nodes_.rename(out.node, rest_from, rest_to);
  if (!(before == nodes_.graph.boolean(false))) {
    NodeId other = nodes_.number(0, nodes_[out.node].dtype);
    if (start != nullptr) {
      Value first = read_value(e, *start, {indices.begin() + 1, indices.end()}, nullptr, f,
                               given.empty() ? given : std::vector<std::optional<Value>>(given.begin() + 1, given.end()));
      if (first.features.size() != out.features.size())
        throw Fault{e.at, "the start of '" + name + "' is " + shape_text(*start) + ", its values are " + shape_text(v)};
      other = first.node;
      for (const std::string& lead : first.lead) add_lead(lead);
    }
    out.node = nodes_.select(before, other, out.node);
  }
  std::stable_sort(out.lead.begin(), out.lead.end(), [](const std::string& a, const std::string& b) {
    auto rank = [](const std::string& s) { return s == "b" ? 0 : s == "t" ? 1 : 2; };
    return rank(a) < rank(b);
  });
  return out;
}

}  // namespace cpuflow::frontend
