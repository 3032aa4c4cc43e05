// Groups: the statements of a region in an order in which each finds what it reads, as loops over the rows of a tile or as products of the whole tile; and
// the nests of a row, of which those with equal loops run as one.
#include "ir/diagnostics.h"
#include "passes/build_backward.h"
#include "passes/lower/function_lowering.h"

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

bool same_loops(const Nest& a, const Nest& b) { return a.loops == b.loops && a.lane == b.lane && a.reduced == b.reduced && a.nonzeros == b.nonzeros; }

/// Nests with equal loops, of which some reduce the innermost ones, can run as one.
bool mergeable(const Nest& a, const Nest& b) {
  if (same_loops(a, b)) return true;
  return a.loops == b.loops && a.lane == b.lane && !a.nonzeros && !b.nonzeros && a.lane + 1 == static_cast<int>(a.loops.size()) && a.reduced >= a.loops.size() - 1 &&
         b.reduced >= b.loops.size() - 1;
}

}  // namespace

/// A region while its statements find their groups.
struct FunctionLowering::Grouping {
  Region out;
  std::set<size_t> open;                        // statements that have none yet
  std::map<size_t, std::pair<int, int>> where;  // statement -> group, step
  std::set<NodeId> wide_products;               // used while they are made (blocks.cpp), one at a time:
  std::map<std::pair<int, int>, std::set<NodeId>> wide;  // what reads one does not run with what reads another.  group, step -> those that it reads
};

/// Whether a statement reads what another computes for the same layer; a recurrence's own earlier rows are there.
bool FunctionLowering::waits_for(size_t i, size_t j) const {
  const Statement &reader = statements_[i], &other = statements_[j];
  for (const Read& r : reader.reads) {
    if (r.node != other.node || (!r.same_layer && layer_home_.at(r.node) >= 0)) continue;
    if (reader.cycle >= 0 && reader.cycle == other.cycle && r.how != Read::How::SameRow) continue;
    if (reader.node != other.node) return true;
  }
  return false;
}

bool FunctionLowering::is_ready(const Grouping& grouping, size_t i) const {
  return std::none_of(grouping.open.begin(), grouping.open.end(), [&](size_t j) { return j != i && waits_for(i, j); });
}

bool FunctionLowering::is_cycle_ready(const Grouping& grouping, int cycle) const {
  for (size_t i : grouping.open) {
    if (statements_[i].cycle != cycle) continue;
    for (size_t j : grouping.open) {
      if (statements_[j].cycle != cycle && waits_for(i, j)) return false;
    }
  }
  return true;
}

std::set<NodeId> FunctionLowering::wide_reads(const Grouping& grouping, const Statement& s) const {
  std::set<NodeId> products;
  for (const Read& r : s.reads) {
    if (grouping.wide_products.count(r.node)) products.insert(r.node);
  }
  return products;
}

/// Whether a nest reads of what `store` writes the element at hand only: then it may run in the same loops.
bool FunctionLowering::reads_same_element(const Nest& nest, const Store& store) const {
  bool same = true;
  std::set<ExprId> seen;
  for_each_expr(b_.program, nest.stores[0].value, seen, [&](const Expr& x) {
    same = same && !(x.kind == Expr::Kind::Load && x.place.buffer == store.place.buffer && x.place != store.place);
  });
  return same;
}

/// Whether a statement's nest, with these loops, can run in a step of the last group.
bool FunctionLowering::fits(Grouping& grouping, size_t i, const Nest& nest, int step) const {
  const int g = static_cast<int>(grouping.out.groups.size()) - 1;
  const Nest& other = grouping.out.groups.back().steps[static_cast<size_t>(step)].nest;
  if (!mergeable(other, nest) || (nest.stores[0].how != Store::How::Set && other.stores[0].how == Store::How::Max)) return false;
  const std::set<NodeId> products = wide_reads(grouping, statements_[i]);
  const std::set<NodeId>& others = grouping.wide[{g, step}];
  if (!others.empty() && !products.empty() && others != products) return false;
  // what it reads of this nest must be the same element, not a reduction
  return std::all_of(grouping.where.begin(), grouping.where.end(), [&](const auto& placed) {
    const auto& [j, at] = placed;
    if (at != std::pair(g, step) || !waits_for(i, j)) return true;
    const Store& store = statements_[j].steps[0].nest.stores[0];
    return store.how == Store::How::Set && reads_same_element(nest, store);
  });
}

/// The step of the last group that a statement's nest runs in, with the loops that stand there, or -1.
int FunctionLowering::join_nest(Grouping& grouping, size_t i) {
  Statement& s = statements_[i];
  const Group& group = grouping.out.groups.back();
  if (!b_.options.fuse || !group.by_row || s.steps.size() != 1 || s.steps[0].kind != Step::Kind::Nest) return -1;
  const int g = static_cast<int>(grouping.out.groups.size()) - 1, steps = static_cast<int>(group.steps.size());
  int first = 0;  // that may take it
  for (const auto& [j, at] : grouping.where) {
    if (at.first == g && waits_for(i, j)) first = std::max(first, at.second);
  }
  // A reduction as early as it can be, for others wait for it, but not beside the search for a largest number, which may end early (blocks.cpp);
  // anything else as late as it can be, near to what reads it.
  Nest& nest = s.steps[0].nest;
  const bool early = nest.stores[0].how != Store::How::Set;
  for (const bool as_it_is : {true, false}) {
    for (int n = first; n < steps; ++n) {
      const int k = early ? n : steps - 1 - (n - first);
      const Step& other = group.steps[static_cast<size_t>(k)];
      if (other.kind != Step::Kind::Nest || other.reaches != s.steps[0].reaches) continue;
      const std::optional<Nest> changed = as_it_is ? std::nullopt : in_loops_of(nest, other.nest);
      if (!as_it_is && !changed) continue;
      if (!fits(grouping, i, changed ? *changed : nest, k)) continue;
      if (changed) nest = *changed;
      return k;
    }
  }
  return -1;
}

/// Gives a statement its place at the end of the last group, or in one of its nests.
void FunctionLowering::place(Grouping& grouping, size_t i) {
  Statement& s = statements_[i];
  Group& group = grouping.out.groups.back();
  for (const Step& step : s.before) grouping.out.before.push_back(step);
  int step = join_nest(grouping, i);
  if (step >= 0) {
    Nest& into = group.steps[step].nest;
    into.reduced = std::min(into.reduced, s.steps[0].nest.reduced);
    into.stores.push_back(s.steps[0].nest.stores[0]);
  } else {
    for (const Step& own : s.steps) group.steps.push_back(own);
    step = static_cast<int>(group.steps.size()) - 1;
  }
  s.group = static_cast<int>(grouping.out.groups.size()) - 1;
  s.nest = step;
  const std::set<NodeId> products = wide_reads(grouping, s);
  grouping.where[i] = {s.group, step};
  grouping.wide[{s.group, step}].insert(products.begin(), products.end());
  grouping.out.nodes.push_back(s.node);
  grouping.open.erase(i);
}

/// All that can run row by row now; whether there is any.
bool FunctionLowering::place_rows(Grouping& grouping) {
  bool any = false;
  auto in_group = [&] {
    if (!any) grouping.out.groups.push_back({grouping.out.has_rows, {}});
    any = true;
  };
  for (bool again = true; again;) {
    again = false;
    for (size_t i : std::set<size_t>(grouping.open)) {
      if (!grouping.open.count(i) || statements_[i].whole_tile) continue;
      const int cycle = statements_[i].cycle;
      if (cycle < 0 ? !is_ready(grouping, i) : !is_cycle_ready(grouping, cycle)) continue;
      in_group();
      again = true;
      if (cycle < 0) place(grouping, i);
      for (bool more = cycle >= 0; more;) {
        more = false;
        for (size_t j : std::set<size_t>(grouping.open)) {
          if (statements_[j].cycle == cycle && is_ready(grouping, j)) place(grouping, j), more = true;
        }
      }
    }
  }
  return any;
}

/// All products of the whole tile that are ready; whether there is any.
bool FunctionLowering::place_whole(Grouping& grouping) {
  bool any = false;
  for (size_t i : std::set<size_t>(grouping.open)) {
    if (!statements_[i].whole_tile || !is_ready(grouping, i)) continue;
    if (!any) grouping.out.groups.push_back({false, {}});
    any = true;
    place(grouping, i);
  }
  return any;
}

Region FunctionLowering::grouped(const RegionPlan& plan) {
  Grouping grouping;
  Region& out = grouping.out;
  out.has_rows = plan.row.has_value();
  if (out.has_rows) {
    out.row = *plan.row;
    out.direction = plan.direction;
    out.tile = std::min<int64_t>(b_.options.tile, plan.row->size);
  }
  grouping.open = {plan.members.begin(), plan.members.end()};
  for (const size_t i : plan.members) {
    const std::vector<Step>& steps = statements_[i].steps;
    if (steps.size() == 1 && steps[0].kind == Step::Kind::Product && steps[0].product.n.size >= b_.options.wide) grouping.wide_products.insert(statements_[i].node);
  }
  while (!grouping.open.empty()) {
    const bool rows = place_rows(grouping), whole = place_whole(grouping);
    if (!rows && !whole) throw InternalError(name_ + ": no statement of a region is ready");
  }
  out.name = name_of_region(out.nodes);
  return std::move(out);
}

/// The last value that the model file names, else its gradient, else an operation and what it is for.
std::string FunctionLowering::name_of_region(const std::vector<NodeId>& nodes) const {
  std::string value, gradient;
  for (NodeId id : nodes) {
    const std::string& name = g_[id].name;
    if (!name.empty()) (name.starts_with(kGradientOf) ? gradient : value) = name;
  }
  if (!value.empty() || !gradient.empty()) return value.empty() ? gradient : value;
  const std::string purpose = b_.purpose_of(nodes.back());
  return b_.name_of(nodes.back()) + (purpose.empty() ? "" : " for " + purpose);
}

void FunctionLowering::form_groups() {
  for (const PartPlan& plan : parts_) {
    Part part;
    part.loops = plan.cycle >= 0;
    part.layer = plan.layer;
    part.direction = plan.direction;
    for (const RegionPlan& region : plan.regions) part.regions.push_back(grouped(region));
    function_.parts.push_back(std::move(part));
  }
}

}  // namespace cpuflow::passes::lower
