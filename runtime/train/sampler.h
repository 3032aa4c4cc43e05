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

/// How the next token is chosen: penalties and blocks change the logits, which are divided by the temperature; then the top_k largest are
/// kept, of these the most probable ones whose probabilities reach top_p together, and of these what is at least min_p times as probable
/// as the most probable one.
struct SampleOptions {
  double temperature = 1;  // 0: always the most probable token
  int64_t top_k = 0;       // 0: all
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;  // positive logits of tokens in the prompt and the text are divided by it, negative ones multiplied
  double frequency_penalty = 0;   // subtracted for every time that a token is in the text (without the prompt)
  double presence_penalty = 0;    // subtracted once from what is in the text (without the prompt)
  int64_t no_repeat_ngram = 0;    // no n tokens in a row are repeated, prompt included; 0: they may be
  int64_t look_ahead = 0;         // candidates that are tried for one more step; the model was compiled with a head
  double beta = 1;                // of look_ahead: the best has the largest log-probability - beta * head
  uint64_t seed = 0;
  int64_t max_tokens = 256;           // beyond the prompt
  int64_t prompt_tokens = -1;         // of the ids that are continued, so many are the prompt; -1: all of them
  std::optional<uint32_t> end_token;  // ends the text; it is not part of the result
};

/// Applies penalties and blocks to `logits`, for a text `ids` that begins with `prompt` ids that were given.  Where everything would be
/// blocked, nothing is.
void penalise(std::span<float> logits, std::span<const uint32_t> ids, size_t prompt, const SampleOptions& options);

/// One choice from `logits`, by the random number `uniform` in [0, 1).  Equal logits count in order of their ids.  Throws
/// std::runtime_error when a logit is NaN or all are -inf.
uint32_t choose_token(std::span<const float> logits, const SampleOptions& options, double uniform);

/// The tokens that choose_token could choose, the most probable first, at most `most` of them, with their log-probabilities among these.
std::vector<std::pair<uint32_t, double>> candidates(std::span<const float> logits, const SampleOptions& options, size_t most);

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
  /// The head's value at the last position of the ids given to next_logits.  Only for a model that was compiled with one.
  float head() const { return out_[head_at_]; }

 private:
  /// Of the candidates for the token after `ids`, the one with the largest log-probability - beta * head, after one more step with each.
  uint32_t look_ahead(const std::vector<uint32_t>& ids, std::span<const float> logits, const SampleOptions& options);

  const codegen::Executable& exe_;
  Arena arena_;
  float *shared_, *lane_, *prepare_lane_, *out_;
  size_t head_at_ = 0;  // in out_
  int32_t* tokens_;
  cpuflow_call call_{};
  int64_t position_ = 0;  // positions that the lane's state covers
};

}  // namespace cpuflow::rt
