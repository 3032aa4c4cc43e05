#pragma once
#include <fmt/format.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace cpuflow::tests {

/// A value that equations can name: its features.
struct Written {
  std::string name;
  std::vector<int> shape;
};

/// Writes the equations of one block, and declares the parameters that they need.
class BlockWriter {
 public:
  struct Sizes {
    int T = 1, V = 11, d = 6, e = 5, H = 2, L = 1;
  };
  /// `prefix` keeps names of blocks apart; a block that is repeated may look at `layer`.
  BlockWriter(std::mt19937& random, const Sizes& sizes, const std::string& prefix, bool repeated)
      : values{{"x", {sizes.d}}}, random_(random), sizes_(sizes), prefix_(prefix), repeated_(repeated) {}

  /// Adds a random statement, or a few that belong together.
  void add_statement();
  /// Ends the block: x takes up what was computed last.
  void finish();

  std::string equations;
  std::string params;                  // the [..params] table
  std::vector<std::string> submodule;  // entries of its sub-module `inner`
  std::vector<Written> values;
  std::vector<std::string> functions;  // of the library and the model's own that were called
  bool causal = true, jumps = false;

  int pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool chance(int percent) { return pick(100) < percent; }
  template <typename... Items>
  std::string any(Items... items) {
    const std::vector<std::string> all = {items...};
    return all[static_cast<size_t>(pick(static_cast<int>(all.size())))];
  }
  /// A size as equations write it: by its name, or as a number.
  std::string size(int n);
  int width();

 private:
  // random_writer.cpp: parameters and expressions
  std::string fresh(const std::string& letter) { return letter + prefix_ + std::to_string(names_++); }
  std::string declare(const std::string& letter, const std::string& kind, const std::string& extra = "");
  std::string linear(int n, int m);
  std::string vector(int n);
  std::string matrix(int n, int m);
  std::string named(int n);  // a value of n features
  std::string any_value(int& n);
  std::string unary(const std::string& a);
  std::string whole(int n, int depth);
  std::string indexed(const std::string& pos, const std::string& i, int n, int depth);
  std::string reduced(const std::string& pos, const std::string& i, int n, int depth);
  std::string past(const std::string& s, const std::string& pos, bool nonempty);
  void line(const std::string& text) { equations += text + "\n"; }
  void keep(const std::string& name, const std::vector<int>& shape, bool tame);

  // random_statements.cpp
  void attention();
  void recurrence();
  void matrix_state();
  void chunks();
  void looked_up();
  void routed();
  void rearranged();
  void three_factors();
  void conditional();
  void constants();

  std::mt19937& random_;
  Sizes sizes_;
  std::string prefix_;
  bool repeated_;
  int names_ = 0;
  std::map<std::string, std::vector<std::string>> declared_;  // kind -> names
};

}  // namespace cpuflow::tests
