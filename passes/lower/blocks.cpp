// Wide products that are used while they are made: what reads a row of them, column by column, runs for each block of columns inside of the product, and the
// product itself is never stored.  A softmax subtracts the largest of its row, which is known only at the end; but it may subtract anything else
// that is near enough, if nothing that the program gives back can tell.
#include "passes/lower/function_lowering.h"
#include "passes/lower/reference_proof.h"

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

constexpr uint32_t kMostInner = 8192;  // inner steps: the left operands of a block are copied to the stack, 2 MB of these

/// What the steps from `first` on make.
std::set<BufferId> made_by(const std::vector<Step>& steps, size_t first) {
  std::set<BufferId> made;
  for (size_t i = first; i < steps.size(); ++i) {
    for (const Nest* n : nests_of(steps[i])) {
      for (const Store& store : n->stores) made.insert(store.place.buffer);
    }
    made.insert(steps[i].product.c.buffer);
    made.insert(steps[i].choose.dst.buffer);
  }
  return made;
}

}  // namespace

/// Whether a nest can run for one row of a block of columns of the product's result: its one loop counts the columns, and it neither reads
/// other columns nor what `made` holds: values that are made after the product.
bool FunctionLowering::runs_on_blocks(const Nest& nest, const Product& product, const Axis& row, const std::set<BufferId>& made) const {
  if (nest.loops.size() != 1 || nest.loops[0].size != product.n.size || nest.lane != 0 || product.k.size > kMostInner) return false;
  const Axis& column = nest.loops[0];
  std::set<BufferId> own;
  auto here = [&](const Place& p) {
    const Buffer& b = b_.program.buffers[p.buffer];
    for (size_t d = 0; d < b.axes.size(); ++d) {
      if (p.indices[d] != ProgramBuilder::variable(b.axes[d] == row ? row : column)) return false;
    }
    return true;
  };
  auto fits = [&](ExprId value) {
    bool all = true;
    std::set<ExprId> seen;
    for_each_expr(b_.program, value, seen, [&](const Expr& x) {
      all = all && x.kind != Expr::Kind::Random;
      if (x.kind == Expr::Kind::Load) all = all && (x.place.buffer == product.c.buffer ? here(x.place) : !made.count(x.place.buffer) || own.count(x.place.buffer));
    });
    return all;
  };
  for (const Store& s : nest.stores) {
    if (s.accumulate || !fits(s.value)) return false;
    const bool set = s.how == Store::How::Set;
    if (set != (stride_along(b_.program, s.place, column) == 1)) return false;
    for (const Index& i : s.place.indices) {
      if (i.computed != kNone || (!set && i.along(column) != 0)) return false;
    }
    if (set) own.insert(s.place.buffer);
  }
  return true;
}

/// Where the nest sums exp(x - reference), x being what the reference is the largest of.
std::vector<Place> FunctionLowering::sums_of_exponentials(const Nest& nest, const Store& reference) const {
  std::vector<Place> out;
  std::map<Place, ExprId> made;
  for (const Store& s : nest.stores) {
    if (s.how == Store::How::Set) made[s.place] = s.value;
    if (s.how != Store::How::Sum) continue;
    const Expr* x = &b_[s.value];
    if (x->kind == Expr::Kind::Load && made.count(x->place)) x = &b_[made.at(x->place)];
    if (x->kind != Expr::Kind::Apply || x->op != Op::Exp) continue;
    const Expr& difference = b_[x->args[0]];
    if (difference.kind != Expr::Kind::Apply || difference.op != Op::Sub || difference.args[0] != reference.value) continue;
    const Expr& subtracted = b_[difference.args[1]];
    if (subtracted.kind == Expr::Kind::Load && subtracted.place == reference.place) out.push_back(s.place);
  }
  return out;
}

/// The nests of the group after the product's that read it, if they are all that does, and can run on its blocks.
std::optional<FunctionLowering::BlockUse> FunctionLowering::block_use(size_t at, int part, int number, int group) const {
  const Region& region = function_.parts[part].regions[number];
  const Product& product = region.groups[group].steps[at].product;
  const std::vector<Step>& after = region.groups[group + 1].steps;
  BlockUse use;
  for (const Statement& s : statements_) {
    for (const Read& r : s.reads) {
      if (r.node != product.node) continue;
      if (s.part != part || s.region != number || s.group != group + 1 || s.steps.size() != 1 || r.how != Read::How::SameRow) return std::nullopt;
      if (after[static_cast<size_t>(s.nest)].kind != Step::Kind::Nest || !after[static_cast<size_t>(s.nest)].reaches.empty()) return std::nullopt;
      use.readers.insert(static_cast<size_t>(s.nest));
    }
  }
  if (use.readers.empty()) return std::nullopt;
  for (size_t i : use.readers) {
    const std::vector<Store>& stores = after[i].nest.stores;
    if (stores[0].how != Store::How::Max) continue;
    if (use.largest || stores.size() != 1) return std::nullopt;
    use.largest = i;
  }
  std::set<BufferId> made = made_by(after, 0);
  made.merge(made_by(region.groups[group].steps, at + 1));  // the product is the last before the blocks
  if (use.largest) made.erase(after[*use.largest].nest.stores[0].place.buffer);
  for (size_t i : use.readers) {
    if (!runs_on_blocks(after[i].nest, product, region.row, made)) return std::nullopt;
  }
  if (!use.largest) return use;
  const Store& largest = after[*use.largest].nest.stores[0];
  for (size_t i : use.readers) {
    for (const Place& p : sums_of_exponentials(after[i].nest, largest)) use.total = p;
  }
  if (use.total.buffer == kNone || !any_reference_does(g_, node_of_.at(largest.place.buffer))) return std::nullopt;
  return use;
}

/// Moves the nests that read wide products into them.
void FunctionLowering::run_on_blocks(int part, int number) {
  Region& region = function_.parts[part].regions[number];
  for (int g = 0; g + 1 < static_cast<int>(region.groups.size()); ++g) {
    if (region.groups[g].by_row || !region.groups[g + 1].by_row) continue;
    std::vector<Step>& after = region.groups[g + 1].steps;
    for (size_t at = 0; at < region.groups[g].steps.size(); ++at) {
      Step& step = region.groups[g].steps[at];
      Product& product = step.product;
      if (step.kind != Step::Kind::Product || !step.reaches.empty() || !product.loops.empty() || product.accumulate) continue;
      if (product.m != region.row || product.k == region.row || product.n.size < b_.options.wide || stride_along(b_.program, product.a, product.k) != 1) continue;
      if (b_.program.buffers[product.c.buffer].space != Space::Lane || statements_of_.at(product.node).size() != 1) continue;
      const std::optional<BlockUse> use = block_use(at, part, number, g);
      if (!use) continue;
      product.total = use->total;
      if (use->largest) product.blocks.push_back(after[*use->largest].nest);
      for (size_t i : use->readers) {
        if (i != use->largest) product.blocks.push_back(after[i].nest);
      }
      for (Statement& s : statements_) {
        if (s.part != part || s.region != number || s.group != g + 1) continue;
        const auto gone = use->readers.lower_bound(static_cast<size_t>(s.nest));
        if (gone != use->readers.end() && *gone == static_cast<size_t>(s.nest)) s.group = g, s.nest = static_cast<int>(at);
        else s.nest -= static_cast<int>(std::distance(use->readers.begin(), gone));
      }
      for (auto i = use->readers.rbegin(); i != use->readers.rend(); ++i) after.erase(after.begin() + static_cast<long>(*i));
      in_blocks_.insert(product.c.buffer);
    }
  }
}

void FunctionLowering::run_on_blocks() {
  if (!b_.options.fuse || row_range) return;
  for (size_t p = 0; p < function_.parts.size(); ++p) {
    for (size_t r = 0; r < function_.parts[p].regions.size(); ++r) {
      if (function_.parts[p].regions[r].has_rows) run_on_blocks(static_cast<int>(p), static_cast<int>(r));
    }
  }
}

}  // namespace cpuflow::passes::lower
