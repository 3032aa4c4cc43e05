// Indices: equations with indices on their left side, and reductions that bind indices.
#include "modeldefs/frontend/evaluator.h"

#include "ir/op.h"

#include <algorithm>
#include <set>

namespace cpuflow::frontend {
using namespace ir;
using Kind = Expr::Kind;

namespace {

// Within each other.
constexpr unsigned kMostBound = 40;

/// The index of `i` or `i in 0..8`.
const Expr& word_of(const Expr& written) { return written.is(Kind::In) ? written.args[0] : written; }

}  // namespace

Value Evaluator::index_value(const std::string& name, const Index& index) {
  if (!index.has_axis) return {nodes_.integer(index.low), {name}, {}};
  return {nodes_.graph.iota(index.axis, index.low), {name}, {}};
}

/// The axes that a name's indices stand on, in order; size 0 where it is not known yet.
std::vector<Found> Evaluator::axes_of(const std::string& name, const SourceLoc& at, Frame& f) {
  std::vector<Found> out;
  if (f.recurrence != nullptr && f.recurrence->names.count(name) > 0) {
    auto known = f.axes.find(name);
    if (known != f.axes.end()) {
      for (const std::optional<Index>& index : known->second) {
        out.push_back(index ? Found{index->size(), index->axis.kind, index->axis, at} : Found{});
      }
      return out;
    }
    const Recurring& r = f.recurrence->names.at(name);
    if (!r.now && !r.shape) return std::vector<Found>(9);
    for (const ReadDim& dim : dims_of(name, r.now ? *r.now : *r.shape, f, nullptr)) out.push_back({dim.size, dim.axis.kind, dim.axis, at});
    return out;
  }
  for (const ReadDim& dim : dims_of(name, lookup(name, at, f), f, nullptr)) {
    out.push_back({dim.size, dim.has_axis ? dim.axis.kind : AxisKind::Feature, dim.axis, at});
  }
  return out;
}

/// What an index is used bare on, or nothing.
std::optional<Found> Evaluator::find_size(const std::string& index, const std::vector<const Expr*>& used, Frame& f) {
  std::optional<Found> found;
  auto look = [&](const Expr& e) {
    if (!e.is(Kind::Index)) return;
    if (!e.args[0].is(Kind::Name)) throw Fault{e.args[0].at, "only names have indices; give this a name first"};
    if (e.args[1].is_name("start")) return;
    for (size_t k = 1; k < e.args.size(); ++k) {
      if (!e.args[k].is_name(index)) continue;
      std::vector<Found> axes = axes_of(e.args[0].name, e.args[0].at, f);
      if (k > axes.size()) {
        throw too_many_indices(e, axes.size());
      }
      Found here = axes[k - 1];
      here.at = e.args[k].at;
      if (here.size == 0) continue;
      if (found && found->size != here.size) {
        throw Fault{
            here.at,
            "index '" + index + "' runs over " + std::to_string(here.size) + " here and over " + std::to_string(found->size) + " before",
            {{found->at, "over " + std::to_string(found->size) + " here"}}};
      }
      // Positions are told from features of the same number.
      if (!found || (found->kind == AxisKind::Feature && here.kind != AxisKind::Feature)) found = here;
    }
  };
  for (const Expr* e : used) e->walk(look);
  return found;
}

/// Why an index has no range: an index of `used` that is unknown, or no axis that it stands bare on.  `known`: the indices beside it.
Fault Evaluator::no_range(const Expr& word, const std::vector<const Expr*>& used, std::set<std::string> known, Frame& f) {
  auto bind_names = [&](const Expr& e) {
    if (e.is(Kind::Name)) known.insert(e.name);
  };
  for (const Expr* e : used) {
    e->walk([&](const Expr& part) {
      for (const Expr& b : part.bound) b.walk(bind_names);
    });
  }
  const Expr* unknown = nullptr;
  std::set<int64_t> sizes;
  auto look = [&](const Expr& e) {
    if (!e.is(Kind::Index)) return;
    for (size_t k = 1; k < e.args.size(); ++k) {
      bool mentions = false;
      e.args[k].walk([&](const Expr& part) {
        if (!part.is(Kind::Name)) return;
        mentions = mentions || part.name == word.name;
        bool is_known = part.name == "start" || known.count(part.name) > 0 || f.index.count(part.name) > 0 || is_named(part.name, f);
        if (!is_known && unknown == nullptr) unknown = &part;
      });
      if (!mentions) continue;
      std::vector<Found> axes = axes_of(e.args[0].name, e.args[0].at, f);
      if (k <= axes.size()) sizes.insert(axes[k - 1].size);
    }
  };
  for (const Expr* e : used) e->walk(look);
  if (unknown != nullptr) {
    return {unknown->at,
            "unknown index '" + unknown->name + "': it is neither on the left side nor bound, as in sum(" + unknown->name + ": ..)",
            {{word.at, "so '" + word.name + "' stands on no axis"}}};
  }
  bool sized = sizes.size() == 1 && *sizes.begin() > 0;
  return {word.at, "index '" + word.name + "' stands bare on no axis: write its range, " +
                       (sized ? "such as " + word.name + " in 0.." + std::to_string(*sizes.begin()) : "'" + word.name + " in 0..' and a size")};
}

/// The range of an index that is written on the left side or bound: its own, or that of the axes it is used bare on.
Index Evaluator::index_range(const Expr& written, const std::vector<const Expr*>& used, Frame& f, std::string& name, bool left,
                             unsigned slot) {
  const Expr& word = word_of(written);
  if (!word.is(Kind::Name)) throw Fault{written.at, "expected an index, as in x[t,i] or i in 0..8"};
  name = word.name;
  if (is_named(name, f)) throw Fault{word.at, "index '" + name + "' has the name of a value or size"};
  if (name == "b" && f.in_block) throw Fault{word.at, "a block sees one sequence: 'b' is no index here"};
  Index out;
  Found found;
  if (written.is(Kind::In)) {
    const Expr& range = written.args[1];
    const Expr& high = range.is(Kind::Range) ? range.args[1] : range;
    out.low = range.is(Kind::Range) ? size_of(range.args[0], f) : 0;
    out.high = size_of(high, f);
    if (out.high <= out.low) throw Fault{range.at, "the range " + std::to_string(out.low) + ".." + std::to_string(out.high) + " is empty"};
    if (out.high - out.low > 0x7FFFFFFF) throw Fault{range.at, "the range is too long"};
    if (high.is_name("T") && out.low == 0) found.kind = AxisKind::Position;
  } else if (name == "t" || name == "b") {
    out.high = name == "t" ? program_.T : program_.B;
  } else if (std::optional<Found> size = find_size(name, used, f)) {
    found = *size;
    out.high = size->size;
  } else {
    out.high = 0;  // not known
    return out;
  }
  bool all_positions = name == "t" && out.low == 0 && out.high == program_.T;
  if (all_positions || name == "b") {
    out.has_axis = true;
    out.axis = name == "b" ? batch() : positions();
    return out;
  }
  if (out.size() == 1) return out;
  out.has_axis = true;
  uint32_t size = static_cast<uint32_t>(out.size());
  bool taken = std::any_of(f.index.begin(), f.index.end(),
                           [&](const auto& other) { return other.second.has_axis && other.second.axis == found.axis; });
  if (found.kind == AxisKind::Layer && !taken) {
    out.axis = found.axis;
    return out;
  }
  unsigned ordinal = left ? f.base + slot + (found.kind == AxisKind::Feature ? 0 : 1) : ordinals::kBound + f.depth++;
  if (found.kind == AxisKind::Layer) ordinal += ordinals::kAll;
  if (f.depth > kMostBound) throw Fault{written.at, "indices nest too deeply here; give a part of it a name"};
  out.axis = {found.kind, static_cast<uint16_t>(ordinal), size};
  return out;
}

/// The fault of an expression whose value has axes, with the name in it that brings them.
Fault Evaluator::without_index(const Expr& e, Frame& f, const std::string& message, const Value& v) {
  Fault out{e.at, message + shape_text(v)};
  const Expr* part = &e;
  while (!part->is(Expr::Kind::Name) && !part->is(Expr::Kind::Index)) {
    const Expr* inner = nullptr;
    for (const Expr& arg : part->args) {
      try {
        if (!inner && !evaluate(arg, f).features.empty()) inner = &arg;
      } catch (const Fault&) {  // not a value of its own
      }
    }
    if (!inner) return out;
    part = inner;
  }
  if (part == &e) return out;
  const Value named = evaluate(*part, f);
  const bool one = named.features.size() == 1 && named.features[0].size == 1;
  out.notes.push_back({part->at, "this is " + shape_text(named) + ": it needs another index, " + (one ? "[0]" : "one for each axis")});
  return out;
}

Value Evaluator::reduce(const Expr& e, Frame& f) {
  const std::vector<Expr>* bound = &e.bound;
  const std::vector<Expr>* conditions = &e.conditions;
  std::vector<Expr> found;
  if (!e.bar && std::any_of(bound->begin(), bound->end(), [](const Expr& b) { return b.is(Kind::Compare); })) {  // sum(s < t: ..)
    std::map<std::string, const Expr*> fresh;
    for (const Expr& c : *bound) {
      c.walk([&](const Expr& part) {
        if (part.is(Kind::Name) && f.index.count(part.name) == 0 && !is_named(part.name, f)) fresh.emplace(part.name, &part);
      });
    }
    if (fresh.size() != 1) {
      std::string list;
      for (const auto& [name, part] : fresh) list += (list.empty() ? "" : ", ") + name;
      throw Fault{e.at, "exactly one index of the condition must be new, found " + (list.empty() ? "none" : list)};
    }
    found.push_back(*fresh.begin()->second);
    conditions = bound;
    bound = &found;
  }

  const FrameScope scope(f);

  std::vector<const Expr*> used = {&e.args[0]};
  for (const Expr& c : *conditions) used.push_back(&c);
  std::set<std::string> bound_names;
  for (const Expr& b : *bound) bound_names.insert(word_of(b).name);
  std::map<std::string, Index> ranges;
  for (const Expr& b : *bound) {
    if (e.name == "softmax" && b.is(Kind::Name) && f.left.count(b.name) > 0) {
      ranges[b.name] = f.index.at(b.name);
      continue;
    }
    std::string name;
    Index index = index_range(b, used, f, name, false, 0);
    if (index.size() == 0) throw no_range(word_of(b), used, bound_names, f);
    auto outer = f.index.find(name);
    bool free =
        name == "t" && f.left.count("t") == 0 && outer != f.index.end() && outer->second.size() == program_.T && ranges.count("t") == 0;
    if ((outer != f.index.end() && !free) || ranges.count(name) > 0) throw Fault{b.at, "index '" + name + "' is bound already"};
    ranges[name] = index;
    f.index[name] = index;
  }
  bool of_left = ranges.size() == 1 && f.left.count(ranges.begin()->first) > 0;
  if (e.name == "softmax" && !of_left)
    throw Fault{e.at, "softmax binds one index, of the left side, as in a[t,s] = softmax(s | s <= t: ..)"};

  NodeId inner = nodes_.graph.boolean(true), around = inner;
  std::vector<std::string> condition_lead;
  for (const Expr& c : *conditions) {
    Value v = evaluate(c, f);
    if (!v.features.empty()) throw without_index(c, f, "a condition is one number, this has axes without an index: ", v);
    NodeId condition = nodes_.to_bool(v.node);
    f.conditions.push_back(condition);
    condition_lead.insert(condition_lead.end(), v.lead.begin(), v.lead.end());
    bool mentions = false;
    c.walk([&](const Expr& part) { mentions = mentions || (part.is(Kind::Name) && ranges.count(part.name) > 0); });
    NodeId& into = mentions ? inner : around;
    into = nodes_.both(into, condition);
  }
  Value body = evaluate(e.args[0], f);
  if (!body.features.empty()) {
    throw without_index(e.args[0], f, "a reduction over indices is of numbers, this has axes without an index: ", body);
  }
  Axes over;
  int64_t count = 1;
  for (const auto& [name, index] : ranges) {
    count *= index.size();
    if (index.has_axis) over.push_back(index.axis);
    if (e.name != "softmax") std::erase(body.lead, name);
  }
  for (const std::string& lead : condition_lead) {
    bool gone = ranges.count(lead) > 0 && e.name != "softmax";
    if (!gone && std::find(body.lead.begin(), body.lead.end(), lead) == body.lead.end()) body.lead.push_back(lead);
  }
  return reduced(e, body, union_of({}, over), count, inner, around, f);
}

/// How many elements of `over` fulfil the condition, as a number of at least 1.
NodeId Evaluator::condition_count(NodeId inner, const Axes& over, int64_t count) {
  if (nodes_[inner].op == Op::Constant) return nodes_.real(nodes_[inner].value != 0 ? static_cast<double>(count) : 1.0);
  NodeId sum = nodes_.reduce(Op::Sum, nodes_.to_real(inner), over);
  if (const Table* known = nodes_.statics.table(sum)) {
    std::vector<double> counts = known->data;
    for (double& c : counts) c = std::max(c, 1.0);
    if (std::all_of(counts.begin(), counts.end(), [&](double c) { return c == counts[0]; })) return nodes_.real(counts[0]);
    if (known->axes.size() == 1) return nodes_.graph.literal(counts, known->axes[0], DType::Real);
  }
  return nodes_.arithmetic(Op::Max2, sum, nodes_.real(1));
}

/// Whether the condition may hold for no element of `over`.
bool Evaluator::may_be_empty(NodeId inner, const Axes& over) {
  if (nodes_[inner].op == Op::Constant) return nodes_[inner].value == 0;
  const std::optional<Table> some = nodes_.statics.any(inner, over);
  return !some || std::any_of(some->data.begin(), some->data.end(), [](double any) { return any == 0; });
}

/// A reduction over axes.  `inner`: conditions on what is reduced; `around`: conditions that do not mention it.
Value Evaluator::reduced(const Expr& e, const Value& body, const Axes& over, int64_t count, NodeId inner, NodeId around, Frame& f) {
  Value out = body;
  const std::string& name = e.name;
  NodeId x = nodes_.to_real(body.node);
  // Conditions that always or never hold are no conditions.
  auto settle = [&](NodeId& condition) {
    const Table* t = nodes_.statics.table(condition);
    if (t == nullptr) return;
    bool first = t->data[0] != 0;
    if (std::all_of(t->data.begin(), t->data.end(), [&](double v) { return (v != 0) == first; })) condition = nodes_.graph.boolean(first);
  };
  settle(inner);
  settle(around);
  NodeId zero = nodes_.real(0);
  if (name == "prod") {
    out.node = nodes_.reduce(Op::Prod, nodes_.select(nodes_.both(inner, around), x, nodes_.real(1)), over);
    return out;
  }
  if (name == "sum" || name == "mean") {
    NodeId total = nodes_.reduce(Op::Sum, nodes_.select(inner, x, zero), over);
    if (name == "mean") total = nodes_.arithmetic(Op::Div, total, condition_count(inner, over, count));
    out.node = nodes_.select(around, total, zero);
    return out;
  }
  if (name == "softmax") {
    NodeId scores = nodes_.select(inner, x, nodes_.real(-kNoScore));
    NodeId most = nodes_.unary(Op::Stop, nodes_.reduce(Op::Max, scores, over));
    // over nothing the maximum is 0 and the shares are 0 / 1: infinite powers and 0 / 0 would spoil gradients
    const bool empty = may_be_empty(inner, over);
    if (empty) most = nodes_.select(nodes_.compare(Op::Eq, most, nodes_.real(-kNoScore)), zero, most);
    // what the condition excludes has the power 0, not an infinite one that is left out: infinity times 0 would spoil gradients
    NodeId powers = nodes_.select(inner, nodes_.unary(Op::Exp, nodes_.sub(scores, most)), zero);
    NodeId total = nodes_.reduce(Op::Sum, powers, over);
    if (empty) total = nodes_.select(nodes_.compare(Op::Eq, total, zero), nodes_.real(1), total);
    NodeId share = nodes_.arithmetic(Op::Div, powers, total);
    out.node = nodes_.select(nodes_.both(inner, around), share, zero);
    return out;
  }
  // max, min and logsumexp of nothing have no value.
  if (nodes_[inner].op != Op::Constant || nodes_[inner].value == 0) {
    NodeId read = around;
    for (NodeId c : f.conditions) {
      if (nodes_.statics.table(c) != nullptr && without(nodes_[c].axes, over).size() == nodes_[c].axes.size()) read = nodes_.both(read, c);
    }
    const std::optional<Table> some = nodes_.statics.any(inner, over);
    const Table* wanted = nodes_.statics.table(read);
    if (!some || wanted == nullptr) throw Fault{e.at, name + " may be over nothing: whether its condition holds depends on data"};
    if (nothing_there(*some, *wanted)) throw Fault{e.at, name + " over nothing: its condition excludes every element somewhere"};
  }
  NodeId limit = nodes_.real(name == "min" ? kNoScore : -kNoScore);
  NodeId limited = nodes_.select(inner, x, limit);
  NodeId value = nodes_.reduce(name == "min" ? Op::Min : Op::Max, limited, over);
  if (name == "logsumexp") {
    NodeId most = nodes_.unary(Op::Stop, value);
    NodeId powers = nodes_.select(inner, nodes_.unary(Op::Exp, nodes_.sub(limited, most)), zero);
    value = nodes_.add(most, nodes_.unary(Op::Log, nodes_.reduce(Op::Sum, powers, over)));
  }
  out.node = nodes_.select(around, value, zero);
  return out;
}

/// An equation with indices on its left side.
Value Evaluator::bind(const Statement& s, const Expr& target, Frame& f) {
  bool start = is_start(s);
  size_t first = start ? 2 : 1;
  const std::string& name = target.args[0].name;
  if (start && target.args.size() == 2) {  // the whole value before the first position
    Value v = evaluate(s.value, f);
    f.starts[name] = v;
    return v;
  }
  const FrameScope scope(f);
  if (start) f.index.erase("t");

  std::vector<std::string> order;
  std::map<std::string, Index> ranges;
  std::set<std::string> left_names;
  for (size_t k = first; k < target.args.size(); ++k) left_names.insert(word_of(target.args[k]).name);
  size_t leading = 0;
  for (size_t k = first; k < target.args.size(); ++k) {
    std::string index_name;
    unsigned slot = static_cast<unsigned>(k - first - leading);
    Index index = index_range(target.args[k], {&s.value}, f, index_name, true, slot);
    auto known = f.axes.find(name);
    if (f.recurrence != nullptr && index_name == f.recurrence->over) index = f.recurrence->index;
    size_t place = k - 1;
    if (index.size() == 0 && known != f.axes.end() && place < known->second.size() && known->second[place]) index = *known->second[place];
    if (index.size() == 0) throw no_range(word_of(target.args[k]), {&s.value}, left_names, f);
    if (!ranges.emplace(index_name, index).second)
      throw Fault{target.args[k].at, "index '" + index_name + "' stands twice on the left side"};
    if ((index_name == "b" || index_name == "t") && leading == k - first) ++leading;
    order.push_back(index_name);
    f.index[index_name] = index;
  }
  f.left = {order.begin(), order.end()};
  f.indexed = true;
  Value v = evaluate(s.value, f);
  if (!v.features.empty()) {
    Fault fault = without_index(s.value, f, "the right side has axes without an index: ", v);
    if (leading == order.size()) fault.message += "; an equation of whole values has no indices on its left side: " + name + " = ..";
    throw fault;
  }
  Value out{v.node, {}, {}};
  for (const std::string& lead : v.lead) {
    if (ranges.count(lead) > 0) continue;
    if (f.hidden.count(lead) == 0) throw Fault{s.value.at, "index '" + lead + "' is neither on the left side nor bound"};
    out.lead.push_back(lead);
  }
  for (size_t k = 0; k < order.size(); ++k) {
    const Index& index = ranges.at(order[k]);
    if (k < leading) {
      if (std::find(out.lead.begin(), out.lead.end(), order[k]) == out.lead.end()) out.lead.push_back(order[k]);
    } else {
      out.features.push_back({static_cast<uint32_t>(index.size()), index.axis});
    }
  }
  std::stable_sort(out.lead.begin(), out.lead.end(), [](const std::string& a, const std::string& b) { return a == "b" && b != "b"; });
  // An index over features may be called t or b where it does not lead; then it keeps its axis.
  if (start) {
    f.starts[name] = out;
  } else {
    f.written[name] = {order.begin(), order.end()};
  }
  return out;
}

}  // namespace cpuflow::frontend
