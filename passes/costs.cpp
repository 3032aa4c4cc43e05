#include "passes/costs.h"

#include "ir/op.h"
#include "ir/shared_rows.h"

#include <algorithm>
#include <set>

namespace cpuflow::passes {
using namespace ir;

namespace {

double count(const Axes& axes) {
  double n = 1;
  for (const Axis& a : axes) n *= a.size;
  return n;
}

void add_nest(const LoopProgram& p, const Nest& nest, double rows, RegionCosts& c) {
  const double run = nest.nonzeros ? static_cast<double>(nest.nonzeros->most) / nest.nonzeros->loop.size : 1;  // of the steps
  const double iterations = count(nest.loops) * rows * run;
  std::set<ExprId> seen;
  std::set<Place> stored;
  for (const Store& s : nest.stores) {
    if (s.how == Store::How::Set) stored.insert(s.place);
    else c.other_flops += iterations;
    if (p.buffers[s.place.buffer].rows != Rows::Register) c.bytes += p.buffers[s.place.buffer].element_bytes() * iterations * (s.accumulate ? 2 : 1);
  }
  auto count_expr = [&](const Expr& x) {
    if (x.kind == Expr::Kind::Apply) c.other_flops += iterations * op_def(x.op).flops;
    if (x.kind != Expr::Kind::Load || stored.count(x.place) || p.buffers[x.place.buffer].rows == Rows::Block) return;
    const bool varies = std::any_of(nest.loops.begin(), nest.loops.end(), [&](const Axis& a) { return mentions(p, x.place, a); });
    c.bytes += p.buffers[x.place.buffer].element_bytes() * (varies ? iterations : rows);
  };
  for (const Store& s : nest.stores) for_each_expr(p, s.value, seen, count_expr);
}

}  // namespace

std::vector<RegionCosts> count_costs(const LoopProgram& p) {
  std::vector<RegionCosts> out;
  const int64_t together = sequences_together(p);
  for (const Function& f : p.functions) {
    for (const Part& part : f.parts) {
      for (const Region& r : part.regions) {
        RegionCosts c;
        c.function = f.name;
        c.region = r.name;
        c.nodes = r.nodes;
        const double layers = part.loops ? part.layer.size : 1, rows = r.has_rows ? r.row.size : 1;
        auto step = [&](const Step& s, bool by_row) {
          for (const Nest* nest : nests_of(s)) add_nest(p, *nest, by_row || s.kind == Step::Kind::Product ? rows : 1, c);
          if (s.kind != Step::Kind::Product) return;
          const Product& d = s.product;
          const double n = count(d.loops) * (by_row ? rows : 1);
          const double m_size = r.has_rows && by_row && d.m == r.row ? 1 : d.m.size;
          auto term = [&](const Place& a, const Place& b, const Axis& k) {
            c.product_flops += 2.0 * n * m_size * d.n.size * k.size;
            if (p.buffers[b.buffer].space == Space::Shared) c.panel_bytes += 4.0 * count(d.loops) * static_cast<double>(panel_floats(p, k.size, d.n.size, d.bf16));
            const double readers = !f.row_range && by_row && takes_streams(p, s, r) ? static_cast<double>(together) : 1;
            c.bytes += n * (p.buffers[a.buffer].element_bytes() * m_size * k.size + (d.bf16 ? 2.0 : 4.0) * k.size * d.n.size / readers);
          };
          term(d.a, d.b, d.k);
          for (const ProductTerm& t : d.more) term(t.a, t.b, t.k);
          c.bytes += n * ((!d.blocks.empty() ? 0 : d.accumulate ? 8 : 4) * m_size * d.n.size);
        };
        for (const Step& s : r.before) step(s, false);
        for (const Group& g : r.groups) {
          for (const Step& s : g.steps) step(s, g.by_row);
        }
        c.product_flops *= layers;
        c.other_flops *= layers;
        c.bytes *= layers;
        c.panel_bytes *= layers;
        out.push_back(c);
      }
    }
  }
  return out;
}

}  // namespace cpuflow::passes
