#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

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
  uint32_t ids = 0;                   // only those below it are chosen, since the others stand for no text; 0: all of the model's
  std::optional<uint32_t> end_token;  // ends the text; it is not part of the result
};

/// Throws std::invalid_argument, with the option and its range, for options out of range.
void check_options(const SampleOptions& options);

/// Applies penalties and blocks to `logits`, for a text `ids` that begins with `prompt` ids that were given.  Where everything would be
/// blocked, nothing is.
void penalise(std::span<float> logits, std::span<const uint32_t> ids, size_t prompt, const SampleOptions& options);

/// One choice from `logits`, by the random number `uniform` in [0, 1).  Equal logits count in order of their ids.  Throws
/// std::runtime_error when a logit is NaN or all are -inf.
uint32_t choose_token(std::span<const float> logits, const SampleOptions& options, double uniform);

/// The tokens that choose_token could choose, the most probable first, at most `most` of them, with their log-probabilities among these.
std::vector<std::pair<uint32_t, double>> candidates(std::span<const float> logits, const SampleOptions& options, size_t most);

}  // namespace cpuflow::rt
