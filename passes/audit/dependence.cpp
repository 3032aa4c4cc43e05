#include "passes/audit/dependence.h"

#include "ir/op.h"
#include "ir/schedule.h"

#include <algorithm>
#include <deque>
#include <map>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

enum class ZeroWhere { AllInputs, AnyInput, FirstInput, Nowhere };

/// Where an operation gives zero, judged by its value at zeros.
ZeroWhere zero_where(const Node& n) {
  switch (n.op) {
    case Op::Mul:
    case Op::And:
    case Op::Prod:
      return ZeroWhere::AnyInput;
    case Op::Div:
      return ZeroWhere::FirstInput;
    case Op::Param:
    case Op::Input:
    case Op::Random:
    case Op::TopkMask:
      return ZeroWhere::Nowhere;
    default:
      break;
  }
  const auto scalar = static_cast<double (*)(const double*)>(op_def(n.op).scalar);
  if (!is_elementwise(n.op) || !scalar) return ZeroWhere::AllInputs;
  const double zeros[3] = {0, 0, 0};
  return scalar(zeros) == 0 ? ZeroWhere::AllInputs : ZeroWhere::Nowhere;
}

}  // namespace

Dependence::Dependence(const Elements& elements, const std::vector<NodeId>& roots, int source_count, const Sources& sources,
                       const std::function<bool(NodeId)>& leaf)
    : elements_(elements), own_(sources), leaf_(leaf), source_count_(source_count), words_((source_count + 63) / 64), scratch_(static_cast<size_t>(words_)) {
  const Graph& g = elements.graph();
  bits_.resize(g.size());
  nonzero_.resize(g.size());
  const std::vector<NodeId> needed = needed_by(g, roots);
  for (NodeId id : needed) {
    bits_[id].assign(static_cast<size_t>(elements.count(id) * words_), 0);
    nonzero_[id].assign(static_cast<size_t>(elements.count(id)), 0);
  }
  // each cycle until nothing changes: sets only grow
  for (const std::vector<NodeId>& component : components(g, needed)) {
    const bool cycle = is_cycle(g, component);
    std::vector<NodeId> order = component;
    std::sort(order.begin(), order.end());
    std::map<NodeId, bool> stale;
    for (NodeId id : order) stale[id] = true;
    for (bool changed = true; changed;) {
      changed = false;
      for (NodeId id : order) {
        bool look = stale[id];
        for (NodeId i : g[id].inputs) look = look || (stale.count(i) && stale[i]);
        bool grew = false;
        for (int64_t at = 0; look && at < elements.count(id); ++at) grew = update({id, at}) || grew;
        stale[id] = grew;
        changed = changed || grew;
      }
      if (!cycle) break;
    }
  }
}

bool Dependence::update(const Element& e) {
  const Graph& g = elements_.graph();
  const Node& n = g[e.node];
  uint64_t* const bits = bits_[e.node].data() + e.at * words_;
  char& nonzero = nonzero_[e.node][static_cast<size_t>(e.at)];
  const char nonzero_before = nonzero;
  std::fill(scratch_.begin(), scratch_.end(), 0);
  if (elements_.known(e.node)) {
    nonzero = !elements_.zero(e);
  } else if (leaf_(e.node) || n.inputs.empty()) {
    nonzero = 1;
  } else {
    const ZeroWhere where = zero_where(n);
    bool any = false, all = true, first = false;
    elements_.reads(e, [&](size_t input, const Element& in) {
      const bool value = !((n.op == Op::Select && input == 0) || ((n.op == Op::Gather || n.op == Op::Scatter) && input == 1));
      const bool alive = this->nonzero(in);
      if (value) any = any || alive, all = all && alive;
      first = first || (alive && input == 0);
      if (in.at == Element::kMixed) return;
      const uint64_t* from = word(in);
      for (int w = 0; w < words_; ++w) scratch_[static_cast<size_t>(w)] |= from[w];
    });
    nonzero = where == ZeroWhere::Nowhere ? 1 : where == ZeroWhere::AllInputs ? any : where == ZeroWhere::AnyInput ? any && all : first;
    if (!nonzero) std::fill(scratch_.begin(), scratch_.end(), 0);
  }
  if (!elements_.known(e.node)) {
    for (int s : own_(e)) scratch_[static_cast<size_t>(s / 64)] |= uint64_t{1} << (s % 64);
  }
  bool grew = nonzero != nonzero_before;
  for (int w = 0; w < words_; ++w) {
    grew = grew || (scratch_[static_cast<size_t>(w)] & ~bits[w]) != 0;
    bits[w] |= scratch_[static_cast<size_t>(w)];
  }
  return grew;
}

std::vector<int> Dependence::sources(const Element& e) const {
  std::vector<int> out;
  for (int s = 0; s < source_count_; ++s) {
    if (depends(e, s)) out.push_back(s);
  }
  return out;
}

std::vector<Element> Dependence::chain(const Element& e, int source) const {
  std::map<Element, Element> next;  // towards e
  std::deque<Element> open{e};
  next[e] = e;
  while (!open.empty()) {
    const Element here = open.front();
    open.pop_front();
    const std::vector<int> own = own_(here);
    if (std::find(own.begin(), own.end(), source) != own.end()) {
      std::vector<Element> out{here};
      while (out.back() != e) out.push_back(next.at(out.back()));
      std::reverse(out.begin(), out.end());
      return out;
    }
    if (leaf_(here.node)) continue;
    elements_.reads(here, [&](size_t, const Element& in) {
      if (depends(in, source) && next.emplace(in, here).second) open.push_back(in);
    });
  }
  return {};
}

}  // namespace cpuflow::passes::audit
