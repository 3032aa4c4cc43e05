#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "codegen/abi/manifest.h"
#include "runtime/memory.h"
#include "runtime/partners.h"
#include "runtime/thread_pool.h"
#include "runtime/train/choose_token.h"

namespace cpuflow::rt {

struct SampleResult {
  enum class End { EndToken, MaxTokens, Positions, Stopped };
  std::vector<uint32_t> ids;  // the new ones
  End end = End::MaxTokens;
  std::string reason;  // for people, where the text was cut: "" unless end is Positions
};

/// A text to be continued.
struct SampleRequest {
  std::span<const uint32_t> prompt;  // at least one id
  SampleOptions options;
};

/// A model that makes text, one position at a time, from the states that `rows` carries in its lanes.
class Sampler {
 public:
  /// Continues up to `streams` texts at once on the threads of `pool`: they share the products of a text that is alone, or have texts of their
  /// own.  `params` [param_floats] and `pool` must outlive this object.  Throws MemoryError, std::invalid_argument when `rows` was not compiled,
  /// and for several streams of a model that is not causal.
  Sampler(const codegen::Executable& exe, const float* params, ThreadPool& pool, int64_t streams = 1);

  /// How many of the threads continue a text together: as many as there is memory for, each with a lane of its own; one where all positions are
  /// computed for each token.
  static int partners(const codegen::Manifest& manifest, int64_t streams, int threads);
  /// Memory that a sampler of so many streams takes where so many partners continue a text that is alone.
  static uint64_t bytes(const codegen::Manifest& manifest, int64_t streams, int partners);
  /// What to tell people before sampling, or "": a model that is not causal recomputes the whole prefix for every token, and what it
  /// learned may not be what it does here.
  std::string warning() const;
  int64_t streams() const { return static_cast<int64_t>(streams_); }
  /// Continues `prompt` (at least one id).  The token at a position depends on the prompt, the tokens so far, the options and the position
  /// only. `on_token` sees each new id as it is made and may return false to stop.  Throws DataError for an empty prompt, one longer than
  /// T, and ids that are not below V; std::invalid_argument for options out of range.
  SampleResult sample(std::span<const uint32_t> prompt, const SampleOptions& options, const std::function<bool(uint32_t)>& on_token = {},
                      const std::atomic<int>* stop = nullptr);
  /// The same for several texts at once: a position of each is computed in one pass over the weights, and each becomes what it becomes alone.
  /// Requires: not more texts than streams(), prompts of one length, no look-ahead.
  std::vector<SampleResult> sample_all(std::span<const SampleRequest> requests, const std::function<bool(size_t request, uint32_t id)>& on_token = {},
                                       const std::atomic<int>* stop = nullptr);
  /// Throws what sample() throws of a prompt and its options, with nothing computed.
  void check(std::span<const uint32_t> prompt, const SampleOptions& options) const;
  /// Begins a new sequence: `rows` forgets what its lanes hold when it begins at position 0.
  void begin() { position_ = 0; }
  /// Logits [V] after `ids`, which continue the ids of the call before since begin(); valid until the next call.
  std::span<const float> next_logits(std::span<const uint32_t> ids);
  /// The head's value at the last position of the ids given to next_logits.  Only for a model that was compiled with one.
  float head() const { return out_[head_at_]; }

 private:
  struct Text;

  Text begin_text(size_t request, std::span<const uint32_t> prompt, const SampleOptions& options) const;
  /// Whether a text may not go on; its result says why.
  bool ended(Text& text, const std::atomic<int>* stop) const;
  uint32_t choose(const Text& text, std::span<const float> logits);
  /// Of the candidates for the token after `ids`, the one with the largest log-probability - beta * head, after one more step with each.
  uint32_t look_ahead(const std::vector<uint32_t>& ids, std::span<const float> logits, const SampleOptions& options);
  /// Adds a token to a text; false when the text ends with it.
  static bool add(Text& text, uint32_t id, const std::function<bool(size_t request, uint32_t id)>& on_token);
  /// What `rows` reads of a stream: ids[from ..]; checks them.
  void put_tokens(size_t stream, std::span<const uint32_t> ids, size_t from);
  /// What `rows` is given for positions first .. last - 1 of so many streams from `stream` on.
  cpuflow_call call_of(size_t stream, size_t streams, int64_t first, int64_t last) const;
  /// `rows` for positions first .. last - 1 of the first stream, by all partners.
  void run_alone(int64_t first, int64_t last);
  /// What `rows` gave for a stream's last position.
  std::span<const float> logits(size_t stream) const;

  const codegen::Executable& exe_;
  ThreadPool& pool_;
  Partners partners_;
  Arena arena_;
  size_t streams_;
  float *lane_, *out_;  // one of each stream, or of each partner of the text that is alone
  float* kept_ = nullptr;  // of look_ahead(): what the lane of its text keeps
  int32_t* tokens_;
  size_t head_at_ = 0;  // in out_
  cpuflow_call call_{};
  int64_t position_ = 0;  // positions that the lanes' states cover
};

}  // namespace cpuflow::rt
