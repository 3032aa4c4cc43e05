#include "ir/diagnostics.h"
#include "ir/loops.h"
#include "ir/op.h"
#include "ir/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace cpuflow::ir {
namespace {

class Verifier {
 public:
  explicit Verifier(const LoopProgram& p) : p_(p) {}

  void run() {
    check(p_.panel > 0, "a panel has no columns");
    for (BufferId id = 0; id < p_.buffers.size(); ++id) buffer(id);
    for (ExprId id = 0; id < p_.exprs.size(); ++id) {
      expression(id);
      bounds_.push_back(bounds(p_.exprs[id]));
    }
    std::set<std::string> names;
    for (const Function& f : p_.functions) {
      check(names.insert(f.name).second, "two functions have this name", f.name);
      function(f);
    }
  }

 private:
  void check(bool holds, const std::string& what, const std::string& where = "") const {
    if (holds) return;
    throw InternalError(fmt::format("invalid loop program: {}: {}", where.empty() ? where_ : where, what));
  }

  std::string called(BufferId id) const { return fmt::format("@{} ({})", id, p_.buffers[id].name); }

  // buffers

  /// Rows that a buffer holds of its row axis at least; a tile's height is its region's.
  static int64_t held(const Buffer& b, size_t axis) {
    if (b.strides[axis] == 0) return 1;
    if (b.axes[axis] != b.row || b.rows == Rows::All) return b.axes[axis].size;
    return b.rows == Rows::Tile ? 1 + b.history : 1;
  }

  void buffer(BufferId id) {
    const Buffer& b = p_.buffers[id];
    const std::string where = called(id);
    check(b.strides.size() == b.axes.size(), "a buffer needs one stride for each axis", where);
    check(b.offset >= 0 && b.floats >= 0 && b.history >= 0, "sizes and offsets are not negative", where);
    int64_t last = 0;
    for (size_t d = 0; d < b.axes.size(); ++d) {
      check(b.strides[d] >= 0, "strides are not negative", where);
      last += (held(b, d) - 1) * b.strides[d];
    }
    const bool sized = b.space == Space::Lane || b.space == Space::Shared || b.space == Space::Literal;
    if (sized && b.in_memory() && b.floats > 0) check(last < b.elements(), "its last element lies outside of it", where);
    if (b.bf16) check(b.space == Space::Lane && b.dtype == DType::Real, "only real numbers of scratch are kept in bf16", where);
    if (b.space == Space::Literal) check(last < static_cast<int64_t>(b.values.size()), "a literal has fewer values than elements", where);
    if (b.rows != Rows::All) check(b.space == Space::Lane || b.space == Space::Shared, "only scratch may hold fewer than all rows", where);
    if (b.history > 0) check(b.rows == Rows::Tile || b.rows == Rows::All, "earlier rows are held by tiles, or by all rows", where);
    check(!b.persistent || b.space == Space::Lane, "only scratch can be kept between calls", where);
    if (!b.in_memory()) return;
    if (b.space == Space::Shared) check(b.offset + b.floats <= p_.shared_floats, "it ends after the shared values", where);
    if (b.space == Space::Losses || b.space == Space::Sums) check(b.offset + b.floats <= p_.loss_floats, "it ends after the losses", where);
    if (b.space == Space::Grads) check(b.offset + last < p_.grad_floats, "it ends after the gradients", where);
  }

  // expressions

  static size_t arity(Op op) {
    const std::string pattern = op_def(op).cpp ? op_def(op).cpp : "";
    return pattern.find("{2}") != std::string::npos ? 3 : pattern.find("{1}") != std::string::npos ? 2 : 1;
  }

  void index(const Index& i, const std::string& where) const {
    check(std::is_sorted(i.terms.begin(), i.terms.end()), "the terms of an index are not in order", where);
    for (size_t k = 0; k < i.terms.size(); ++k) {
      check(i.terms[k].second != 0, "an index has a term with the factor 0", where);
      check(k == 0 || i.terms[k].first != i.terms[k - 1].first, "an index has two terms of one loop", where);
    }
    check(i.computed == kNone || i.computed < p_.exprs.size(), "an index is computed by an expression that does not exist", where);
    if (i.computed != kNone) check(p_.exprs[i.computed].dtype == DType::Int, "an index is computed by an expression that is not a whole number", where);
  }

  void place(const Place& p, const std::string& where) const {
    check(p.buffer < p_.buffers.size(), "a place names a buffer that does not exist", where);
    check(p.indices.size() == p_.buffers[p.buffer].axes.size(), fmt::format("a place in {} needs {} indices and has {}", called(p.buffer), p_.buffers[p.buffer].axes.size(), p.indices.size()), where);
    for (const Index& i : p.indices) index(i, where);
  }

  void expression(ExprId id) {
    const Expr& x = p_.exprs[id];
    const std::string where = fmt::format("expression {}", id);
    auto earlier = [&](ExprId e) { check(e < id, "an expression reads a later one", where); };
    for (ExprId part : parts_of(x)) earlier(part);
    if (x.kind == Expr::Kind::Counter || x.kind == Expr::Kind::Random) index(x.index, where);
    if (x.kind == Expr::Kind::Load) {
      place(x.place, where);
      check(p_.buffers[x.place.buffer].dtype == x.dtype || x.dtype == DType::Bool, "a load has another type than its buffer", where);
    }
    if (x.kind != Expr::Kind::Apply) return;
    check(op_def(x.op).cpp != nullptr, fmt::format("'{}' is not an elementwise operation", op_name(x.op)), where);
    check(x.args.size() == arity(x.op), fmt::format("'{}' takes {} operands", op_name(x.op), arity(x.op)), where);
  }

  // what an index may be

  Interval bounds(const Index& i) const {
    const auto [low, high] = i.affine_range();
    const Interval computed = i.computed == kNone ? between(0, 0) : bounds_[i.computed];
    return between(static_cast<double>(low) + computed.low, static_cast<double>(high) + computed.high);
  }

  Interval bounds(const Expr& x) const {
    if (x.kind == Expr::Kind::Counter) return bounds(x.index);
    if (x.kind == Expr::Kind::Load || x.kind == Expr::Kind::Random) return any_number();  // comes from data
    Node node;
    node.op = x.kind == Expr::Kind::Constant ? Op::Constant : x.op;
    node.dtype = x.dtype;
    node.value = x.value;
    std::vector<Interval> in;
    for (ExprId a : x.args) in.push_back(bounds_[a]);
    return op_def(node.op).bounds(node, in.data());
  }

  // functions

  struct Life {
    int from = 0, to = 0;
  };

  void function(const Function& f) {
    function_ = &f;
    lives_.clear();
    written_.clear();
    int number = 0;
    for (const Part& part : f.parts) {
      const int first = number;
      part_ = &part;
      check(part.direction == 1 || part.direction == -1, "layers run up or down", f.name);
      for (const Region& r : part.regions) region(r, number++);
      if (part.loops) extend_over_layers(first, number - 1);
    }
    where_ = f.name;
    for (const auto& [id, life] : lives_) {
      const Buffer& b = p_.buffers[id];
      check(b.offset + b.floats <= f.lane_floats, called(id) + " ends after the function's scratch");
      if (b.persistent) check(f.row_range && b.offset + b.floats <= f.state_floats, called(id) + " is kept, and does not lie in what the function keeps");
      else check(b.offset >= f.state_floats, called(id) + " lies in what the function keeps");
    }
    for (auto a = lives_.begin(); a != lives_.end(); ++a) {
      for (auto b = std::next(a); b != lives_.end(); ++b) {
        const Buffer &x = p_.buffers[a->first], &y = p_.buffers[b->first];
        const bool apart = x.offset + x.floats <= y.offset || y.offset + y.floats <= x.offset;
        const bool together = x.persistent || y.persistent || (a->second.from <= b->second.to && b->second.from <= a->second.to);
        check(apart || !together, fmt::format("{} (regions {} to {}) and {} ({} to {}) share memory", called(a->first), a->second.from, a->second.to, called(b->first), b->second.from, b->second.to));
      }
    }
  }

  /// What a layer reads before it writes it comes from the layer before: it lives through all regions of the loop.
  void extend_over_layers(int first, int last) {
    for (auto& [id, life] : lives_) {
      const Buffer& b = p_.buffers[id];
      bool layers = false;
      for (size_t d = 0; d < b.axes.size(); ++d) layers = layers || (b.axes[d] == part_->layer && b.strides[d] != 0);
      const bool touched = life.to >= first;
      if (touched && (layers || life.from < first || across_.count(id))) life = {std::min(life.from, first), last};
    }
    across_.clear();
  }

  void region(const Region& r, int number) {
    region_ = &r;
    number_ = number;
    where_ = fmt::format("{}, region {} ({})", function_->name, number, r.name);
    check(r.direction >= -1 && r.direction <= 1, "rows run in order, backwards, or in either order");
    check(!r.has_rows || (r.tile >= 1 && r.tile <= r.row.size), "a tile has between one row and all of them");
    check(r.has_rows || r.direction == 0, "a region without rows has no order of rows");
    check(!r.complete || r.chunk > 0, "only rows that collect chunks can be complete");
    check(r.chunk == 0 || (r.has_rows && r.chunk > 0 && function_->row_range), "rows that collect chunks belong to a function over a range of positions");
    by_row_ = false;
    in_before_ = true;
    writes_here_.clear();
    for (const Step* s : steps_of(r)) {
      for_each_place(p_, *s, [&](const Place& p, Access access) {
        if (writes(access)) writes_here_.insert(p.buffer);
      });
    }
    for (const Step& s : r.before) step(s);
    in_before_ = false;
    for (const Group& g : r.groups) {
      check(!g.by_row || r.has_rows, "a loop over rows in a region without rows");
      by_row_ = g.by_row;
      for (const Step& s : g.steps) step(s);
    }
  }

  void fill(const Fill& f) {
    const Buffer& b = p_.buffers.at(f.place.buffer);
    check(f.floats >= 1 && f.floats <= b.floats, called(f.place.buffer) + " is filled beyond its end");
    if (in_before_ || !region_->has_rows) return;
    scope_.insert(region_->row);
    // a tile that cleared more would clear what the tiles before it have made
    for (size_t d = 0; d < b.axes.size(); ++d) {
      if (b.axes[d] == region_->row) check(f.place.indices[d].along(region_->row) == 1 && f.floats <= b.strides[d], called(f.place.buffer) + " is filled for other rows than those at hand");
    }
  }

  void step(const Step& s) {
    scope_ = {};
    whole_buffer_ = s.kind == Step::Kind::Shift || (s.kind == Step::Kind::Fill && in_before_);
    if (part_->loops) scope_.insert(part_->layer);
    for (const Reach& r : s.reaches) {
      const bool of_range = function_->row_range;
      check(!in_before_ && region_->has_rows && (!of_range || ranged(region_->row)), "loops near the rows at hand belong to a loop over rows, in a function over a range of rows over those");
      check(contains(loops_of(s), r.axis) && r.axis.kind == AxisKind::Position && r.axis.size == region_->row.size && r.axis != region_->row && !(of_range && ranged(r.axis)), fmt::format("{} is no loop over other positions", r.axis.str()));
      const bool whole_panels = !of_range && region_->tile % p_.panel == 0 && (r.before % p_.panel == 0 || r.before + 1 == r.axis.size) && (r.after % p_.panel == 0 || r.after + 1 == r.axis.size);
      check(!s.product.bf16 || whole_panels, "units of two positions cannot end with any");
      check(r.before >= 0 && r.after >= 0 && (!of_range || r.after == 0), "a loop near the rows at hand leaves out some of them, or has some that are not there yet");
    }
    switch (s.kind) {
      case Step::Kind::Nest:
        nest(s.nest);
        break;
      case Step::Kind::Product:
        product(s.product);
        break;
      case Step::Kind::Pack:
        pack(s.pack);
        break;
      case Step::Kind::Fill:
        no_bf16(s.fill.place.buffer);
        fill(s.fill);
        write(s.fill.place);
        break;
      case Step::Kind::Shift: {
        const Buffer& b = p_.buffers.at(s.shift.place.buffer);
        no_bf16(s.shift.place.buffer);
        check(!in_before_ && !by_row_, "history is moved at the end of a tile");
        check(b.rows == Rows::Tile && s.shift.rows == b.history && b.history > 0, called(s.shift.place.buffer) + " has another history than is moved");
        write(s.shift.place);
        break;
      }
      case Step::Kind::Choose:
        choose(s.choose);
        break;
    }
  }

  void enter(const Axes& loops) {
    for (const Axis& a : loops) {
      check(a.size > 0, "a loop of no steps");
      check(scope_.insert(a).second, fmt::format("two loops over {}", a.str()));
    }
  }

  void enter_row() {
    if (region_->has_rows && !in_before_) scope_.insert(region_->row);
  }

  void nest(const Nest& n) {
    if (by_row_) enter_row();
    enter(n.loops);
    if (n.nonzeros) nonzeros(n);
    stores(n);
  }

  void nonzeros(const Nest& n) {
    const Nonzeros& some = *n.nonzeros;
    const int loop = index_of(n.loops, some.loop);
    check(loop >= 0 && loop != n.lane, fmt::format("some steps of {} run, which is no loop of the nest, or runs in lanes", some.loop.str()));
    check(some.most >= 1 && some.most <= some.loop.size, fmt::format("{} steps of {}", some.most, some.loop.str()));
    for (size_t inner = static_cast<size_t>(loop) + 1; inner < n.loops.size(); ++inner) check(!mentions(some.of, n.loops[inner]), "which steps of a loop run depends on a loop inside it");
    check(std::none_of(some.of.indices.begin(), some.of.indices.end(), [](const Index& i) { return i.computed != kNone; }), called(some.of.buffer) + ": which steps run depends on computed places");
    check(p_.buffers[some.of.buffer].dtype == DType::Real, called(some.of.buffer) + " holds no real numbers, of which some are 0");
    read(some.of);
    for (const Store& s : n.stores) check(s.how == Store::How::Sum && (s.accumulate || !mentions(s.place, some.loop)), called(s.place.buffer) + " is not added up over the steps that do not run");
  }

  void stores(const Nest& n) {
    check(!n.stores.empty(), "a nest without stores");
    check(n.reduced <= n.loops.size() && n.lane < static_cast<int>(n.loops.size()), "a nest's reduction or lanes are not among its loops");
    std::set<BufferId> in_nest;
    for (const Store& s : n.stores) {
      check(s.value < p_.exprs.size(), "a store of an expression that does not exist");
      std::set<ExprId> seen;
      reads(s.value, in_nest, seen);
      write(s.place);
      if (s.how != Store::How::Set) {
        check(p_.buffers[s.place.buffer].dtype == DType::Real, called(s.place.buffer) + ": only real numbers are reduced");
      }
      if (s.how != Store::How::Set || s.accumulate) no_bf16(s.place.buffer);
      for (size_t k = 0; k < n.loops.size(); ++k) {
        const bool mentioned = mentions(s.place, n.loops[k]);
        if (s.how == Store::How::Set && !s.accumulate) check(mentioned || n.loops[k].size == 1, fmt::format("{} is set once for every step of {}", called(s.place.buffer), n.loops[k].str()));
      }
      in_nest.insert(s.place.buffer);
    }
  }

  bool mentions(const Place& p, const Axis& a) const { return ir::mentions(p_, p, a); }
  bool mentions(const Index& i, const Axis& a) const { return ir::mentions(p_, i, a); }

  void product(const Product& p) {
    enter_row();
    enter(p.loops);
    for (const Axis& a : {p.m, p.k, p.n}) {
      if (!(region_->has_rows && !in_before_ && a == region_->row)) enter({a});
    }
    place(p.a, where_), place(p.b, where_), place(p.c, where_);
    check(!mentions(p.a, p.n), "the left operand of a product depends on its columns");
    check(!mentions(p.c, p.k), "the result of a product depends on what is summed");
    check(!mentions(p.b, p.k) && !mentions(p.b, p.n), "the panels of a product are named by their first element");
    check(stride_along(p_, p.c, p.n) == 1 || p.n.size == 1, "the columns of a product are not neighbours in memory");
    const int64_t panels = panel_floats(p_, p.k == region_->row && region_->has_rows ? 1 : p.k.size, p.n.size, p.bf16);
    check(panels <= p_.buffers[p.b.buffer].floats, called(p.b.buffer) + " is smaller than the panels that a product reads");
    holds_units(p.b.buffer, p.bf16);
    if (!p.bf16) no_bf16(p.a.buffer);
    no_bf16(p.b.buffer), no_bf16(p.c.buffer);
    read(p.a), read(p.b), write(p.c);
    for (const ProductTerm& t : p.more) {
      check(p.accumulate && !region_->has_rows && p.blocks.empty(), "a product has several terms only where they are added to what is there, for all rows at once");
      Product one = p;
      one.k = t.k, one.a = t.a, one.b = t.b;
      one.more.clear();
      scope_.clear();
      if (part_->loops) scope_.insert(part_->layer);
      product(one);
    }
    check((p_.buffers[p.c.buffer].rows == Rows::Block) == !p.blocks.empty(), called(p.c.buffer) + ": a result is held for a block if there are nests for its blocks, and only then");
    if (!p.blocks.empty()) blocks(p);
    else check(p.total.buffer == kNone, "a product without nests for its blocks has no reference");
  }

  void blocks(const Product& p) {
    check(region_->has_rows && !in_before_ && p.m == region_->row && p.k != region_->row && !by_row_ && p.loops.empty() && !p.accumulate,
          "only a product of a tile's rows that is set is used by blocks");
    const bool refers = p.total.buffer != kNone;
    bool total = false;
    if (refers) check(p.blocks[0].stores.size() == 1 && p.blocks[0].stores[0].how == Store::How::Max, "a reference is the largest number of a row");
    block_ = p.c.buffer;
    for (const Nest& n : p.blocks) {
      check(n.loops.size() == 1 && n.loops[0].size == p.n.size && n.lane == 0, "a nest for blocks has one loop, over the columns of the product, in lanes");
      scope_ = {region_->row, n.loops[0]};
      if (part_->loops) scope_.insert(part_->layer);
      stores(n);
      for (const Store& s : n.stores) {
        check(!s.accumulate, "what is computed for blocks is set, or reduced over the columns of the product");
        total = total || (refers && s.how == Store::How::Sum && s.place == p.total);
      }
    }
    block_ = kNone;
    check(total == refers, "a product that has a reference has nests that sum what it is good for, and no other has");
  }

  void pack(const Pack& p) {
    enter_row();
    enter(p.loops);
    for (const Axis& a : {p.k, p.n}) {
      if (!(region_->has_rows && !in_before_ && a == region_->row)) enter({a});
    }
    place(p.src, where_), place(p.dst, where_);
    check(!mentions(p.dst, p.k) && !mentions(p.dst, p.n), "panels are named by their first element");
    if (p.part != Pack::Part::Whole) check(p_.buffers[p.dst.buffer].persistent && function_->row_range, "only panels that are kept are packed in part");
    holds_units(p.dst.buffer, p.bf16);
    if (!p.bf16) no_bf16(p.src.buffer);
    no_bf16(p.dst.buffer);
    read(p.src), write(p.dst);
  }

  void no_bf16(BufferId id) const { check(!p_.buffers.at(id).bf16, called(id) + " is kept in bf16, and only nests set it, and only nests and bf16 products read it"); }

  /// Panels are packed and multiplied in one format.
  void holds_units(BufferId panels, bool bf16) {
    const auto [it, first] = units_.try_emplace(panels, bf16);
    check(it->second == bf16, called(panels) + " holds panels of floats for one, of bf16 for another");
  }

  void choose(const Choose& c) {
    if (by_row_) enter_row();
    enter(c.loops);
    enter({c.axis});
    check(c.op == Op::Argmax || c.op == Op::TopkMask, "only argmax and top-k choose");
    check(c.k >= 1 && c.k <= c.axis.size, "fewer are chosen than one, or more than there are");
    if (c.op == Op::Argmax) check(!mentions(c.dst, c.axis), "argmax is one number along its axis");
    no_bf16(c.src.buffer), no_bf16(c.dst.buffer);
    read(c.src), write(c.dst);
  }

  // touching memory

  void in_scope(const Index& i) const {
    for (const auto& [axis, factor] : i.terms) check(axis.kind == AxisKind::Batch || scope_.count(axis) != 0, fmt::format("an index names {}, and no loop around it counts that", axis.str()));
  }

  void inside(const Place& p) const {
    const Buffer& b = p_.buffers[p.buffer];
    double lowest = 0, highest = 0;  // a reshaped value is indexed along its innermost axis beyond that axis's size
    int64_t last = 0;
    bool known = true;
    for (size_t d = 0; d < p.indices.size(); ++d) {
      in_scope(p.indices[d]);
      if (b.strides[d] == 0) continue;
      if (b.axes[d] == b.row && b.rows != Rows::All && !whole_buffer_) {
        const bool own = p.indices[d].along(b.row) == 1 || (p.indices[d].computed != kNone && mentions(p.indices[d], b.row));
        check(region_->has_rows && region_->row == b.row && own, called(p.buffer) + " holds a part of its rows, and its row is not the region's");
      }
      const Interval r = bounds(p.indices[d]);
      if (!std::isfinite(r.low) || !std::isfinite(r.high)) {
        known = false;
        continue;
      }
      if (b.axes[d] == b.row && (b.rows != Rows::All || b.history > 0)) {
        check(r.low >= static_cast<double>(-b.history) && r.high < b.row.size, fmt::format("rows {} to {} of {} are read or written, and there are {}", r.low, r.high, called(p.buffer), b.row.size));
        continue;
      }
      lowest += r.low * static_cast<double>(b.strides[d]);
      highest += r.high * static_cast<double>(b.strides[d]);
      last += (b.axes[d].size - 1) * b.strides[d];
    }
    if (known) check(lowest >= 0 && highest <= static_cast<double>(last), fmt::format("elements {} to {} of {} are read or written, and the last is {}", lowest, highest, called(p.buffer), last));
  }

  void touch(BufferId id, bool write) {
    const Buffer& b = p_.buffers[id];
    if (b.space != Space::Lane || !b.in_memory()) return;
    auto [it, fresh] = lives_.try_emplace(id, Life{number_, number_});
    it->second.to = number_;
    if (fresh && !write && part_->loops && !writes_here_.count(id)) across_.insert(id);
  }

  void read(const Place& p) {
    place(p, where_);
    inside(p);
    const Buffer& b = p_.buffers[p.buffer];
    check(b.space != Space::Out, called(p.buffer) + " can only be written");
    check(b.rows != Rows::Block || p.buffer == block_, called(p.buffer) + " is there only for the nests of the product that makes it");
    check(b.space != Space::Grads || function_->name == "finish", called(p.buffer) + " is complete, and read, only in 'finish'");
    touch(p.buffer, false);
    if (b.space == Space::Lane && !b.persistent) {
      check(written_.count(p.buffer) || writes_here_.count(p.buffer) || across_.count(p.buffer), called(p.buffer) + " is read before anything is written there");
    }
    if (b.rows != Rows::All && region_->has_rows && written_.count(p.buffer)) check(written_.at(p.buffer) == number_, called(p.buffer) + " holds a part of its rows and is read by another region");
  }

  void write(const Place& p) {
    place(p, where_);
    inside(p);
    for (const Index& i : p.indices) {
      std::set<ExprId> seen;
      if (i.computed != kNone) reads(i.computed, {}, seen);
    }
    const Space space = p_.buffers[p.buffer].space;
    const bool given = space == Space::Params || space == Space::Tokens || space == Space::Targets || space == Space::Literal || space == Space::Sums;
    check(!given, called(p.buffer) + " can only be read");
    check(space != Space::Shared || function_->name == "prepare", called(p.buffer) + " is shared and written outside of 'prepare'");
    touch(p.buffer, true);
    if (p_.buffers[p.buffer].rows != Rows::All && region_->has_rows && written_.count(p.buffer)) {
      check(written_.at(p.buffer) == number_, called(p.buffer) + " holds a part of its rows and is written by two regions");
    }
    written_[p.buffer] = number_;
  }

  void reads(ExprId e, const std::set<BufferId>& in_nest, std::set<ExprId>& seen) {
    for_each_expr(p_, e, seen, [&](const Expr& x) {
      if (x.kind == Expr::Kind::Counter || x.kind == Expr::Kind::Random) in_scope(x.index);
      if (x.kind != Expr::Kind::Load) return;
      if (p_.buffers[x.place.buffer].rows == Rows::Register) {
        check(in_nest.count(x.place.buffer) != 0, called(x.place.buffer) + " never leaves its nest and is read by another, or before it is made");
      }
      read(x.place);
    });
  }

  const LoopProgram& p_;
  std::vector<Interval> bounds_;  // of each expression
  const Function* function_ = nullptr;
  const Part* part_ = nullptr;
  const Region* region_ = nullptr;
  int number_ = 0;  // of the region
  bool by_row_ = false, in_before_ = false, whole_buffer_ = false;
  std::string where_ = "program";
  std::set<Axis> scope_;  // loops around the step
  std::map<BufferId, Life> lives_;
  std::map<BufferId, int> written_;   // the region that wrote last
  std::map<BufferId, bool> units_;    // panels, and whether they are of bf16
  std::set<BufferId> writes_here_;    // anywhere in the region
  BufferId block_ = kNone;            // the product that nests are run for
  std::set<BufferId> across_;         // read in a layer before it is written there
};

}  // namespace

void verify(const LoopProgram& program) { Verifier(program).run(); }

}  // namespace cpuflow::ir
