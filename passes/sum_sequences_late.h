#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// A sum over sequences that is read at places known without data, and summed up there, is the sum over sequences of what is summed up in each: the gradient of a
/// filter, sum over s of (sum over b of y[b,t] x[b,s]) at t = s + j, is the sum over b of (sum over s of y[b,s+j] x[b,s]).
/// Where the first sum is too large to be kept by every thread.
/// Requires: after solve_scatters, before sums are brought into their form.  Ensures: the same values but for rounding.
ir::Graph sum_sequences_late(const ir::Graph& in);

}  // namespace cpuflow::passes
