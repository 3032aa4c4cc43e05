#pragma once
#include <string>

namespace cpuflow::tests {

/// A small model file that nobody wrote: equations in both ways of writing, of everything that modeldefs/README.md teaches, with
/// values that stay near 1.  The same seed gives the same text on every machine.
struct RandomModel {
  std::string text;
  bool causal = true;  // no position reads a later one
  bool jumps = false;  // has values that jump or bend: argmax, topk, round, conditions on numbers
};
RandomModel random_model(unsigned seed);

}  // namespace cpuflow::tests
