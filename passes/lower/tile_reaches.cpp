// Which positions the loops of a tile look at where a sequence runs whole: what a condition such as s <= t leaves out for all rows of a tile is neither
// made nor read.
#include "passes/kit/windows.h"
#include "passes/lower/function_lowering.h"

#include <algorithm>
#include <array>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

/// A loop over positions runs over those up to the last row of the tile, or over those from its first row on.
enum Direction : uint8_t { kEarlier, kLater };

bool is_variable(const Index& index, const Axis& axis) { return index == ProgramBuilder::variable(axis); }

/// Finds the largest set of loops that can be cut short: what each leaves out has no effect on what it reduces, and nothing reads it of what it stores.
class TileReaches {
 public:
  /// `whole`: buffers that are read by others.
  TileReaches(const Graph& g, const LoopProgram& p, Function& f, const std::set<BufferId>& whole) : g_(g), p_(p), whole_(whole) {
    for (Part& part : f.parts) {
      for (Region& region : part.regions) collect(region);
    }
  }

  void cut() {
    narrow();
    for (Loop& l : loops_) l.allowed[kLater] = l.allowed[kLater] && !l.allowed[kEarlier];
    narrow();
    for (Loop& l : loops_) {
      const int64_t all = int64_t{l.axis.size} - 1;
      if (l.allowed[kEarlier]) l.step->reaches.push_back({l.axis, all, 0});
      else if (l.allowed[kLater]) l.step->reaches.push_back({l.axis, 0, all});
    }
  }

 private:
  struct Loop {
    Step* step;
    Axis row, axis;
    std::array<bool, 2> allowed = {true, true};
  };

  struct Reader {
    Place place;
    const Step* step;
    Axis row;
  };

  void collect(Region& region) {
    for (const Step& s : region.before) read(s, {});
    for (Group& g : region.groups) {
      for (Step& s : g.steps) {
        read(s, region.row);
        if (region.has_rows && region.row.kind == AxisKind::Position && s.reaches.empty()) collect(s, region.row);
      }
    }
  }

  void collect(Step& s, const Axis& row) {
    const bool product = s.kind == Step::Kind::Product && s.product.blocks.empty() && s.product.more.empty();
    if (s.kind != Step::Kind::Nest && !product) return;
    for (const Axis& a : loops_of(s)) {
      if (a.kind != AxisKind::Position || a.size != row.size || a == row || index_.count({&s, a})) continue;
      index_[{&s, a}] = loops_.size();
      loops_.push_back({&s, row, a});
    }
  }

  void read(const Step& s, const Axis& row) {
    for_each_place(p_, s, [&](const Place& place, Access access) {
      if (!writes(access)) readers_[place.buffer].push_back({place, &s, row});
    });
  }

  bool runs(const Step* s, const Axis& axis, Direction d) const {
    const auto it = index_.find({s, axis});
    return it != index_.end() && loops_[it->second].allowed[d];
  }

  /// Whether a reader looks at no element whose index along the buffer's axis number `later` is that of a tile before that along `earlier`.
  bool keeps_to(const Reader& r, size_t later, size_t earlier) const {
    const Index &i = r.place.indices[later], &j = r.place.indices[earlier];
    if (i.terms.size() != 1 || j.terms.size() != 1) return false;
    const Axis t = i.terms[0].first, s = j.terms[0].first;
    if (!is_variable(i, t) || !is_variable(j, s)) return false;
    return (t == r.row && runs(r.step, s, kEarlier)) || (s == r.row && runs(r.step, t, kLater));
  }

  /// Whether a loop may be cut short for what is stored: a sum over the row or over the loop must not need the rest, an element of both must not be read.
  bool may(const Loop& l, Direction d, NodeId node, const Place& place) const {
    const Buffer& b = p_.buffers[place.buffer];
    std::optional<size_t> row, at;
    for (size_t i = 0; i < place.indices.size(); ++i) {
      const Index& index = place.indices[i];
      if (is_variable(index, l.row)) row = i;
      else if (is_variable(index, l.axis)) at = i;
      else if (index.computed != kNone || index.along(l.row) != 0 || index.along(l.axis) != 0) return false;
    }
    if (!row || !at) {
      const Axis &t = d == kEarlier ? l.row : l.axis, &s = d == kEarlier ? l.axis : l.row;
      const Limits limits = effect(g_, node, s);
      const auto it = limits.find(t);
      return it != limits.end() && it->second.not_later;
    }
    if (b.space != Space::Lane || whole_.count(place.buffer)) return false;
    const auto readers = readers_.find(place.buffer);
    return readers == readers_.end() || std::all_of(readers->second.begin(), readers->second.end(), [&](const Reader& r) {
      return d == kEarlier ? keeps_to(r, *row, *at) : keeps_to(r, *at, *row);
    });
  }

  bool may(const Loop& l, Direction d) const {
    if (l.step->kind == Step::Kind::Product) return may(l, d, l.step->product.node, l.step->product.c);
    const std::vector<Store>& stores = l.step->nest.stores;
    return std::all_of(stores.begin(), stores.end(), [&](const Store& s) { return may(l, d, s.node, s.place); });
  }

  /// Leaves what may be cut short as long as all the others are.
  void narrow() {
    for (bool again = true; again;) {
      again = false;
      for (Loop& l : loops_) {
        for (const Direction d : {kEarlier, kLater}) {
          if (!l.allowed[d] || may(l, d)) continue;
          l.allowed[d] = false;
          again = true;
        }
      }
    }
  }

  const Graph& g_;
  const LoopProgram& p_;
  const std::set<BufferId>& whole_;
  std::vector<Loop> loops_;
  std::map<std::pair<const Step*, Axis>, size_t> index_;
  std::map<BufferId, std::vector<Reader>> readers_;
};

}  // namespace

void FunctionLowering::cut_loops_to_tiles() {
  if (!b_.options.fuse || row_range || rate_ != Rate::Sequence) return;
  std::set<BufferId> whole;
  for (NodeId id : roots) {
    if (const auto it = buffers_.find(id); it != buffers_.end()) whole.insert(it->second);
  }
  TileReaches(g_, b_.program, function_, whole).cut();
}

}  // namespace cpuflow::passes::lower
