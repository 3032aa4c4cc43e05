#include "passes/kit/contraction_order.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;

namespace {

// Multiply-adds in the time of one of a product of matrices, roughly.
constexpr double kNest = 4, kStored = 6;

double count(const Axes& axes) { return static_cast<double>(element_count(axes)); }

/// Factors within others are multiplied into them, and conditions are applied.
void absorb(Contraction& c) {
  for (size_t i = 0; i < c.factors.size();) {
    bool within = false;
    for (size_t j = 0; j < c.factors.size(); ++j) within = within || (j != i && subset(c.factors[i], c.factors[j]));
    if (within) c.factors.erase(c.factors.begin() + static_cast<long>(i));
    else ++i;
  }
  std::erase_if(c.conditions, [&](const Contraction::Condition& condition) {
    return std::any_of(c.factors.begin(), c.factors.end(), [&](const Axes& f) { return subset(condition.axes, f); });
  });
}

/// Summed axes that only the factors i and j have.
Axes own_axes(const Contraction& c, size_t i, size_t j) {
  Axes own;
  for (const Axis& a : c.over) {
    bool elsewhere = !contains(c.factors[i], a) && !contains(c.factors[j], a);
    for (size_t k = 0; k < c.factors.size(); ++k) elsewhere = elsewhere || (k != i && k != j && contains(c.factors[k], a));
    for (const Contraction::Condition& condition : c.conditions) elsewhere = elsewhere || contains(condition.axes, a);
    if (!elsewhere) own.push_back(a);
  }
  return own;
}

/// One axis after the other is summed in the factor that alone has it.
double sum_own_axes(Contraction& c) {
  double cost = 0;
  for (size_t i = 0; i < c.factors.size(); ++i) {
    const Axes own = own_axes(c, i, i);
    if (own.empty()) continue;
    cost += kNest * count(c.factors[i]);
    c.factors[i] = without(c.factors[i], own);
    c.over = without(c.over, own);
  }
  return cost;
}

/// Multiplies two factors and sums over what only they have.
double join(Contraction& c, size_t i, size_t j) {
  const Axes a = c.factors[i], b = c.factors[j], all = union_of(a, b), own = own_axes(c, i, j);
  const bool product = !own.empty() && subset(own, a) && subset(own, b) && !subset(without(a, own), b) && !subset(without(b, own), a) &&
                       std::none_of(a.begin(), a.end(), [&](const Axis& x) { return x.kind == AxisKind::Position && contains(b, x) && !contains(own, x); });
  c.factors.erase(c.factors.begin() + static_cast<long>(j));
  c.factors[i] = without(all, own);
  c.over = without(c.over, own);
  double cost = (product && !c.by_row ? 1 : kNest) * count(all);
  if (own.empty() && !c.by_row) cost += kStored * count(all);
  return cost;
}

/// Sums that are prefix sums take the state from row to row.
double sum_prefixes(Contraction& c) {
  double cost = 0;
  for (size_t k = 0; c.by_row && k < c.conditions.size();) {
    const std::optional<Prefix> prefix = find_prefix(c, k);
    if (!prefix) {
      ++k;
      continue;
    }
    Axes& f = c.factors[prefix->factor];
    cost += kNest * count(f);
    f = union_of(without(f, {prefix->s}), {prefix->t});
    c.over = without(c.over, {prefix->s});
    c.conditions.erase(c.conditions.begin() + static_cast<long>(k));
    k = 0;
  }
  return cost;
}

double cheapest(Contraction c, std::pair<size_t, size_t>* first) {
  absorb(c);
  double cost = sum_prefixes(c) + sum_own_axes(c);
  absorb(c);
  if (c.factors.size() < 2) return cost;
  double best = -1;
  for (size_t i = 0; i < c.factors.size(); ++i) {
    for (size_t j = i + 1; j < c.factors.size(); ++j) {
      Contraction next = c;
      double total = join(next, i, j);
      total += cheapest(next, nullptr);
      if (best >= 0 && total >= best) continue;
      best = total;
      if (first) *first = {i, j};
    }
  }
  return cost + best;
}

}  // namespace

std::optional<Prefix> find_prefix(const Contraction& c, size_t condition) {
  const Axes& axes = c.conditions[condition].axes;
  if (!c.conditions[condition].orders || axes.size() != 2) return std::nullopt;
  for (int side = 0; side < 2; ++side) {
    const Axis &s = axes[static_cast<size_t>(side)], &t = axes[static_cast<size_t>(1 - side)];
    if (!contains(c.over, s) || contains(c.over, t) || s.size != t.size) continue;
    size_t holders = 0, holder = 0;
    for (size_t i = 0; i < c.factors.size(); ++i) {
      if (contains(c.factors[i], s)) ++holders, holder = i;
    }
    bool others = false;
    for (size_t k = 0; k < c.conditions.size(); ++k) others = others || (k != condition && contains(c.conditions[k].axes, s));
    if (holders == 1 && !others && !contains(c.factors[holder], t)) return Prefix{holder, s, t};
  }
  return std::nullopt;
}

std::pair<size_t, size_t> first_pair(const Contraction& contraction) {
  std::pair<size_t, size_t> first{0, 1};
  cheapest(contraction, &first);
  return first;
}

}  // namespace cpuflow::passes
