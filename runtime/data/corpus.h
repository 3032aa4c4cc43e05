#pragma once
#include <cstdint>
#include <string>

#include "runtime/data/dataset.h"

namespace cpuflow::rt {

/// One children's story, a function of (seed, index): a hero, a companion, a treasure, a place, a trouble, help and a lesson.  All are
/// chosen once, come back many times, and agree through the whole story; the lesson follows from the trouble.
std::string write_story(uint64_t seed, uint64_t index);

/// Writes `stories` stories with a `<|endoftext|>` line after each; 20000 are about 15 MB.  Throws FileError.
void write_corpus(const std::string& path, uint64_t stories = 20000, uint64_t seed = 1);

/// Held-out cross-entropy, in nats per id, of an interpolated trigram model with Kneser-Ney smoothing whose three discounts are estimated
/// from `train` (Chen and Goodman 1999): what can be known of text by looking at the two ids before.
/// Throws DataError when one of the two is shorter than three ids, or an id is not below `vocab`.
double trigram_cross_entropy(const TokenIds& train, const TokenIds& valid, uint32_t vocab);

}  // namespace cpuflow::rt
