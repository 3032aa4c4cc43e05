// Statements -> parts (loops over layers) and regions (loops over tiles of rows).
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
