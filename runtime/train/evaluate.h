#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/data/windows.h"
#include "runtime/thread_pool.h"
#include "runtime/train/arrays.h"

namespace cpuflow::rt {

/// Mean losses over all windows of a text.
struct Evaluation {
  std::vector<double> losses;  // one a term, in manifest order
  std::vector<double> watch;   // what [watch] names: means over micro-batches
  uint64_t windows = 0, tokens = 0;
  double ppl = 0;            // exp of the cross-entropy; 0 where no loss is the cross-entropy of the next token
  double bits_per_byte = 0;  // 0 there, and where the text's bytes are not known
  bool complete = true;      // false: stopped on the way; the figures mean nothing
};

/// Evaluates arrays.params on every window of `data`.  Windows go to the compiled code B at a time; each of those left at the end is a
/// group of its own that counts as B copies of the window, so that every window has the same weight.  The result does not depend on the
/// number of threads.  Overwrites lanes' scratch and losses.  Throws DataError when there is no window.
Evaluation evaluate(const codegen::Executable& exe, const Arrays& arrays, ThreadPool& pool, const TokenData& data,
                    const std::atomic<int>* stop = nullptr);

}  // namespace cpuflow::rt
