#include "ir/interval.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cpuflow::ir {

namespace {

/// Where one factor is 0 the other is a number, whatever bounds it.
double product(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

}  // namespace

Interval between(double low, double high, bool positive) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  return {std::isnan(low) ? -INFINITY : std::min(low, kLargest), std::isnan(high) ? INFINITY : std::max(high, -kLargest), false, positive && low == 0};
}

Interval any_number() { return between(-INFINITY, INFINITY); }

Interval join(const Interval& a, const Interval& b) {
  if (a.empty) return b;
  if (b.empty) return a;
  return between(std::min(a.low, b.low), std::max(a.high, b.high), a.above_zero() && b.above_zero());
}

Interval times(const Interval& a, const Interval& b) {
  const auto [low, high] = std::minmax({product(a.low, b.low), product(a.low, b.high), product(a.high, b.low), product(a.high, b.high)});
  return between(low, high, a.above_zero() && b.above_zero());
}

Interval sum_of(const Interval& x, double count) { return between(product(count, x.low), product(count, x.high), x.above_zero()); }

Interval rising(const Interval& x, double (*f)(double), bool positive) { return between(f(x.low), f(x.high), positive); }

}  // namespace cpuflow::ir
