#pragma once
#include "ir/graph.h"

namespace cpuflow::passes {

/// The gradient of a cross-entropy is what was chosen, which is 0 but at one word, and a multiple of the probabilities.  In a product of matrices the
/// first part is read (or added) at the chosen word instead of being multiplied with every word, and what is the same for all words of a row
/// goes to the other factor: what is left is the value that the forward pass has, exp(logits - most), and nothing else of its size is needed.
///   sum x (select(f == index, a, 0) + b)  ->  sum (x at f = index) a + sum x b, or scatter(x a) + .. where f is not summed
///   sum x (r y), r with fewer axes        ->  sum (x r) y
///   sum x (y where c, else 0)             ->  sum (x where c, else 0) y, where y is exp(z - most of z)
/// The number at the chosen word is read where the largest of all is looked for: x at f = index becomes sum over f of select(f == index, x, 0), so
/// that x itself need not be kept.
/// Requires: after differentiate and solve_scatters.  Ensures: the same values up to rounding.
ir::Graph split_choices(const ir::Graph& in);

}  // namespace cpuflow::passes
