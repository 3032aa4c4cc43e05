#pragma once

namespace cpuflow::ir {

/// Every element of a value lies in low .. high (both included where finite); `positive`: zero is excluded though it is the bound.
struct Interval {
  double low = 0, high = 0;
  bool empty = true;     // nothing is known to get here yet
  bool positive = false;
  bool has_zero() const { return !empty && low <= 0 && high >= 0 && !(positive && low == 0); }
  bool above_zero() const { return !empty && low >= 0 && !has_zero(); }
};

// Interval arithmetic in real numbers.  Reference: Moore, "Interval Analysis", 1966.

/// A bound that is no number (infinity less infinity) is infinite; one that is infinite on the wrong side was rounded to that, and is the largest number.
Interval between(double low, double high, bool positive = false);
Interval any_number();
/// Numbers of either.
Interval join(const Interval& a, const Interval& b);
Interval times(const Interval& a, const Interval& b);
/// Sums of `count` numbers.
Interval sum_of(const Interval& x, double count);
/// What a function that nowhere falls makes of x.
Interval rising(const Interval& x, double (*f)(double), bool positive = false);

}  // namespace cpuflow::ir
