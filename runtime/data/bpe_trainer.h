#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/tokenizer.h"

namespace cpuflow::rt {

struct BpeTrainerOptions {
  uint32_t vocab_size = 4096;                          // upper bound, special tokens and the 256 bytes included
  uint64_t min_count = 2;                              // a pair that occurs less often is not merged
  std::vector<std::string> specials{"<|endoftext|>"};  // ids 0, 1, ...; the first ends a document unless it is named otherwise
};

/// The smallest vocabulary: the specials and the 256 bytes.
inline uint32_t least_vocabulary(const BpeTrainerOptions& options) { return static_cast<uint32_t>(options.specials.size()) + 256; }

/// Trains a byte-level BPE on documents: ids are specials, then the 256 bytes in order, then one token per merge, the most frequent
/// pair first (of equally frequent ones, the pair of lower ids).  The same text gives the same tokenizer.  The vocabulary is smaller than
/// asked for when the text has no more pairs that occur `min_count` times.
/// Throws DataError: vocab_size too small for the specials and bytes, a special that is empty or given twice.
Tokenizer train_bpe(const std::vector<std::string_view>& documents, const BpeTrainerOptions& options = {});

}  // namespace cpuflow::rt
