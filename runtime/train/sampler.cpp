#include "runtime/train/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "runtime/data/data_error.h"
#include "runtime/random.h"

namespace cpuflow::rt {
namespace {

uint64_t rows_floats(const codegen::Manifest& m) { return m.rows_lane_floats > 0 ? m.rows_lane_floats : m.lane_floats; }

/// Rows of logits that one call gives: all of them when the model is not causal.
uint64_t rows_out(const codegen::Manifest& m) { return static_cast<uint64_t>(m.V * (m.causal ? 1 : m.T)); }

uint64_t sampler_bytes(const codegen::Manifest& m) {
  return Arena::bytes_for(m.shared_floats) + Arena::bytes_for(rows_floats(m)) + Arena::bytes_for(m.lane_floats) +
         Arena::bytes_for(rows_out(m)) + Arena::bytes_for(static_cast<uint64_t>(m.T));
}

void check(const SampleOptions& o) {
  if (!(o.temperature >= 0)) throw std::invalid_argument(fmt::format("temperature {}: it must be at least 0", o.temperature));
  if (o.top_k < 0) throw std::invalid_argument(fmt::format("top-k {}: it must be at least 0 (0: all tokens)", o.top_k));
  if (!(o.top_p > 0 && o.top_p <= 1)) throw std::invalid_argument(fmt::format("top-p {}: it must be above 0 and at most 1", o.top_p));
  if (o.max_tokens < 0) throw std::invalid_argument(fmt::format("{} tokens: it must be at least 0", o.max_tokens));
}

}  // namespace

uint32_t choose_token(std::span<const float> logits, const SampleOptions& o, double uniform) {
  const auto nan = std::find_if(logits.begin(), logits.end(), [](float v) { return std::isnan(v); });
  if (nan != logits.end())
    throw std::runtime_error(fmt::format("the model's logit of token {} is NaN; its weights are spoiled", nan - logits.begin()));
  const auto best = std::max_element(logits.begin(), logits.end());
  if (best == logits.end() || std::isinf(*best)) throw std::runtime_error("the model's logits are infinite; its weights are spoiled");
  if (o.temperature == 0) return static_cast<uint32_t>(best - logits.begin());

  std::vector<uint32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0u);
  const auto before = [&](uint32_t a, uint32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  const size_t keep = o.top_k > 0 ? std::min(ids.size(), static_cast<size_t>(o.top_k)) : ids.size();
  if (keep < ids.size()) {
    std::nth_element(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(keep), ids.end(), before);
    ids.resize(keep);
  }
  const bool nucleus = o.top_p < 1;
  if (nucleus) {
    std::sort(ids.begin(), ids.end(), before);
  } else {
    std::sort(ids.begin(), ids.end());
  }
  std::vector<double> weights(ids.size());
  double sum = 0;
  for (size_t i = 0; i < ids.size(); ++i) sum += weights[i] = std::exp((static_cast<double>(logits[ids[i]]) - *best) / o.temperature);
  size_t count = ids.size();
  if (nucleus) {
    double reached = 0;
    for (count = 0; count < ids.size() && reached < o.top_p * sum; ++count) reached += weights[count];
    count = std::max<size_t>(1, count);
    sum = std::accumulate(weights.begin(), weights.begin() + static_cast<ptrdiff_t>(count), 0.0);
  }
  double left = uniform * sum;
  for (size_t i = 0; i < count; ++i) {
    if (left < weights[i]) return ids[i];
    left -= weights[i];
  }
  // Rounding left a crumb: the last token that can be chosen at all.
  while (count > 1 && weights[count - 1] == 0) --count;
  return ids[count - 1];
}

Sampler::Sampler(const codegen::Executable& exe, const float* params)
    : exe_(exe), arena_((require_memory(sampler_bytes(exe.manifest), available_memory(), "sampling"), sampler_bytes(exe.manifest))) {
  const codegen::Manifest& m = exe.manifest;
  if (!exe.rows) throw std::invalid_argument("this model was compiled without `rows`, which sampling needs");
  shared_ = arena_.floats(m.shared_floats);
  lane_ = arena_.floats(rows_floats(m));
  prepare_lane_ = arena_.floats(m.lane_floats);
  out_ = arena_.floats(rows_out(m));
  tokens_ = arena_.ints(static_cast<uint64_t>(m.T));
  call_.params = params;
  call_.shared = shared_;
  call_.lane = prepare_lane_;
  call_.last = static_cast<int32_t>(m.T);
  if (exe.prepare) exe.prepare(&call_);
  call_.lane = lane_;
  call_.tokens = tokens_;
  call_.out = out_;
}

std::string Sampler::warning() const {
  if (exe_.manifest.causal) return "";
  return fmt::format(
      "'{}' is not causal: every token recomputes the whole text before it, and training saw tokens that sampling does not have",
      exe_.manifest.model);
}

void Sampler::begin() {
  std::fill_n(lane_, rows_floats(exe_.manifest), 0.0f);
  position_ = 0;
}

std::span<const float> Sampler::next_logits(std::span<const uint32_t> ids) {
  const codegen::Manifest& m = exe_.manifest;
  const int64_t length = static_cast<int64_t>(ids.size());
  if (length < 1 || length > m.T) throw DataError(fmt::format("{} tokens: the model has positions for 1 to {}", length, m.T));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= static_cast<uint64_t>(m.V))
      throw DataError(fmt::format("token {} at position {} is not below the model's V = {}", ids[i], i, m.V));
    tokens_[i] = static_cast<int32_t>(ids[i]);
  }
  const size_t V = static_cast<size_t>(m.V);
  if (!m.causal) {
    begin();
    call_.first = 0;
    call_.last = static_cast<int32_t>(length);
    exe_.rows(&call_);
    return {out_ + (static_cast<size_t>(length) - 1) * V, V};
  }
  for (; position_ < length; ++position_) {
    call_.first = static_cast<int32_t>(position_);
    call_.last = static_cast<int32_t>(position_ + 1);
    exe_.rows(&call_);
  }
  return {out_, V};
}

SampleResult Sampler::sample(std::span<const uint32_t> prompt, const SampleOptions& options, const std::function<bool(uint32_t)>& on_token,
                             const std::atomic<int>* stop) {
  const codegen::Manifest& m = exe_.manifest;
  check(options);
  if (prompt.empty()) throw DataError("the prompt has no token; give some text, or the token that ends documents");
  if (prompt.size() > static_cast<size_t>(m.T)) {
    throw DataError(
        fmt::format("the prompt has {} tokens, and the model has positions for T = {}; give a shorter prompt", prompt.size(), m.T));
  }
  std::vector<uint32_t> ids(prompt.begin(), prompt.end());
  SampleResult result;
  begin();
  while (static_cast<int64_t>(result.ids.size()) < options.max_tokens) {
    if (stop && stop->load() != 0) {
      result.end = SampleResult::End::Stopped;
      return result;
    }
    if (static_cast<int64_t>(ids.size()) > m.T) {
      result.end = SampleResult::End::Positions;
      result.reason = fmt::format("the text ends here: the model has positions for T = {} tokens", m.T);
      return result;
    }
    const std::span<const float> logits = next_logits(ids);
    const uint32_t id = choose_token(logits, options, unit_interval(random_words(options.seed, 0x73616d706c65, ids.size())[0]));
    if (options.end_token && id == *options.end_token) {
      result.end = SampleResult::End::EndToken;
      return result;
    }
    result.ids.push_back(id);
    ids.push_back(id);
    if (on_token && !on_token(id)) {
      result.end = SampleResult::End::Stopped;
      return result;
    }
  }
  return result;
}

}  // namespace cpuflow::rt
