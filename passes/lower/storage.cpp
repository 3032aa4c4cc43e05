// How much of each value is held, for how long, and where.
#include "codegen/abi/cache_lines.h"
#include "passes/kit/patterns.h"
#include "passes/lower/function_lowering.h"

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

/// Whether the statement reads its own value at the element that it writes, of another row.
bool FunctionLowering::updates_elements(const Statement& s) const {
  if (s.steps.size() != 1 || s.steps[0].kind != Step::Kind::Nest) return false;
  bool same = true;
  std::set<ExprId> seen;
  for (const Store& store : s.steps[0].nest.stores) {
    if (store.node != s.node) continue;
    const Place& own = store.place;
    const Axes& axes = b_.program.buffers[own.buffer].axes;
    for_each_expr(b_.program, store.value, seen, [&](const Expr& x) {
      if (x.kind != Expr::Kind::Load || x.place.buffer != own.buffer) return;
      for (size_t d = 0; d < axes.size(); ++d) same = same && (axes[d] == *s.row || x.place.indices[d] == own.indices[d]);
    });
  }
  return same;
}

/// Whether a statement of the same rows has read the value of the row before, element by element if not whole, when the value is written.
bool FunctionLowering::reads_before_written(const Statement& reader, const Statement& writer) const {
  if (reader.node == writer.node) return updates_elements(writer);
  if (reader.steps.size() != 1 || writer.steps.size() != 1) return false;
  if (reader.nest != writer.nest) return reader.nest < writer.nest;
  const Nest& nest = function_.parts[writer.part].regions[writer.region].groups[writer.group].steps[writer.nest].nest;
  const auto of = [&](NodeId node) { return std::find_if(nest.stores.begin(), nest.stores.end(), [&](const Store& s) { return s.node == node; }); };
  const auto reads = of(reader.node), writes = of(writer.node);
  if (reads >= writes || writes == nest.stores.end()) return false;
  bool same = true;
  std::set<ExprId> seen;
  for_each_expr(b_.program, reads->value, seen, [&](const Expr& x) {
    if (x.kind != Expr::Kind::Load || x.place.buffer != writes->place.buffer) return;
    const Axes& axes = b_.program.buffers[x.place.buffer].axes;
    for (size_t d = 0; d < axes.size(); ++d) same = same && (axes[d] == *writer.row || x.place.indices[d] == writes->place.indices[d]);
  });
  return same;
}

/// Panels of values that are kept for all rows are kept as well: a call packs the rows that it adds.
void FunctionLowering::keep_panels() {
  auto holds_rows = [&](const Place& place, const Axis& axis) {
    const Buffer& b = b_.program.buffers[place.buffer];
    const int row = index_of(b.axes, b.row);
    return b.persistent && b.rows == Rows::All && row >= 0 && runs_for_new(b.row) && place.indices[static_cast<size_t>(row)] == ProgramBuilder::variable(axis);
  };
  for (Part& part : function_.parts) {
    for (Region& region : part.regions) {
      std::vector<Step*> steps;
      for (Step& s : region.before) steps.push_back(&s);
      for (Group& g : region.groups) {
        for (Step& s : g.steps) steps.push_back(&s);
      }
      for (Step* s : steps) {
        Pack& pack = s->pack;
        if (s->kind != Step::Kind::Pack || b_.program.buffers[pack.dst.buffer].space != Space::Lane) continue;
        if (holds_rows(pack.src, pack.k)) pack.part = Pack::Part::NewRows;
        else if (holds_rows(pack.src, pack.n)) pack.part = Pack::Part::NewColumns;
        else continue;
        const BufferId panels = pack.dst.buffer;
        Buffer& b = b_.program.buffers[panels];
        b.persistent = true;
        if (!part.loops) continue;
        b.axes.insert(b.axes.begin(), part.layer);
        b.strides.insert(b.strides.begin(), b.floats);
        b.floats *= part.layer.size;
        pack.dst.indices.insert(pack.dst.indices.begin(), ProgramBuilder::variable(part.layer));
        for (Step* user : steps) {
          Place& place = user->product.b;
          if (user->kind == Step::Kind::Product && place.buffer == panels) place.indices.insert(place.indices.begin(), ProgramBuilder::variable(part.layer));
        }
      }
    }
  }
}

/// Whether a statement whose rows stand for `positions` each reads nothing of positions that a row does not stand for.
bool FunctionLowering::needs_new_rows_only(const Statement& s, int64_t positions) const {
  if (s.reduces_rows) return false;
  return std::all_of(s.reads.begin(), s.reads.end(), [&](const Read& r) {
    const Axes& axes = g_[r.node].axes;
    if (positions > 1) return std::none_of(axes.begin(), axes.end(), ranged);
    return std::all_of(axes.begin(), axes.end(), [&](const Axis& a) {
      return a.kind != AxisKind::Position || (a == *s.row ? r.how == Read::How::SameRow : ranged(a) && r.same_position);
    });
  });
}

/// Whether what rows collect of so many positions each is read only by positions behind the chunk, so that a row is of no use before it is complete.
bool FunctionLowering::is_read_behind(const Axis& chunk, int64_t positions) const {
  const auto is_constant = [&](NodeId id, auto&& fits) { return g_[id].op == Op::Constant && fits(g_[id].value); };
  const auto is_chunk_before = [&](NodeId index) {
    const Node& n = g_[index];
    if (n.op != Op::Sub || g_[n.inputs[0]].op != Op::FloorDiv || !is_constant(n.inputs[1], [](double v) { return v >= 1; })) return false;
    const Node &of_position = g_[n.inputs[0]], &t = g_[of_position.inputs[0]];
    return is_counter(t) && ranged(t.axes[0]) && is_constant(of_position.inputs[1], [&](double v) { return v == static_cast<double>(positions); });
  };
  std::set<std::pair<NodeId, Axis>> seen;  // what the rows hold, and what they are called there
  std::vector<std::pair<NodeId, Axis>> open;
  for (const Statement& s : statements_) {
    if (s.row == chunk) open.emplace_back(s.node, chunk);
  }
  while (!open.empty()) {
    const auto [id, row] = open.back();
    open.pop_back();
    if (!seen.insert({id, row}).second) continue;
    for (NodeId u : users_[id]) {
      const Node& n = g_[u];
      if (n.op == Op::Gather && n.from[0] == row && n.inputs[1] != id && is_chunk_before(n.inputs[1])) continue;
      const int renamed = n.op == Op::Rename ? index_of(n.from, row) : -1;
      const Axis there = renamed < 0 ? row : n.to[static_cast<size_t>(renamed)];
      const bool later = n.op == Op::Carry && n.from[0] == row && n.ints[0] < 0;
      if (later || !contains(n.axes, there) || std::any_of(n.axes.begin(), n.axes.end(), ranged)) return false;
      open.emplace_back(u, there);
    }
  }
  return true;
}

/// Rows that collect chunks of positions, or are the positions under another name, need to run only where positions are new.
void FunctionLowering::find_chunk_rows() {
  for (NodeId id = 0; id < g_.size(); ++id) {
    const Node& n = g_[id];
    if (n.op != Op::Scatter || !needed_[id] || g_[n.inputs[1]].op != Op::FloorDiv) continue;
    const Node &t = g_[g_[n.inputs[1]].inputs[0]], &size = g_[g_[n.inputs[1]].inputs[1]];
    if (!is_counter(t) || !ranged(t.axes[0]) || size.op != Op::Constant) continue;
    const auto [it, fresh] = chunk_rows_.try_emplace(n.to[0], static_cast<int64_t>(size.value));
    if (!fresh && it->second != static_cast<int64_t>(size.value)) it->second = 0;
  }
  for (const Statement& s : statements_) {
    const auto same_position = [](const Read& r) { return r.same_position; };
    if (s.row && std::any_of(s.reads.begin(), s.reads.end(), same_position)) chunk_rows_.try_emplace(*s.row, 1);
  }
  for (const Statement& s : statements_) {
    const auto it = s.row ? chunk_rows_.find(*s.row) : chunk_rows_.end();
    if (it != chunk_rows_.end() && !needs_new_rows_only(s, it->second)) it->second = 0;
  }
  std::erase_if(chunk_rows_, [](const auto& entry) { return entry.second == 0; });
  for (Part& part : function_.parts) {
    for (Region& region : part.regions) {
      if (auto it = chunk_rows_.find(region.row); region.has_rows && it != chunk_rows_.end()) {
        region.chunk = it->second;
        region.complete = region.chunk > 1 && is_read_behind(region.row, region.chunk);
      }
    }
  }
}

/// Whether a call for new positions runs one row for each of them.
bool FunctionLowering::runs_for_new(const Axis& row) const {
  const auto it = chunk_rows_.find(row);
  return ranged(row) || (it != chunk_rows_.end() && it->second == 1);
}

std::map<NodeId, std::vector<FunctionLowering::Use>> FunctionLowering::find_uses() const {
  std::map<NodeId, std::vector<Use>> uses;
  for (size_t i = 0; i < statements_.size(); ++i) {
    for (const Read& r : statements_[i].reads) uses[r.node].push_back({i, r});
  }
  return uses;
}

/// Whether each layer may write over what the layer before left: that was read by then, and nothing else of it is asked for.
bool FunctionLowering::may_pass_on(NodeId node, const Statement& producer, const std::vector<Use>& uses) const {
  const Part& part = function_.parts[producer.part];
  if (!part.loops || statements_of_.at(node).size() != 1) return false;
  const int64_t last = part.direction > 0 ? int64_t{part.layer.size} - 1 : 0;
  bool carried = false;
  for (const Use& u : uses) {
    const Statement& reader = statements_[u.statement];
    const Read& r = u.read;
    if (reader.part != producer.part) {
      if (reader.part < producer.part || r.layer != last) return false;
      continue;
    }
    if (r.same_layer) continue;
    if (r.layers_later != -part.direction) return false;
    carried = true;
    if (reader.region != producer.region) {
      if (reader.region > producer.region) return false;
      continue;
    }
    if (r.how != Read::How::SameRow || reader.group > producer.group) return false;
    if (reader.group < producer.group) continue;
    if (!part.regions[producer.region].groups[producer.group].by_row || reader.nest > producer.nest) return false;
    if (reader.nest == producer.nest && (reader.node != node || !r.same_element)) return false;
  }
  return carried;
}

/// Of what is held for some rows, or moved with them, a row lies together.
void FunctionLowering::lay_out_by_rows(Buffer& b) const {
  const size_t last = b.axes.size() - 1;
  if (b.axes.size() < 2 || b.axes[last] != b.row || b.axes[last - 1].kind != AxisKind::Feature) return;
  int64_t stride = 1;
  for (size_t i = last; i-- > 0 && b.axes[i].kind == AxisKind::Feature;) b.strides[i] = stride, stride *= b.axes[i].size;
  b.strides[last] = stride;
}

/// How many rows and layers of each value are held, and what is kept between calls.
void FunctionLowering::choose_held() {
  std::map<NodeId, std::vector<Use>> uses = find_uses();
  for (auto& [node, buffer] : buffers_) {
    Buffer& b = b_.program.buffers[buffer];
    if (b.space != Space::Lane && !(b.space == Space::Shared && rate_ <= Rate::Step)) continue;
    auto it = statements_of_.find(node);
    if (it == statements_of_.end()) continue;
    const Statement& producer = statements_[it->second[0]];
    const Region* region = &function_.parts[producer.part].regions[producer.region];
    const int home = layer_home_[node];
    bool layers = home < 0, rows_all = !producer.row || !contains(b.axes, *producer.row) || !b_.options.fuse || b.space == Space::Shared;
    bool same_region = true, same_group = true, same_nest = true, near = true, bounded = true;
    bool in_place = true;  // rows that are read are read where the next one is written
    int64_t distance = 0;
    for (size_t s : it->second) {  // the parts of a concatenation may stand apart
      if (statements_[s].part != producer.part) layers = true;
      same_region = same_region && statements_[s].part == producer.part && statements_[s].region == producer.region;
      same_group = same_group && statements_[s].group == producer.group;
      same_nest = same_nest && statements_[s].nest == producer.nest;
    }
    for (const Use& u : uses[node]) {
      const Statement& reader = statements_[u.statement];
      if (reader.part != producer.part || !u.read.same_layer) layers = true;
      const bool here = reader.part == producer.part && reader.region == producer.region && u.read.same_layer;
      const bool earlier = here && u.read.how == (region->direction < 0 ? Read::How::LaterRow : Read::How::EarlierRow);  // in the order of the rows
      near = near && here && (earlier || u.read.how == Read::How::SameRow);
      same_region = same_region && here && u.read.how == Read::How::SameRow;
      same_group = same_group && here && reader.group == producer.group;
      same_nest = same_nest && here && reader.nest == producer.nest;
      bounded = bounded && (u.read.how == Read::How::EarlierRow || u.read.how == Read::How::SameRow);
      if (earlier) {
        distance = std::max(distance, u.read.distance);
        in_place = in_place && u.read.distance == 1 && reader.group == producer.group && reads_before_written(reader, producer);
      }
      if (u.read.how != Read::How::SameRow && row_range) b.persistent = true;
    }
    if (row_range && producer.reduces_rows && ranged(*producer.row)) b.persistent = true;
    if (b.space == Space::Shared || b.persistent) layers = true;
    else if (layers && b.space == Space::Lane && may_pass_on(node, producer, uses[node])) layers = false, passed_on_.insert(buffer);
    near = near && distance > 0 && !rows_all && region->chunk == 0 && g_[node].op != Op::Saved;  // rows of bf16 are not moved
    for (size_t s : it->second) near = near && statements_[s].part == producer.part && statements_[s].region == producer.region;
    const bool by_row = region->groups[producer.group].by_row;
    const bool nest = producer.steps.size() == 1 && producer.steps[0].kind == Step::Kind::Nest && it->second.size() == 1;
    if (producer.row) b.row = *producer.row;
    // what rows add to is set to zero once, for all of them
    const bool filled = !producer.reduces_rows && std::any_of(producer.before.begin(), producer.before.end(), [&](const Step& s) {
      return s.kind == Step::Kind::Fill;
    });
    b.rows = rows_all || filled || !same_region ? Rows::All : !same_group || !by_row ? Rows::Tile : same_nest && nest ? Rows::Register : Rows::One;
    if (b.persistent) b.rows = Rows::All;
    if (in_blocks_.count(buffer)) b.rows = Rows::Block;
    if (near && in_place && same_group && by_row && it->second.size() == 1 && !filled) {
      b.rows = Rows::One;
    } else if (near && region->direction >= 0 && !filled) {
      b.rows = Rows::Tile;
    }
    if (bounded && b.rows != Rows::One && g_[node].op != Op::Saved) b.history = distance;
    if (b.rows != Rows::All || b.history > 0) lay_out_by_rows(b);
    if (!layers) {
      for (size_t i = 0; i < b.axes.size(); ++i) {
        if (b.axes[i].kind == AxisKind::Layer) b.strides[i] = 0;
      }
    }
  }
}

/// A tile is as high as its largest value allows, but not so low that what its products read, and the gradients that they add to, cost more than its values.
void FunctionLowering::choose_tiles() {
  for (Part& part : function_.parts) {
    for (Region& region : part.regions) {
      if (!region.has_rows) continue;
      int64_t widest = 0;
      for (NodeId id : region.nodes) {
        auto it = buffers_.find(id);
        if (it == buffers_.end()) continue;
        const Buffer& b = b_.program.buffers[it->second];
        if (b.rows == Rows::Tile) widest = std::max(widest, floats_of(b, b.strides[index_of(b.axes, region.row)]));
      }
      bool sums_rows = false, wide = false;
      int64_t panels = 0;  // floats that the products of a tile read of matrices
      for (const Group& g : region.groups) {
        for (const Step& s : g.steps) {
          if (s.kind != Step::Kind::Product) continue;
          sums_rows = sums_rows || s.product.k == region.row;
          wide = wide || !s.product.blocks.empty();
          if (s.product.bf16 && s.product.m == region.row && s.product.loops.empty()) panels += panel_floats(b_.program, s.product.k.size, s.product.n.size, true);
        }
      }
      wide = wide || panels > b_.options.second_cache_floats;  // bf16 products of few rows have no time to read them
      const int64_t fits = widest > 0 ? std::max(b_.options.large_floats / widest, b_.options.least_tile) : region.row.size;
      int64_t tile = sums_rows ? fits : std::min(wide ? 4 * b_.options.tile : b_.options.tile, fits);
      if (!b_.options.fuse) tile = region.row.size;
      tile = std::clamp<int64_t>(tile, 1, region.row.size);
      const int64_t tiles = (region.row.size + tile - 1) / tile;
      region.tile = (region.row.size + tiles - 1) / tiles;  // of equal height
    }
  }
  level_cut_tiles();
}

/// Where loops look at positions near their tile only, what one region makes is what another reads if their tiles are the same: whole panels, which
/// products of two positions a unit need.
void FunctionLowering::level_cut_tiles() {
  if (row_range) return;
  std::map<int64_t, std::vector<Region*>> cut;  // by number of positions
  for (Part& part : function_.parts) {
    for (Region& region : part.regions) {
      const std::vector<const Step*> steps = steps_of(region);
      if (std::any_of(steps.begin(), steps.end(), [](const Step* s) { return !s->reaches.empty(); })) cut[region.row.size].push_back(&region);
    }
  }
  for (const auto& [positions, regions] : cut) {
    int64_t height = positions;
    for (const Region* region : regions) height = std::min(height, region->tile);
    height = (height + b_.program.panel - 1) / b_.program.panel * b_.program.panel;
    for (Region* region : regions) {
      region->tile = std::min(height, positions);
      if (height < positions) continue;
      for (Group& g : region->groups) {
        for (Step& s : g.steps) s.reaches.clear();  // one tile
      }
    }
  }
}

/// Strides of what is held for layers or rows, and with them how large each buffer is.
void FunctionLowering::size_buffers() {
  for (auto& [node, buffer] : buffers_) {
    Buffer& b = b_.program.buffers[buffer];
    auto it = statements_of_.find(node);
    if (it == statements_of_.end() || b.space == Space::Out || b.space == Space::Grads || b.space == Space::Losses) continue;
    const Statement& producer = statements_[it->second[0]];
    int64_t elements = 1, rows = 1;
    for (size_t i = b.axes.size(); i-- > 0;) {
      if (b.axes[i].kind == AxisKind::Layer) {
        if (b.strides[i] != 0) b.strides[i] = elements * rows, elements *= b.axes[i].size;
        continue;
      }
      if (producer.row && b.axes[i] == *producer.row && b.rows != Rows::All) {
        rows = b.rows == Rows::Tile ? function_.parts[producer.part].regions[producer.region].tile + b.history : 1;
        elements = std::max(elements, b.strides[i]);
        continue;
      }
      elements = std::max(elements, b.strides[i] * b.axes[i].size);
    }
    b.floats = b.rows == Rows::Block ? 0 : floats_of(b, elements * rows);
    const bool layers = std::any_of(b.axes.begin(), b.axes.end(), [&](const Axis& a) { return a.kind == AxisKind::Layer && b.strides[index_of(b.axes, a)] != 0; });
    b.far = b_.options.fuse && rate_ == Rate::Sequence && !row_range && b.space == Space::Lane && b.rows == Rows::All && (layers || b.floats > b_.options.second_cache_floats);
  }
}

/// How much there is to set to zero: before the rows, all that a buffer holds; in a loop over rows, the rows at hand.
void FunctionLowering::size_fills() {
  for (Part& part : function_.parts) {
    for (Region& region : part.regions) {
      auto size = [&](Step& s, bool at_rows) {
        if (s.kind != Step::Kind::Fill) return;
        const Buffer& b = b_.program.buffers[s.fill.place.buffer];
        s.fill.floats = b.floats;
        for (size_t i = 0; i < b.axes.size(); ++i) {  // layers come before rows
          const bool layer = part.loops && b.axes[i] == part.layer, row = at_rows && region.has_rows && b.axes[i] == region.row;
          s.fill.place.indices[i] = layer || row ? ProgramBuilder::variable(b.axes[i]) : ProgramBuilder::fixed(0);
          if (layer && b.strides[i] != 0) s.fill.floats = b.floats / b.axes[i].size;
          if (row) s.fill.floats = b.strides[i];
        }
      };
      for (Step& s : region.before) {
        size(s, false);
        if (s.kind == Step::Kind::Fill) s.fill.at_start = row_range && region.has_rows && ranged(region.row) && b_.program.buffers[s.fill.place.buffer].persistent;
      }
      for (Group& g : region.groups) {
        for (Step& s : g.steps) size(s, true);
      }
    }
  }
}

void FunctionLowering::assign_storage() {
  if (row_range) find_chunk_rows();
  choose_held();
  if (row_range) keep_panels();
  choose_tiles();
  size_buffers();
  keep_history();
  size_fills();
}

/// Floats of a kept buffer that later rows read.
int64_t FunctionLowering::carried(const Buffer& b) const {
  if (b.history == 0) return b.floats;
  int64_t floats = 1;
  for (size_t i = 0; i < b.axes.size(); ++i) {
    if (b.strides[i] != 0) floats *= b.axes[i] == b.row ? b.history : b.axes[i].size;
  }
  return floats;
}

/// The end of each tile: rows that the next one reads.
void FunctionLowering::keep_history() {
  for (const auto& [node, buffer] : buffers_) {
    const Buffer& b = b_.program.buffers[buffer];
    if (b.history == 0 || b.rows != Rows::Tile) continue;
    const Statement& producer = statements_[statements_of_.at(node)[0]];
    const Part& part = function_.parts[producer.part];
    std::vector<Group>& groups = function_.parts[producer.part].regions[producer.region].groups;
    if (groups.back().steps.empty() || groups.back().steps[0].kind != Step::Kind::Shift) groups.push_back({false, {}});
    const auto layer = std::find_if(b.axes.begin(), b.axes.end(), [](const Axis& a) { return a.kind == AxisKind::Layer; });
    const bool every_layer = layer != b.axes.end() && !(part.loops && part.layer == *layer);  // in one pass over the rows
    for (int64_t l = 0; l < (every_layer ? int64_t{layer->size} : 1); ++l) {
      Step step;
      step.kind = Step::Kind::Shift;
      step.shift.rows = b.history;
      step.shift.place.buffer = buffer;
      for (const Axis& a : b.axes) {
        step.shift.place.indices.push_back(a.kind != AxisKind::Layer ? ProgramBuilder::fixed(0) : every_layer ? ProgramBuilder::fixed(l) : ProgramBuilder::variable(a));
      }
      groups.back().steps.push_back(step);
    }
  }
}

/// From which region to which each buffer is needed.
std::map<BufferId, FunctionLowering::Life> FunctionLowering::find_lives(const Function& f) const {
  std::map<BufferId, Life> lives;
  int index = 0;
  auto touch = [&](BufferId b, int from, int to) {
    const Buffer& buffer = b_.program.buffers[b];
    if (buffer.space != Space::Lane || !buffer.in_memory()) return;
    Life& l = lives[b];
    l.from = std::min(l.from, from);
    l.to = std::max(l.to, to);
  };
  for (const Part& part : f.parts) {
    int first = index, last = index + static_cast<int>(part.regions.size()) - 1;
    for (const Region& region : part.regions) {
      auto place = [&](const Place& p, Access) {
        const Buffer& b = b_.program.buffers[p.buffer];
        bool across = passed_on_.count(p.buffer) != 0;  // from layer to layer, held for every one, or made before this part
        for (size_t i = 0; i < b.axes.size(); ++i) across = across || (b.axes[i].kind == AxisKind::Layer && b.strides[i] != 0);
        if (part.loops && (across || (lives.count(p.buffer) && lives[p.buffer].from < first))) touch(p.buffer, first, last);
        else touch(p.buffer, index, index);
      };
      for (const Step* s : steps_of(region)) for_each_place(b_.program, *s, place);
      ++index;
    }
  }
  for (auto& [b, life] : lives) {
    if (b_.program.buffers[b].persistent) life = {0, index};
  }
  return lives;
}

namespace {

/// Floats from a buffer to the next.  Large ones do not begin equally far from the start of a page: where rows of several are written side by side, a
/// core that compares the last twelve bits of addresses takes them for one place, and waits.
int64_t floats_taken(const Buffer& b) {
  constexpr int64_t kPage = 1024, kApart = 9 * 16;
  const int64_t floats = codegen::whole_cache_lines(b.floats);
  return floats < kPage ? floats : floats + kApart;
}

}  // namespace

void FunctionLowering::plan_memory(Function& f) {
  std::map<BufferId, Life> lives = find_lives(f);
  std::vector<BufferId> order;
  for (const auto& [b, life] : lives) order.push_back(b);
  std::sort(order.begin(), order.end(), [&](BufferId a, BufferId b) {
    const Buffer &x = b_.program.buffers[a], &y = b_.program.buffers[b];
    return std::pair(!x.persistent, -x.floats) < std::pair(!y.persistent, -y.floats);
  });
  // the largest first, each at the lowest place that is free for all of its life
  std::vector<BufferId> done;
  for (BufferId b : order) {
    Buffer& buffer = b_.program.buffers[b];
    const int64_t size = floats_taken(buffer);
    std::vector<std::pair<int64_t, int64_t>> taken;
    for (BufferId d : done) {
      if (lives[d].to < lives[b].from || lives[b].to < lives[d].from) continue;
      taken.push_back({b_.program.buffers[d].offset, floats_taken(b_.program.buffers[d])});
    }
    std::sort(taken.begin(), taken.end());
    int64_t at = 0;
    for (auto [offset, floats] : taken) {
      if (at + size <= offset) break;
      at = std::max(at, offset + floats);
    }
    buffer.offset = at;
    f.lane_floats = std::max(f.lane_floats, at + size);
    if (buffer.persistent) {  // kept values come first
      f.state_floats = std::max(f.state_floats, at + size);
      f.carried_floats += carried(buffer);
    }
    done.push_back(b);
  }
}

}  // namespace cpuflow::passes::lower
