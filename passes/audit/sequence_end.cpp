#include "ir/op.h"
#include "ir/schedule.h"
#include "passes/audit/audits.h"
#include "passes/audit/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <set>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

/// The same axis but for its size.
bool matches(const Axes& a, const Axes& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_name);
}

bool same_sizes(const Axes& a, const Axes& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Axis& x, const Axis& y) { return x.size == y.size; });
}

bool matches(const Node& a, const Node& b) {
  const bool cuts = a.op == Op::Slice || a.op == Op::Reshape;  // of the same axes, other parts
  if (cuts && same_sizes(a.from, b.from) && !same_sizes(a.to, b.to)) return false;
  return a.op == b.op && a.dtype == b.dtype && a.text == b.text && a.ints == b.ints && a.values == b.values && a.inputs.size() == b.inputs.size() && matches(a.axes, b.axes) && matches(a.from, b.from) &&
         matches(a.to, b.to);
}

using Indices = std::vector<int64_t>;
using Pair = std::pair<Element, Element>;  // of each Graph

/// Follows two Graphs from their logits, element by element.
class SideBySide {
 public:
  SideBySide(const Elements& a, const Elements& b) : a_(a), b_(b) {}

  /// The first pair of elements that are not computed alike, as a chain from the logits; empty if there is none.
  std::vector<Element> difference(NodeId a, NodeId b, int64_t positions) {
    for (int64_t at = 0; at < a_.count(a); ++at) {
      const Element x{a, at};
      const Element y = same_place(x, b);
      if (a_.index(x, a_.graph()[a].axes.empty() ? Axis{} : time_axis(a_.graph())) >= positions) continue;
      visit({x, y}, {x, y});
    }
    while (!open_.empty()) {
      const Pair pair = open_.front();
      open_.pop_front();
      if (!alike(pair)) return chain(pair);
    }
    return {};
  }

 private:
  /// The element of `b` with the indices of `x`.
  Element same_place(const Element& x, NodeId b) const {
    Element y{b, 0};
    const Indices at = a_.indices(x);
    const Axes& axes = b_.axes(b);
    for (size_t i = 0; i < axes.size(); ++i) {
      const int64_t index = i < at.size() ? at[i] : 0;
      if (index >= axes[i].size) return {b, Element::kMixed};  // there is no such element
      y.at = y.at * axes[i].size + index;
    }
    return y;
  }

  void visit(const Pair& pair, const Pair& from) {
    const auto& [x, y] = pair;
    if (x.at == Element::kMixed && !a_.known(x.node)) return;
    std::vector<Pair>& seen = seen_[{x.node, y.node}];
    if (seen.empty()) seen.resize(static_cast<size_t>(a_.count(x.node)) + 1);
    Pair& way = seen[static_cast<size_t>(x.at + 1)];
    if (way.first.node != kNoNode) return;
    way = from;
    open_.push_back(pair);
  }

  bool alike(const Pair& pair) {
    const auto& [x, y] = pair;
    const Node &m = a_.graph()[x.node], &n = b_.graph()[y.node];
    if (a_.known(x.node) || b_.known(y.node)) return a_.known(x.node) && b_.known(y.node) && same_value(x, y);
    if (!matches(m, n) || a_.indices(x) != b_.indices(y)) return false;
    if (m.inputs.empty()) return true;
    Reads left = reads_of(a_, x), right = reads_of(b_, y);
    auto differ = [&] {
      return left.size() != right.size() || !std::equal(left.begin(), left.end(), right.begin(), [&](const Read& l, const Read& r) {
               if (l.first != r.first) return false;
               if (a_.known(l.second.node) && b_.known(r.second.node)) return true;  // compared by value
               return l.second.at != Element::kMixed && r.second.at != Element::kMixed && a_.indices(l.second) == b_.indices(r.second);
             });
    };
    if (m.op == Op::Mul && left.size() < 2 && right.size() < 2) return true;  // zero, whatever the other factor is
    if (differ()) drop_neutral(a_, m, left), drop_neutral(b_, n, right);
    if (differ()) return false;
    for (size_t i = 0; i < left.size(); ++i) visit({left[i].second, right[i].second}, pair);
    return true;
  }

  using Read = std::pair<size_t, Element>;
  using Reads = std::vector<Read>;

  static Reads reads_of(const Elements& in, const Element& e) {
    Reads out;
    in.reads(e, [&](size_t i, const Element& read) {
      if (!in.zero(read)) out.push_back({i, read});
    });
    return out;
  }

  /// Known elements: of one that is mixed, all that exist in both.
  bool same_value(const Element& x, const Element& y) {
    double v = 0, w = 0;
    if (x.at != Element::kMixed && y.at != Element::kMixed) return a_.value(x, v) && b_.value(y, w) && v == w;
    const auto [it, fresh] = same_.try_emplace({x.node, y.node}, matches(a_.graph()[x.node].axes, b_.graph()[y.node].axes));
    if (!fresh) return it->second;
    for (int64_t at = 0; at < a_.count(x.node) && it->second; ++at) {
      const Element there = same_place({x.node, at}, y.node);
      if (there.at >= 0) it->second = a_.value({x.node, at}, v) && b_.value(there, w) && v == w;
    }
    return it->second;
  }

  /// Leaves out terms that change nothing: zeros of a sum, and what conditions exclude from a product or a maximum.
  void drop_neutral(const Elements& in, const Node& n, Reads& reads) const {
    if (n.op == Op::Sum || n.op == Op::Cumsum) std::erase_if(reads, [&](const auto& read) { return vanishes(in, read.second, 8); });
    if (n.op == Op::Prod || n.op == Op::Max || n.op == Op::Min) std::erase_if(reads, [&](const auto& read) { return excluded(in, n.op, read.second); });
  }

  /// A condition that is known chooses the number that stands for nothing.
  static bool excluded(const Elements& in, Op op, const Element& e) {
    if (in.graph()[e.node].op != Op::Select) return false;
    bool nothing = true;
    in.reads(e, [&](size_t i, const Element& from) {
      double v = 0;
      nothing = nothing && i != 0 && in.known(from.node) && in.value(from, v) && (op == Op::Prod ? v == 1 : op == Op::Max ? v <= -kNoScore : v >= kNoScore);
    });
    return nothing;
  }

  bool vanishes(const Elements& in, const Element& e, int depth) const {
    if (in.zero(e)) return true;
    const Node& n = in.graph()[e.node];
    if (depth == 0 || in.known(e.node)) return false;
    const bool through = n.op == Op::Mul || n.op == Op::Select || n.op == Op::Rename || n.op == Op::Div || n.op == Op::Neg || n.op == Op::Stop || n.op == Op::And ||
                         n.op == Op::ToReal || n.op == Op::Gather || n.op == Op::Slice || n.op == Op::Add || n.op == Op::Sub;
    if (!through) return false;
    bool any = false, all = true;
    in.reads(e, [&](size_t i, const Element& from) {
      if ((n.op == Op::Select && i == 0) || (n.op == Op::Gather && i == 1) || (n.op == Op::Div && i == 1)) return;
      const bool none = vanishes(in, from, depth - 1);
      any = any || none, all = all && none;
    });
    return n.op == Op::Mul || n.op == Op::And ? any : all;
  }

  std::vector<Element> chain(Pair pair) const {
    std::vector<Element> out{pair.first};
    while (way_to(pair) != pair) {
      pair = way_to(pair);
      out.push_back(pair.first);
    }
    std::reverse(out.begin(), out.end());
    return out;
  }

  const Pair& way_to(const Pair& pair) const { return seen_.at({pair.first.node, pair.second.node})[static_cast<size_t>(pair.first.at + 1)]; }

  const Elements &a_, &b_;
  std::map<std::pair<NodeId, NodeId>, std::vector<Pair>> seen_;  // for each element, mixed first: from where it was reached
  std::map<std::pair<NodeId, NodeId>, bool> same_;
  std::deque<Pair> open_;
};

/// The first logit that differs, as a sentence.
std::string witness(const Graph& a, const Graph& b, const ParamRanges& ranges) {
  const NodeId x = output_node(a, "logits"), y = output_node(b, "logits");
  const int64_t V = vocabulary_of(a), T = time_axis(a).size, longer = time_axis(b).size;
  for (unsigned draw = 0; draw < 2; ++draw) {
    const Tensor p = values_of(a, {x}, drawn_parameters(a, 0.3, draw, ranges), drawn_text(a, V, draw))[x];
    const Tensor q = values_of(b, {y}, drawn_parameters(b, 0.3, draw, ranges), drawn_text(b, V, draw))[y];
    for (int64_t i = 0; i < T * V; ++i) {  // sequence 0 comes first
      const double v = p.data[static_cast<size_t>(i)], w = q.data[static_cast<size_t>(i)];
      if (std::abs(v - w) > 1e-9 * (std::abs(v) + std::abs(w))) {
        return fmt::format("logits[{}, {}] is {:.9g} in a sequence of {} positions and {:.9g} in one of {}", i / V, i % V, v, T, w, longer);
      }
    }
  }
  return "";
}

}  // namespace

Finding sequence_end(const Graph& g, const Graph& longer, const Graph* numbers, const Graph* longer_numbers, const ParamRanges& ranges) {
  const Elements a(g, Elements::Apart::Positions), b(longer, Elements::Apart::Positions);
  const Axis time = time_axis(g);
  Finding out;
  const std::vector<Element> chain = SideBySide(a, b).difference(output_node(g, "logits"), output_node(longer, "logits"), time.size);
  if (chain.empty()) {
    out.verdict = Verdict::Proved;
    return out;
  }
  out.chain = links(a, chain, time);
  out.reason = fmt::format("the logits of position {} are computed in another way in a longer sequence", a.index(chain.front(), time));
  if (numbers && longer_numbers) out.witness = witness(*numbers, *longer_numbers, ranges);
  if (out.witness != "") out.verdict = Verdict::Refuted;
  else out.reason += " by their equations, but no numbers were found that show it";
  return out;
}

}  // namespace cpuflow::passes::audit
