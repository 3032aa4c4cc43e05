// Wide products that are used while they are made: what reads a row of them, column by column, runs for each block of columns inside of the product, and the
// product itself is never stored.  A softmax subtracts the largest of its row, which is known only at the end; but it may subtract anything else
// that is near enough, if nothing that the program gives back can tell.
#include "passes/lower/function_lowering.h"
#include "passes/lower/reference_proof.h"

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

constexpr uint32_t kWide = 512;  // columns: rows of fewer stay in the first cache until they are read

}  // namespace

/// Whether a nest can run for one row of a block of columns of the product's result: its one loop counts the columns, and it neither reads
/// other columns nor what `made` holds: values that are made after the product.
bool FunctionLowering::runs_on_blocks(const Nest& nest, const Product& product, const Axis& row, const std::set<BufferId>& made) const {
  if (nest.loops.size() != 1 || nest.loops[0].size != product.n.size || nest.lane != 0) return false;
  const Axis& column = nest.loops[0];
  std::set<BufferId> own;
  auto here = [&](const Place& p) {
    const Buffer& b = b_.program.buffers[p.buffer];
    for (size_t d = 0; d < b.axes.size(); ++d) {
      if (p.indices[d] != ProgramBuilder::variable(b.axes[d] == row ? row : column)) return false;
    }
    return true;
  };
  std::function<bool(ExprId)> fits = [&](ExprId e) {
    if (e == kNone) return true;
    const Expr& x = b_[e];
    if (x.kind == Expr::Kind::Random || !fits(x.index.computed)) return false;
    if (x.kind == Expr::Kind::Load) {
      if (x.place.buffer == product.c.buffer ? !here(x.place) : made.count(x.place.buffer) && !own.count(x.place.buffer)) return false;
      if (!std::all_of(x.place.indices.begin(), x.place.indices.end(), [&](const Index& i) { return fits(i.computed); })) return false;
    }
    return std::all_of(x.args.begin(), x.args.end(), fits);
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

/// Moves the nests that read a wide product into it.
void FunctionLowering::run_on_blocks(int part, int number) {
  Region& region = function_.parts[part].regions[number];
  for (size_t g = 0; g + 1 < region.groups.size(); ++g) {
    if (region.groups[g].by_row || !region.groups[g + 1].by_row) continue;
    for (size_t at = 0; at < region.groups[g].steps.size(); ++at) {
      Step& step = region.groups[g].steps[at];
      Product& product = step.product;
      if (step.kind != Step::Kind::Product || !step.reaches.empty() || !product.loops.empty() || product.accumulate) continue;
      if (product.m != region.row || product.k == region.row || product.n.size < kWide || stride_along(b_.program, product.a, product.k) != 1) continue;
      const NodeId node = product.node;
      if (b_.program.buffers[product.c.buffer].space != Space::Lane || statements_of_.at(node).size() != 1) continue;
      std::vector<Step>& after = region.groups[g + 1].steps;
      std::set<BufferId> made;
      for (const Step& s : after) {
        for (const Nest* n : nests_of(s)) {
          for (const Store& store : n->stores) made.insert(store.place.buffer);
        }
        made.insert(s.choose.dst.buffer);
      }
      // the steps that read it, of which one may look for the largest of a row
      std::set<size_t> readers;
      bool fits = true;
      for (const Statement& s : statements_) {
        for (const Read& r : s.reads) {
          if (r.node != node) continue;
          fits = fits && s.part == part && s.region == number && s.group == static_cast<int>(g) + 1 && s.steps.size() == 1 && r.how == Read::How::SameRow;
          readers.insert(static_cast<size_t>(s.nest));
        }
      }
      if (!fits || readers.empty()) continue;
      std::optional<size_t> largest;
      for (size_t i : readers) {
        if (after[i].kind != Step::Kind::Nest || !after[i].reaches.empty()) fits = false;
        else if (after[i].nest.stores[0].how == Store::How::Max && fits) fits = !largest && after[i].nest.stores.size() == 1, largest = i;
      }
      if (!fits) continue;
      if (largest) made.erase(after[*largest].nest.stores[0].place.buffer);
      for (size_t i : readers) fits = fits && runs_on_blocks(after[i].nest, product, region.row, made);
      if (!fits) continue;
      if (largest) {
        const Store& most = after[*largest].nest.stores[0];
        for (size_t i : readers) {
          for (const Place& p : sums_of_exponentials(after[i].nest, most)) product.total = p;
        }
        if (product.total.buffer == kNone || !any_reference_does(g_, node_of_.at(most.place.buffer))) {
          product.total = {};
          continue;
        }
        product.blocks.push_back(after[*largest].nest);
      }
      for (size_t i : readers) {
        if (i != largest) product.blocks.push_back(after[i].nest);
      }
      for (Statement& s : statements_) {
        if (s.part != part || s.region != number || s.group != static_cast<int>(g) + 1) continue;
        if (readers.count(static_cast<size_t>(s.nest))) s.group = static_cast<int>(g), s.nest = static_cast<int>(at);
        else s.nest -= static_cast<int>(std::distance(readers.begin(), readers.lower_bound(static_cast<size_t>(s.nest))));
      }
      for (auto i = readers.rbegin(); i != readers.rend(); ++i) after.erase(after.begin() + static_cast<long>(*i));
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
