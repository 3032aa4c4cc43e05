#include "passes/audit/intervals.h"

#include "ir/diagnostics.h"
#include "ir/op.h"
#include "ir/schedule.h"
#include "passes/audit/audits.h"
#include "passes/audit/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

constexpr double kInf = INFINITY;

Interval between(double low, double high, bool positive = false) {
  Interval out{low, high, false, positive && low == 0};
  if (std::isnan(low)) out.low = -kInf;
  if (std::isnan(high)) out.high = kInf;
  return out;
}

bool above_zero(const Interval& x) { return x.low >= 0 && !x.has_zero(); }

double product(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

Interval times(const Interval& a, const Interval& b) {
  const double all[4] = {product(a.low, b.low), product(a.low, b.high), product(a.high, b.low), product(a.high, b.high)};
  const bool positive = !a.has_zero() && !b.has_zero() && a.low >= 0 && b.low >= 0;
  return between(*std::min_element(all, all + 4), *std::max_element(all, all + 4), positive);
}

Interval join(const Interval& a, const Interval& b) {
  if (a.empty) return b;
  if (b.empty) return a;
  return between(std::min(a.low, b.low), std::max(a.high, b.high), !a.has_zero() && !b.has_zero() && a.low >= 0 && b.low >= 0);
}

/// The value without stops.
NodeId plain(const Graph& g, NodeId id) {
  while (g[id].op == Op::Stop) id = g[id].inputs[0];
  return id;
}

/// x where a condition holds, and elsewhere a constant that no maximum is: x; else the value itself.
NodeId chosen(const Graph& g, NodeId id) {
  id = plain(g, id);
  return g[id].op == Op::Select && g[g[id].inputs[2]].op == Op::Constant && g[g[id].inputs[2]].value <= -kNoScore ? plain(g, g[id].inputs[1]) : id;
}

/// x where a condition holds, and 0 elsewhere: x; else the value itself.
NodeId added(const Graph& g, NodeId id) {
  id = plain(g, id);
  return g[id].op == Op::Select && g[g[id].inputs[2]].op == Op::Constant && g[g[id].inputs[2]].value == 0 ? plain(g, g[id].inputs[1]) : id;
}

/// The condition of a value that is chosen; kNoNode: it is always there.
NodeId condition_of(const Graph& g, NodeId id) {
  id = plain(g, id);
  return g[id].op == Op::Select ? g[id].inputs[0] : kNoNode;
}

/// Whether `top` is max(x), taken over at least the element itself; a constant may stand where there is no element.
bool is_maximum_of(const Graph& g, NodeId top, NodeId x) {
  top = plain(g, top);
  if (g[top].op == Op::Select && g[g[top].inputs[1]].op == Op::Constant) top = plain(g, g[top].inputs[2]);
  if (g[top].op != Op::Max) return false;
  const NodeId over = plain(g, g[top].inputs[0]);
  const bool renamed = g[over].op == Op::Rename && g[over].to == g[top].from;  // all elements along an axis, by another name
  return chosen(g, over) == chosen(g, x) || (renamed && plain(g, g[over].inputs[0]) == plain(g, x));
}

/// x - max(x).
bool below_its_maximum(const Graph& g, NodeId id) {
  const Node& n = g[plain(g, id)];
  return n.op == Op::Sub && is_maximum_of(g, n.inputs[1], n.inputs[0]);
}

class Analysis {
 public:
  Analysis(const Graph& g, const ParamRanges& ranges) : g_(g), ranges_(ranges), out_(g.size()) {}

  std::vector<Interval> run() {
    std::vector<NodeId> all(g_.size());
    std::iota(all.begin(), all.end(), 0);
    for (const std::vector<NodeId>& component : components(g_, all)) {
      std::vector<NodeId> order = component;
      std::sort(order.begin(), order.end());
      const bool cycle = is_cycle(g_, component);
      for (int round = 0; round < (cycle ? 12 : 1); ++round) {
        bool changed = false;
        for (NodeId id : order) changed = step(id, round) || changed;
        if (!changed) break;
      }
    }
    return std::move(out_);
  }

 private:
  bool step(NodeId id, int round) {
    Interval next = value(id);
    const Interval& old = out_[id];
    if (next.empty) return false;
    if (!old.empty) next = join(old, next);
    if (!old.empty && round > 2) {  // widening: bounds that still move go to 0, or to infinity
      if (next.low < old.low) next.low = next.low >= 0 && round < 6 ? 0 : -kInf;
      if (next.high > old.high) next.high = next.high <= 0 && round < 6 ? 0 : kInf;
    }
    const bool changed = old.empty || next.low != old.low || next.high != old.high || next.positive != old.positive;
    out_[id] = next;
    return changed;
  }

  const Interval& in(const Node& n, size_t i) const { return out_[n.inputs[i]]; }

  Interval monotone(const Node& n, double (*f)(double), bool positive = false) const {
    return between(f(in(n, 0).low), f(in(n, 0).high), positive);
  }

  /// x - (max(x) + y) with y >= 0: y is the logarithm of a sum of which one term is 1.
  bool below_logsumexp(const Node& n) const {
    const Node& top = g_[plain(g_, n.inputs[1])];
    if (top.op != Op::Add) return false;
    for (size_t i = 0; i < 2; ++i) {
      if (is_maximum_of(g_, top.inputs[i], n.inputs[0]) && !in(top, 1 - i).empty && in(top, 1 - i).low >= 0) return true;
    }
    return false;
  }

  /// Sum of `count` terms.
  static Interval sum(const Interval& x, double count) { return between(product(count, x.low), product(count, x.high), !x.has_zero() && x.low >= 0); }

  Interval reduced(const Node& n) const {
    const Interval& x = in(n, 0);
    double count = 1;
    for (const Axis& a : n.from) count *= a.size;
    if (n.op != Op::Sum) return n.op == Op::Prod ? between(-kInf, kInf) : x;
    Interval out = sum(x, count);
    // one term of exp(x - max(x)) is 1
    const NodeId term = added(g_, n.inputs[0]);
    if (g_[term].op == Op::Exp && below_its_maximum(g_, g_[term].inputs[0])) {
      const Node& difference = g_[plain(g_, g_[term].inputs[0])];
      NodeId top = plain(g_, difference.inputs[1]);
      if (g_[top].op == Op::Select) top = plain(g_, g_[top].inputs[2]);
      const NodeId of_maximum = condition_of(g_, g_[top].inputs[0]), of_sum = condition_of(g_, n.inputs[0]);
      if (g_[top].from == n.from && (of_sum == kNoNode || of_sum == of_maximum)) out.low = std::max(out.low, 1.0);
    }
    return out;
  }

  Interval value(NodeId id) const {
    const Node& n = g_[id];
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const bool carried = n.op == Op::Carry && i == 0;
      if (!carried && in(n, i).empty) return {};
    }
    switch (n.op) {
      case Op::Param: {
        const auto range = ranges_.find(n.text);
        return range == ranges_.end() ? between(-kInf, kInf) : between(range->second.first, range->second.second);
      }
      case Op::Pow:
        return power(n);
      case Op::Input:
        return between(0, static_cast<double>(vocabulary_of(g_) - 1));
      case Op::Constant:
        return between(n.value, n.value);
      case Op::Literal:
        return between(*std::min_element(n.values.begin(), n.values.end()), *std::max_element(n.values.begin(), n.values.end()));
      case Op::Iota:
        return between(n.value, n.value + n.axes[0].size - 1);
      case Op::Random:
        return between(0, 1);
      case Op::Add:
        return between(in(n, 0).low + in(n, 1).low, in(n, 0).high + in(n, 1).high,
                       in(n, 0).low >= 0 && in(n, 1).low >= 0 && (!in(n, 0).has_zero() || !in(n, 1).has_zero()));
      case Op::Sub:
        if (below_its_maximum(g_, id) || below_logsumexp(n)) return between(-kInf, 0);
        return between(in(n, 0).low - in(n, 1).high, in(n, 0).high - in(n, 1).low);
      case Op::Mul: {
        Interval out = times(in(n, 0), in(n, 1));
        if (plain(g_, n.inputs[0]) == plain(g_, n.inputs[1])) {
          out.low = std::max(out.low, 0.0);
          out.positive = !in(n, 0).has_zero() && out.low == 0;
        }
        return out;
      }
      case Op::Div: {
        const Interval& d = in(n, 1);
        if (d.has_zero()) return in(n, 0).low >= 0 && d.low >= 0 ? between(0, kInf) : between(-kInf, kInf);
        return times(in(n, 0), between(d.high == 0 ? -kInf : 1 / d.high, d.low == 0 ? kInf : 1 / d.low, true));
      }
      case Op::Max2:
        return between(std::max(in(n, 0).low, in(n, 1).low), std::max(in(n, 0).high, in(n, 1).high), above_zero(in(n, 0)) || above_zero(in(n, 1)));
      case Op::Min2:
        return between(std::min(in(n, 0).low, in(n, 1).low), std::min(in(n, 0).high, in(n, 1).high), !in(n, 0).has_zero() && !in(n, 1).has_zero());
      case Op::Neg:
        return between(-in(n, 0).high, -in(n, 0).low);
      case Op::Abs:
        if (in(n, 0).has_zero()) return between(0, std::max(-in(n, 0).low, in(n, 0).high));
        return in(n, 0).low >= 0 ? in(n, 0) : between(-in(n, 0).high, -in(n, 0).low);
      case Op::Exp:
        return monotone(n, std::exp, true);
      case Op::Log:
        return between(in(n, 0).low <= 0 ? -kInf : std::log(in(n, 0).low), in(n, 0).high <= 0 ? kInf : std::log(in(n, 0).high));
      case Op::Sqrt:
        return between(std::sqrt(std::max(0.0, in(n, 0).low)), std::sqrt(std::max(0.0, in(n, 0).high)), !in(n, 0).has_zero());
      case Op::Tanh:
        return monotone(n, std::tanh);
      case Op::Erf:
        return monotone(n, std::erf);
      case Op::Sigmoid:
        return monotone(n, [](double x) { return 1 / (1 + std::exp(-x)); }, true);
      case Op::Softplus:
        return between(0, kInf, true);
      case Op::Relu:
        return monotone(n, [](double x) { return std::max(x, 0.0); });
      case Op::Sin:
      case Op::Cos:
        return between(-1, 1);
      case Op::Round:
        return monotone(n, std::nearbyint);
      case Op::Floor:
        return monotone(n, std::floor);
      case Op::Ceil:
        return monotone(n, std::ceil);
      case Op::FloorDiv:
      case Op::Mod:
        return division_rounded_down(n);
      case Op::ToReal:
      case Op::Stop:
      case Op::Rename:
      case Op::Slice:
      case Op::Reshape:
        return in(n, 0);
      case Op::Gather:
        return join(in(n, 0), certain(n) ? in(n, 0) : between(0, 0));
      case Op::Scatter:
        return join(sum(in(n, 0), static_cast<double>(element_count(n.from))), between(0, 0));
      case Op::Concat: {
        Interval out;
        for (size_t i = 0; i < n.inputs.size(); ++i) out = join(out, in(n, i));
        return out;
      }
      case Op::Select:
        return join(in(n, 1), in(n, 2));
      case Op::Sum:
      case Op::Max:
      case Op::Min:
      case Op::Prod:
        return reduced(n);
      case Op::Cumsum: {
        const Interval& x = in(n, 0);
        Interval out = join(x, sum(x, n.from[0].size));
        return n.ints[1] ? join(out, between(0, 0)) : out;
      }
      case Op::Carry:
        return join(in(n, 0), n.inputs.size() > 1 ? in(n, 1) : between(0, 0));
      case Op::Argmax:
        return between(0, n.from[0].size - 1);
      default:
        if (n.dtype == DType::Bool || n.op == Op::TopkMask) return between(0, 1);
        throw InternalError(fmt::format("{}: the range of '{}' is not known", n.loc.str(), op_name(n.op)));
    }
  }

  /// Whether a gather's index is always inside.
  bool certain(const Node& n) const { return in(n, 1).low >= 0 && in(n, 1).high <= n.from[0].size - 1; }

  Interval power(const Node& n) const {
    const Interval &base = in(n, 0), &exponent = in(n, 1);
    if (base.low > 0) {  // monotone in both
      const auto [low, high] = std::minmax({std::pow(base.low, exponent.low), std::pow(base.low, exponent.high), std::pow(base.high, exponent.low), std::pow(base.high, exponent.high)});
      return between(low, high, true);
    }
    if (base.low < 0 || exponent.low != exponent.high) {
      const bool even = exponent.low == exponent.high && std::fmod(exponent.low, 2) == 0;
      return between(even ? 0 : -kInf, kInf);
    }
    const double p = exponent.low, a = std::pow(base.low, p), b = std::pow(base.high, p);
    return between(std::min(a, b), std::max(a, b), !base.has_zero());
  }

  Interval division_rounded_down(const Node& n) const {
    const Interval &a = in(n, 0), &d = in(n, 1);
    if (d.low <= 0) return between(-kInf, kInf);
    if (n.op == Op::Mod) return between(0, std::min(n.dtype == DType::Int ? d.high - 1 : d.high, a.low >= 0 ? a.high : kInf));
    return between(std::floor(a.low / (a.low < 0 ? d.low : d.high)), std::floor(a.high / (a.high < 0 ? d.high : d.low)));
  }

  const Graph& g_;
  const ParamRanges& ranges_;
  std::vector<Interval> out_;
};

}  // namespace

std::vector<Interval> intervals(const Graph& graph, const ParamRanges& ranges) { return Analysis(graph, ranges).run(); }

}  // namespace cpuflow::passes::audit
