// Statements -> parts (loops over layers) and regions (loops over tiles of rows).
#include "ir/diagnostics.h"
#include "passes/lower/function_lowering.h"

#include <fmt/format.h>

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

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
        int l = 0;
        if (from >= 0) l = cycle_level[from];
        else for (size_t j : it->second) l = std::max(l, level[j]);  // a concatenation has several
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

/// Statements that are placed together: those of one recurrence, or one.
std::vector<std::vector<size_t>> FunctionLowering::units() const {
  std::vector<std::vector<size_t>> out;
  std::map<int, size_t> of_cycle;
  for (size_t i = 0; i < statements_.size(); ++i) {
    const int cycle = statements_[i].cycle;
    if (cycle >= 0 && of_cycle.count(cycle)) {
      out[of_cycle[cycle]].push_back(i);
    } else {
      if (cycle >= 0) of_cycle[cycle] = out.size();
      out.push_back({i});
    }
  }
  return out;
}

/// The first region of its part in which all that a unit reads is there.
FunctionLowering::Earliest FunctionLowering::earliest_region(const std::vector<size_t>& unit) const {
  const std::optional<Axis>& row = statements_[unit[0]].row;
  const PartPlan& plan = parts_[static_cast<size_t>(statements_[unit[0]].part)];
  Earliest out;
  for (size_t i : unit) {
    each_dependency(i, [&](const Read& r, size_t j) {
      if (std::find(unit.begin(), unit.end(), j) != unit.end()) return;
      const Statement& d = statements_[j];
      const bool rows = row && plan.regions[static_cast<size_t>(d.region)].row == row && !d.reduces_rows;
      if (rows && r.how == Read::How::SameRow) {
        out.region = std::max(out.region, d.region);
      } else if (rows && (r.how == Read::How::EarlierRow || r.how == Read::How::LaterRow)) {
        const int order = r.how == Read::How::EarlierRow ? 1 : -1;
        const bool both = out.directions.try_emplace(d.region, order).first->second != order;
        out.region = std::max(out.region, d.region + (both ? 1 : 0));
        if (both) out.obstacle = fmt::format("'{}' and others are read at earlier and at later rows", b_.name_of(r.node));
      } else if (d.region + 1 > out.region) {
        out.region = d.region + 1;
        out.obstacle = fmt::format("'{}' {}", b_.name_of(r.node), d.reduces_rows ? "is complete only after the last row" : rows ? "is read at rows that are not known to be done" : "runs over other rows, or none");
      }
    });
  }
  return out;
}

/// Puts a unit into a region of its part, or opens one.
void FunctionLowering::place_in_region(const std::vector<size_t>& unit) {
  const Statement& first = statements_[unit[0]];
  PartPlan& plan = parts_[static_cast<size_t>(first.part)];
  Earliest earliest = earliest_region(unit);
  int own_direction = 0;
  for (size_t i : unit) {
    if (statements_[i].direction != 0) own_direction = statements_[i].direction;
  }
  int chosen = -1, direction = own_direction;
  for (int k = earliest.region; b_.options.fuse && k < static_cast<int>(plan.regions.size()) && chosen < 0; ++k) {
    const RegionPlan& region = plan.regions[static_cast<size_t>(k)];
    if (region.row != first.row) continue;
    const auto wanted = earliest.directions.find(k);
    const int need = wanted == earliest.directions.end() ? own_direction : wanted->second;
    if (own_direction != 0 && need != own_direction) {
      earliest.obstacle = "it needs rows in one order, and what it reads of a region in the other";
    } else if (need != 0 && region.direction != 0 && need != region.direction) {
      earliest.obstacle = need > 0 ? "it needs rows in order, and the region before it runs backwards" : "it needs rows backwards, and the region before it runs in order";
    } else if (first.row && is_full(plan, k, unit)) {
      earliest.obstacle = "what is read here was held for all rows anyway, and its products come first, while it is near";
    } else {
      chosen = k;
      direction = need;
    }
  }
  if (chosen < 0) {
    chosen = static_cast<int>(plan.regions.size());
    plan.regions.push_back({first.row, direction, {}});
    if (b_.options.fuse && first.row && chosen > 0) decline(first.node, "opens a new region: " + earliest.obstacle);
  } else if (direction != 0) {
    plan.regions[static_cast<size_t>(chosen)].direction = direction;
  }
  for (size_t i : unit) {
    statements_[i].region = chosen;
    plan.regions[static_cast<size_t>(chosen)].members.push_back(i);
  }
}

/// Places units in topological order, the lowest statement first.
void FunctionLowering::assign_regions() {
  for (const Statement& s : statements_) {
    if (s.row || s.steps.empty() || s.steps.back().kind != Step::Kind::Product) continue;
    for (const Read& r : s.reads) read_whole_.insert(r.node);
  }
  const std::vector<std::vector<size_t>> all = units();
  std::vector<size_t> unit_of(statements_.size());
  for (size_t u = 0; u < all.size(); ++u) {
    for (size_t i : all[u]) unit_of[i] = u;
  }
  std::vector<std::set<size_t>> waits(all.size()), frees(all.size());
  for (size_t u = 0; u < all.size(); ++u) {
    for (size_t i : all[u]) {
      each_dependency(i, [&](const Read&, size_t j) {
        if (unit_of[j] != u) waits[u].insert(unit_of[j]);
      });
    }
    for (size_t v : waits[u]) frees[v].insert(u);
  }
  std::set<std::pair<size_t, size_t>> ready;
  for (size_t u = 0; u < all.size(); ++u) {
    if (waits[u].empty()) ready.insert({all[u][0], u});
  }
  size_t placed = 0;
  for (; !ready.empty(); ++placed) {
    const size_t u = ready.begin()->second;
    ready.erase(ready.begin());
    place_in_region(all[u]);
    for (size_t v : frees[u]) {
      waits[v].erase(u);
      if (waits[v].empty()) ready.insert({all[v][0], v});
    }
  }
  if (placed == all.size()) return;
  std::string names;
  for (size_t u = 0; u < all.size(); ++u) {
    if (waits[u].empty()) continue;
    names += fmt::format("\n  '{}' waits for", b_.name_of(statements_[all[u][0]].node));
    for (size_t v : waits[u]) names += fmt::format(" '{}'", b_.name_of(statements_[all[v][0]].node));
  }
  throw InternalError(name_ + ": statements wait for each other:" + names);
}

}  // namespace cpuflow::passes::lower
