// Statements -> parts (loops over layers), regions (loops over tiles of rows), groups (loops over rows) and nests.
#include "ir/diagnostics.h"
#include "passes/lower/function_lowering.h"

#include <fmt/format.h>

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

FunctionLowering::FunctionLowering(ProgramBuilder& builder, std::string name, Rate rate, Explanation* explanation)
    : b_(builder), g_(builder.graph), name_(std::move(name)), rate_(rate), explanation_(explanation) {}

void FunctionLowering::explain(const std::string& line) {
  if (explanation_) explanation_->lines.push_back(name_ + ": " + line);
}

void FunctionLowering::decline(NodeId id, const std::string& why) {
  explain(fmt::format("'{}' ({}): {}", b_.name_of(id), g_[id].loc.known() ? g_[id].loc.str() : op_name(g_[id].op), why));
}

/// A value with a layer axis is computed in the loop over layers that its inputs come from, unless it waits for that loop's end.
void FunctionLowering::find_layer_homes() {
  layer_home_.assign(g_.size(), -1);
  for (NodeId id = 0; id < g_.size(); ++id) {
    const Node& n = g_[id];
    int c = b_.layer_cycle[id];
    if (c < 0 || !own(id)) continue;
    layer_home_[id] = c;
    if (n.op == Op::Carry && n.from[0].kind == AxisKind::Layer) {
      cycle_axis_[c] = n.from[0];
      cycle_direction_[c] = n.ints[0] > 0 ? 1 : -1;
    }
  }
  std::map<int, NodeId> first;
  for (NodeId id = 0; id < g_.size(); ++id) {
    if (layer_home_[id] >= 0) first.try_emplace(layer_home_[id], id);
  }
  std::vector<std::set<int>> after(g_.size());
  auto find = [&](NodeId id) {
    const Node& n = g_[id];
    const int before = layer_home_[id];
    std::set<int> waits, within;
    for (NodeId i : n.inputs) {
      waits.insert(after[i].begin(), after[i].end());
      int h = layer_home_[i];
      if (h < 0) continue;
      const Axis& layer = cycle_axis_.at(h);
      const bool same = (contains(n.axes, layer) || contains(n.from, layer)) &&
                        !((n.op == Op::Gather || n.op == Op::Carry || n.op == Op::Slice || n.op == Op::Cumsum) && contains(n.from, layer)) &&
                        !(contains(n.from, layer) && !b_.is_accumulator(id));
      if (same) within.insert(h);
      else if (layer_home_[id] != h) waits.insert(h);
    }
    if (layer_home_[id] < 0) {
      for (int h : within) {
        if (waits.count(h)) continue;
        if (layer_home_[id] < 0 || first[h] > first[layer_home_[id]]) layer_home_[id] = h;
      }
    }
    for (int h : within) {
      if (h != layer_home_[id]) waits.insert(h);
    }
    after[id] = std::move(waits);
    return layer_home_[id] != before;
  };
  // a recurrence over positions reads a value that comes later here
  for (bool changed = true; changed;) {
    changed = false;
    for (NodeId id = 0; id < g_.size(); ++id) {
      if (needed_[id] && find(id)) changed = true;
    }
  }
}

void FunctionLowering::assign_parts() {
  // level of a unit (a layer loop, or a statement outside of them): even outside, odd for loops
  std::map<int, std::set<size_t>> members;
  for (size_t i = 0; i < statements_.size(); ++i) {
    if (int h = layer_home_[statements_[i].node]; h >= 0) members[h].insert(i);
  }
  std::vector<int> level(statements_.size(), 0);
  std::map<int, int> cycle_level;
  for (auto& [c, m] : members) cycle_level[c] = 1;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < statements_.size(); ++i) {
      int home = layer_home_[statements_[i].node];
      int need = home >= 0 ? cycle_level[home] : level[i];
      for (const Read& r : statements_[i].reads) {
        auto it = statements_of_.find(r.node);
        if (it == statements_of_.end()) continue;
        int from = layer_home_[r.node];
        if (from >= 0 && from == home) continue;
        int l = from >= 0 ? cycle_level[from] : level[it->second[0]];
        if (home >= 0) need = std::max(need, from >= 0 ? l + 2 : l + 1);
        else need = std::max(need, from >= 0 ? l + 1 : l);
      }
      if (home >= 0 ? need > cycle_level[home] : need > level[i]) {
        (home >= 0 ? cycle_level[home] : level[i]) = need;
        changed = true;
        if (need > 2 * static_cast<int>(statements_.size()) + 2) throw InternalError(name_ + ": statements wait for each other");
      }
    }
  }
  std::map<std::pair<int, int>, int> numbers;  // (level, cycle) -> part
  for (size_t i = 0; i < statements_.size(); ++i) {
    int home = layer_home_[statements_[i].node];
    numbers[{home >= 0 ? cycle_level[home] : level[i], home}] = 0;
  }
  for (auto& [key, number] : numbers) {
    number = static_cast<int>(parts_.size());
    PartPlan p;
    p.cycle = key.second;
    if (p.cycle >= 0) {
      p.layer = cycle_axis_.at(p.cycle);
      p.direction = cycle_direction_.at(p.cycle);
    }
    parts_.push_back(p);
  }
  for (size_t i = 0; i < statements_.size(); ++i) {
    int home = layer_home_[statements_[i].node];
    statements_[i].part = numbers[{home >= 0 ? cycle_level[home] : level[i], home}];
  }
}

/// Bytes of what a region's statements read or write that is held for all rows: what came from other parts, and what products over all rows read.
int64_t FunctionLowering::held_bytes(const RegionPlan& region) const {
  std::set<NodeId> held;
  for (size_t i : region.members) {
    if (read_whole_.count(statements_[i].node)) held.insert(statements_[i].node);
    for (const Read& r : statements_[i].reads) {
      const auto from = statements_of_.find(r.node);
      if (from == statements_of_.end() || statements_[from->second[0]].part != statements_[i].part || read_whole_.count(r.node)) held.insert(r.node);
    }
  }
  int64_t bytes = 0;
  for (NodeId id : held) {
    int64_t elements = 1;
    for (const Axis& a : g_[id].axes) elements *= a.kind == AxisKind::Batch || a.kind == AxisKind::Layer ? 1 : a.size;
    bytes += elements * (g_[id].op == Op::Saved ? 2 : 4);
  }
  return bytes;
}

/// Whether some statements had better run behind the products over all rows that follow a region than in it: the region has filled the second cache with
/// what those read, and all that the statements read of it is held for all rows anyway.  A sum over the rows stays: beside what makes its terms it reads
/// nothing, and leaves them to the products.
bool FunctionLowering::is_full(const PartPlan& plan, int number, const std::vector<size_t>& unit) const {
  constexpr int64_t kShare = 4;  // of the second cache: weights, gradients and what is left behind are there as well
  if (number + 1 >= static_cast<int>(plan.regions.size()) || plan.regions[number + 1].row) return false;
  if (std::all_of(unit.begin(), unit.end(), [&](size_t i) { return statements_[i].reduces_rows; })) return false;
  const std::set<size_t> members(plan.regions[number].members.begin(), plan.regions[number].members.end());
  for (size_t i : unit) {
    for (const Read& r : statements_[i].reads) {
      const auto from = statements_of_.find(r.node);
      const bool here = from != statements_of_.end() && std::any_of(from->second.begin(), from->second.end(), [&](size_t j) { return members.count(j) != 0; });
      if (here && !read_whole_.count(r.node)) return false;
    }
  }
  return held_bytes(plan.regions[number]) * kShare > b_.options.second_cache_floats * static_cast<int64_t>(sizeof(float));
}

void FunctionLowering::assign_regions() {
  for (const Statement& s : statements_) {
    if (s.row || s.steps.empty() || s.steps.back().kind != Step::Kind::Product) continue;
    for (const Read& r : s.reads) read_whole_.insert(r.node);
  }
  // statements of one recurrence are placed together
  std::vector<std::vector<size_t>> units;
  std::map<int, size_t> unit_of_cycle;
  std::vector<size_t> unit_of(statements_.size());
  for (size_t i = 0; i < statements_.size(); ++i) {
    int c = statements_[i].cycle;
    if (c >= 0 && unit_of_cycle.count(c)) {
      units[unit_of_cycle[c]].push_back(i);
    } else {
      if (c >= 0) unit_of_cycle[c] = units.size();
      units.push_back({i});
    }
    unit_of[i] = c >= 0 ? unit_of_cycle[c] : units.size() - 1;
  }
  // topological order, lowest statement first
  std::vector<std::set<size_t>> waits(units.size()), frees(units.size());
  for (size_t u = 0; u < units.size(); ++u) {
    for (size_t i : units[u]) {
      for (const Read& r : statements_[i].reads) {
        if (!statements_of_.count(r.node)) continue;
        for (size_t j : statements_of_[r.node]) {
          if (unit_of[j] == u || statements_[j].part != statements_[i].part) continue;
          if (!r.same_layer && layer_home_[r.node] >= 0) continue;  // of the layer before
          waits[u].insert(unit_of[j]);
        }
      }
    }
    for (size_t v : waits[u]) frees[v].insert(u);
  }
  std::set<std::pair<size_t, size_t>> ready;
  for (size_t u = 0; u < units.size(); ++u) {
    if (waits[u].empty()) ready.insert({units[u][0], u});
  }
  size_t placed = 0;
  while (!ready.empty()) {
    size_t u = ready.begin()->second;
    ready.erase(ready.begin());
    ++placed;
    std::optional<Axis> row = statements_[units[u][0]].row;
    int part = statements_[units[u][0]].part, direction = 0;
    for (size_t i : units[u]) {
      if (statements_[i].direction != 0) direction = statements_[i].direction;
    }
    PartPlan& plan = parts_[part];
    int lowest = 0;
    std::map<int, int> wanted;  // region -> direction that reads of earlier or later rows need there
    std::string obstacle = "nothing before it in this part runs over the same rows";
    for (size_t i : units[u]) {
      for (const Read& r : statements_[i].reads) {
        if (!statements_of_.count(r.node)) continue;
        for (size_t j : statements_of_[r.node]) {
          const Statement& d = statements_[j];
          if (unit_of[j] == u || d.part != part) continue;
          if (!r.same_layer && layer_home_[r.node] >= 0) continue;
          const bool rows = row && plan.regions[d.region].row == row && !d.reduces_rows;
          if (rows && r.how == Read::How::SameRow) {
            lowest = std::max(lowest, d.region);
          } else if (rows && (r.how == Read::How::EarlierRow || r.how == Read::How::LaterRow)) {
            const int order = r.how == Read::How::EarlierRow ? 1 : -1;
            const bool both = wanted.try_emplace(d.region, order).first->second != order;
            lowest = std::max(lowest, d.region + (both ? 1 : 0));
            if (both) obstacle = fmt::format("'{}' and others are read at earlier and at later rows", b_.name_of(r.node));
          } else if (d.region + 1 > lowest) {
            lowest = d.region + 1;
            obstacle = fmt::format("'{}' {}", b_.name_of(r.node), d.reduces_rows ? "is complete only after the last row" : rows ? "is read at rows that are not known to be done" : "runs over other rows, or none");
          }
        }
      }
    }
    int chosen = -1, order = direction;
    if (b_.options.fuse) {
      for (int k = lowest; k < static_cast<int>(plan.regions.size()) && chosen < 0; ++k) {
        RegionPlan& region = plan.regions[k];
        if (region.row != row) continue;
        int need = direction;
        if (wanted.count(k)) {
          if (need != 0 && need != wanted[k]) {
            obstacle = "it needs rows in one order, and what it reads of a region in the other";
            continue;
          }
          need = wanted[k];
        }
        if (need != 0 && region.direction != 0 && need != region.direction) {
          obstacle = need > 0 ? "it needs rows in order, and the region before it runs backwards" : "it needs rows backwards, and the region before it runs in order";
          continue;
        }
        if (row && is_full(plan, k, units[u])) {
          obstacle = "what is read here was held for all rows anyway, and its products come first, while it is near";
          continue;
        }
        chosen = k;
        order = need;
      }
    }
    if (chosen < 0) {
      chosen = static_cast<int>(plan.regions.size());
      plan.regions.push_back({row, order, {}});
      if (b_.options.fuse && row && chosen > 0) decline(statements_[units[u][0]].node, "opens a new region: " + obstacle);
    } else if (order != 0) {
      plan.regions[chosen].direction = order;
    }
    for (size_t i : units[u]) {
      statements_[i].region = chosen;
      plan.regions[chosen].members.push_back(i);
    }
    for (size_t v : frees[u]) {
      waits[v].erase(u);
      if (waits[v].empty()) ready.insert({units[v][0], v});
    }
  }
  if (placed == units.size()) return;
  std::string names;
  for (size_t u = 0; u < units.size(); ++u) {
    if (waits[u].empty()) continue;
    names += fmt::format("\n  '{}' waits for", b_.name_of(statements_[units[u][0]].node));
    for (size_t v : waits[u]) names += fmt::format(" '{}'", b_.name_of(statements_[units[v][0]].node));
  }
  throw InternalError(name_ + ": statements wait for each other:" + names);
}

namespace {

bool same_loops(const Nest& a, const Nest& b) { return a.loops == b.loops && a.lane == b.lane && a.reduced == b.reduced; }

/// Nests with equal loops, of which some reduce the innermost ones, can run as one.
bool mergeable(const Nest& a, const Nest& b) {
  if (same_loops(a, b)) return true;
  return a.loops == b.loops && a.lane == b.lane && a.lane + 1 == static_cast<int>(a.loops.size()) && a.reduced >= a.loops.size() - 1 &&
         b.reduced >= b.loops.size() - 1;
}

}  // namespace

void FunctionLowering::form_groups(int part, int region, const std::vector<size_t>& members) {
  RegionPlan& plan = parts_[part].regions[region];
  Region out;
  out.has_rows = plan.row.has_value();
  if (out.has_rows) {
    out.row = *plan.row;
    out.direction = plan.direction;
    out.tile = std::min<int64_t>(b_.options.tile, plan.row->size);
  }
  std::set<size_t> open(members.begin(), members.end());
  std::map<size_t, std::pair<int, int>> where;  // statement -> group, nest
  auto depends = [&](size_t i, size_t j) {
    for (const Read& r : statements_[i].reads) {
      if (r.node == statements_[j].node && (r.same_layer || layer_home_[r.node] < 0)) {
        if (statements_[i].cycle >= 0 && statements_[i].cycle == statements_[j].cycle && r.how != Read::How::SameRow) continue;
        if (statements_[i].node == statements_[j].node) continue;
        return true;
      }
    }
    return false;
  };
  auto ready = [&](size_t i) { return std::none_of(open.begin(), open.end(), [&](size_t j) { return j != i && depends(i, j); }); };
  auto cycle_ready = [&](int c) {
    for (size_t i : open) {
      if (statements_[i].cycle != c) continue;
      for (size_t j : open) {
        if (statements_[j].cycle != c && depends(i, j)) return false;
      }
    }
    return true;
  };
  // Wide products are used while they are made (blocks.cpp), one at a time: what reads one does not run with what reads another.
  std::map<std::pair<int, int>, std::set<NodeId>> wide;  // group, step -> those that it reads
  std::set<NodeId> wide_products;
  for (const size_t i : members) {
    const std::vector<Step>& steps = statements_[i].steps;
    if (steps.size() == 1 && steps[0].kind == Step::Kind::Product && steps[0].product.n.size >= b_.options.wide) wide_products.insert(statements_[i].node);
  }
  auto wide_reads = [&](size_t i) {
    std::set<NodeId> products;
    for (const Read& r : statements_[i].reads) {
      if (wide_products.count(r.node)) products.insert(r.node);
    }
    return products;
  };
  auto place = [&](size_t i) {
    Statement& s = statements_[i];
    Group& group = out.groups.back();
    const int g = static_cast<int>(out.groups.size()) - 1;
    for (Step& step : s.before) out.before.push_back(step);
    int bound = 0;  // first step of the group that may take it
    for (auto& [j, at] : where) {
      if (at.first == g && depends(i, j)) bound = std::max(bound, at.second);
    }
    int merged = -1;
    const std::set<NodeId> products = wide_reads(i);
    if (b_.options.fuse && group.by_row && s.steps.size() == 1 && s.steps[0].kind == Step::Kind::Nest) {
      const Nest& nest = s.steps[0].nest;
      // A reduction as early as it can be, for others wait for it, but not beside the search for a largest number, which may end early (blocks.cpp);
      // anything else as late as it can be, near to what reads it.
      const bool early = nest.stores[0].how != Store::How::Set;
      const int steps = static_cast<int>(group.steps.size());
      for (int n = bound; n < steps && merged < 0; ++n) {
        const int k = early ? n : steps - 1 - (n - bound);
        Step& other = group.steps[k];
        if (other.kind != Step::Kind::Nest || other.reaches != s.steps[0].reaches || !mergeable(other.nest, nest)) continue;
        bool ok = (!early || other.nest.stores[0].how != Store::How::Max) && (wide[{g, k}].empty() || products.empty() || wide[{g, k}] == products);
        for (auto& [j, at] : where) {  // what it reads of this nest must be the same element, not a reduction
          if (at.first != g || at.second != k || !depends(i, j)) continue;
          const Store& store = statements_[j].steps[0].nest.stores[0];
          if (store.how != Store::How::Set) ok = false;
          std::vector<ExprId> exprs{nest.stores[0].value};
          std::set<ExprId> seen;
          while (!exprs.empty() && ok) {
            ExprId e = exprs.back();
            exprs.pop_back();
            if (!seen.insert(e).second) continue;
            const Expr& x = b_[e];
            exprs.insert(exprs.end(), x.args.begin(), x.args.end());
            if (x.index.computed != kNone) exprs.push_back(x.index.computed);
            if (x.kind != Expr::Kind::Load) continue;
            for (const Index& idx : x.place.indices) {
              if (idx.computed != kNone) exprs.push_back(idx.computed);
            }
            if (x.place.buffer == store.place.buffer && x.place != store.place) ok = false;
          }
        }
        // a value that this nest writes must not be one that the other steps after k still need unwritten: single assignment, so none
        if (ok) merged = k;
      }
    }
    if (merged >= 0) {
      Nest& into = group.steps[merged].nest;
      into.reduced = std::min(into.reduced, s.steps[0].nest.reduced);
      into.stores.push_back(s.steps[0].nest.stores[0]);
      where[i] = {g, merged};
    } else {
      for (Step& step : s.steps) group.steps.push_back(step);
      where[i] = {g, static_cast<int>(group.steps.size()) - 1};
    }
    s.group = g;
    s.nest = where[i].second;
    wide[where[i]].insert(products.begin(), products.end());
    out.nodes.push_back(s.node);
    open.erase(i);
  };
  while (!open.empty()) {
    bool any = false;
    bool fresh = true;
    auto row_group = [&] {
      if (fresh) out.groups.push_back({out.has_rows, {}});
      fresh = false;
      any = true;
    };
    for (bool again = true; again;) {
      again = false;
      for (size_t i : std::set<size_t>(open)) {
        if (!open.count(i) || statements_[i].whole_tile) continue;
        int c = statements_[i].cycle;
        if (c < 0) {
          if (!ready(i)) continue;
          row_group();
          place(i);
          again = true;
        } else if (cycle_ready(c)) {
          row_group();
          for (bool more = true; more;) {
            more = false;
            for (size_t j : std::set<size_t>(open)) {
              if (statements_[j].cycle == c && ready(j)) place(j), more = true;
            }
          }
          again = true;
        }
      }
    }
    fresh = true;
    for (size_t i : std::set<size_t>(open)) {
      if (!statements_[i].whole_tile || !ready(i)) continue;
      if (fresh) out.groups.push_back({false, {}});
      fresh = false;
      any = true;
      place(i);
    }
    if (!any) throw InternalError(name_ + ": no statement of a region is ready");
  }
  // a region is called by its last named value
  for (NodeId id : out.nodes) {
    if (!g_[id].name.empty()) out.name = g_[id].name;
  }
  if (out.name.empty()) out.name = b_.name_of(out.nodes.back());
  function_.parts[part].regions.push_back(std::move(out));
}

void FunctionLowering::form_groups() {
  for (size_t p = 0; p < parts_.size(); ++p) {
    Part part;
    part.loops = parts_[p].cycle >= 0;
    part.layer = parts_[p].layer;
    part.direction = parts_[p].direction;
    function_.parts.push_back(part);
    for (size_t r = 0; r < parts_[p].regions.size(); ++r) form_groups(static_cast<int>(p), static_cast<int>(r), parts_[p].regions[r].members);
  }
}

Function FunctionLowering::lower() {
  function_.name = name_;
  function_.row_range = row_range;
  buffers_ = given;
  select_stored();
  order_features();
  find_demands();
  find_layer_homes();
  build_statements();
  assign_parts();
  assign_regions();
  form_groups();
  join_products();
  run_on_blocks();
  round_operands();
  cut_loops_to_tiles();
  assign_storage();
  plan_memory(function_);
  return std::move(function_);
}

}  // namespace cpuflow::passes::lower
