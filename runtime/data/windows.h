#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/data/dataset.h"

namespace cpuflow::rt {

/// A stream of ids as windows of T inputs and T targets: window w reads ids w*T .. w*T + T, its targets are shifted by one.
class Windows {
 public:
  /// `data` must outlive this object.  Throws DataError when there are fewer than T + 1 ids.
  Windows(const TokenData& data, uint32_t T);
  /// (ids - 1) / T; what is left at the end is not used.
  uint64_t count() const { return (data_->ids.size() - 1) / T_; }
  uint32_t length() const { return T_; }
  /// Fills T inputs and T targets of window `w` < count().
  void copy(uint64_t w, int32_t* tokens, int32_t* targets) const;

 private:
  const TokenData* data_;
  uint32_t T_;
};

/// Which window a row of a step trains on: a pure function of its arguments, so that resuming needs no state.
class WindowOrder {
 public:
  enum class Kind { Sequential, Shuffled };
  /// "sequential" or "shuffled"; throws DataError.
  static Kind parse_kind(std::string_view text);

  /// `batch` windows a step.  Throws DataError when `windows` or `batch` is 0.
  WindowOrder(Kind kind, uint64_t windows, uint64_t batch, uint64_t seed);
  /// Row `row` < batch of step `step`: number n = step*batch + row of the sequence of windows.  Sequential: n modulo windows.
  /// Shuffled: every run of `windows` numbers (an epoch) is a permutation of all windows that depends on (seed, epoch).
  uint64_t window(uint64_t step, uint64_t row) const;
  /// The epoch of the first row of a step.
  uint64_t epoch(uint64_t step) const { return step * batch_ / windows_; }

 private:
  Kind kind_;
  uint64_t windows_, batch_, seed_;
};

/// Image of `i` < n under a permutation of 0 .. n-1 chosen by `key`: a Feistel network over the next power of four, walked until
/// the value is below n (Black and Rogaway, 2002).
uint64_t permuted(uint64_t i, uint64_t n, uint64_t key);

}  // namespace cpuflow::rt
