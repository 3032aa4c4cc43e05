#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/memory.h"

namespace cpuflow::rt {

/// How the next token is chosen: logits are divided by the temperature, then the top_k largest are kept, then the most probable
/// ones whose probabilities reach top_p together.
struct SampleOptions {
  double temperature = 1;  // 0: always the most probable token
  int64_t top_k = 0;       // 0: all
  double top_p = 1;
  uint64_t seed = 0;
  int64_t max_tokens = 256;           // beyond the prompt
  std::optional<uint32_t> end_token;  // ends the text; it is not part of the result
};

/// One choice from `logits`, by the random number `uniform` in [0, 1).  Equal logits count in order of their ids.  Throws
/// std::runtime_error when a logit is NaN or all are -inf.
uint32_t choose_token(std::span<const float> logits, const SampleOptions& options, double uniform);

struct SampleResult {
  enum class End { EndToken, MaxTokens, Positions, Stopped };
  std::vector<uint32_t> ids;  // the new ones
  End end = End::MaxTokens;
  std::string reason;  // for people, where the text was cut: "" unless end is Positions
};

/// A model that makes text, one position at a time, from the state that `rows` carries in its lane.
class Sampler {
 public:
  /// `params` [param_floats] must outlive this object.  Throws MemoryError, std::invalid_argument when `rows` was not compiled.
  Sampler(const codegen::Executable& exe, const float* params);

  /// What to tell people before sampling, or "": a model that is not causal recomputes the whole prefix for every token, and what it
  /// learned may not be what it does here.
  std::string warning() const;
  /// Continues `prompt` (at least one id).  The token at a position depends on the prompt, the tokens so far, the options and the position
  /// only. `on_token` sees each new id as it is made and may return false to stop.  Throws DataError for an empty prompt, one longer than
  /// T, and ids that are not below V; std::invalid_argument for options out of range.
  SampleResult sample(std::span<const uint32_t> prompt, const SampleOptions& options, const std::function<bool(uint32_t)>& on_token = {},
                      const std::atomic<int>* stop = nullptr);
  /// Begins a new sequence.
  void begin();
  /// Logits [V] after `ids`, which continue the ids of the call before since begin(); valid until the next call.
  std::span<const float> next_logits(std::span<const uint32_t> ids);

 private:
  const codegen::Executable& exe_;
  Arena arena_;
  float *shared_, *lane_, *prepare_lane_, *out_;
  int32_t* tokens_;
  cpuflow_call call_{};
  int64_t position_ = 0;  // positions that the lane's state covers
};

}  // namespace cpuflow::rt
