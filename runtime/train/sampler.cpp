#include "runtime/train/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>

#include "runtime/data/data_error.h"
#include "runtime/random.h"

namespace cpuflow::rt {
namespace {

uint64_t rows_floats(const codegen::Manifest& m) { return m.rows_lane_floats > 0 ? m.rows_lane_floats : m.lane_floats; }

/// Rows of logits that one call gives: all of them when the model is not causal.
uint64_t rows_out(const codegen::Manifest& m) { return static_cast<uint64_t>(m.columns() * (m.causal ? 1 : m.T)); }

uint64_t sampler_bytes(const codegen::Manifest& m) {
  return Arena::bytes_for(m.shared_floats) + Arena::bytes_for(rows_floats(m)) + Arena::bytes_for(m.lane_floats) +
         Arena::bytes_for(rows_out(m)) + Arena::bytes_for(static_cast<uint64_t>(m.T));
}

void check(const SampleOptions& o) {
  if (!(o.temperature >= 0)) throw std::invalid_argument(fmt::format("temperature {}: it must be at least 0", o.temperature));
  if (o.top_k < 0) throw std::invalid_argument(fmt::format("top-k {}: it must be at least 0 (0: all tokens)", o.top_k));
  if (!(o.top_p > 0 && o.top_p <= 1)) throw std::invalid_argument(fmt::format("top-p {}: it must be above 0 and at most 1", o.top_p));
  if (!(o.min_p >= 0 && o.min_p <= 1)) throw std::invalid_argument(fmt::format("min-p {}: it must be between 0 and 1", o.min_p));
  if (!(o.repetition_penalty > 0)) throw std::invalid_argument(fmt::format("repetition penalty {}: it must be above 0 (1: none)", o.repetition_penalty));
  if (o.no_repeat_ngram < 0 || o.no_repeat_ngram == 1) throw std::invalid_argument(fmt::format("n-grams of {} tokens cannot be blocked; 2 or more (0: none)", o.no_repeat_ngram));
  if (o.max_tokens < 0) throw std::invalid_argument(fmt::format("{} tokens: it must be at least 0", o.max_tokens));
}

}  // namespace

void penalise(std::span<float> logits, std::span<const uint32_t> ids, size_t prompt, const SampleOptions& o) {
  if (o.repetition_penalty != 1) {
    for (const uint32_t id : std::set<uint32_t>(ids.begin(), ids.end())) {
      const double logit = logits[id];
      logits[id] = static_cast<float>(logit > 0 ? logit / o.repetition_penalty : logit * o.repetition_penalty);
    }
  }
  if (o.frequency_penalty != 0 || o.presence_penalty != 0) {
    std::map<uint32_t, int64_t> counts;
    for (const uint32_t id : ids.subspan(std::min(prompt, ids.size()))) ++counts[id];
    for (const auto& [id, count] : counts) {
      logits[id] = static_cast<float>(logits[id] - o.frequency_penalty * static_cast<double>(count) - o.presence_penalty);
    }
  }
  if (o.no_repeat_ngram < 2 || ids.size() < static_cast<size_t>(o.no_repeat_ngram)) return;
  const size_t before = static_cast<size_t>(o.no_repeat_ngram) - 1;
  const std::span<const uint32_t> last = ids.last(before);
  std::set<uint32_t> blocked;
  for (size_t at = 0; at + before < ids.size(); ++at) {
    if (std::equal(last.begin(), last.end(), ids.begin() + static_cast<ptrdiff_t>(at))) blocked.insert(ids[at + before]);
  }
  if (blocked.size() >= logits.size()) return;
  for (const uint32_t id : blocked) logits[id] = -std::numeric_limits<float>::infinity();
}

namespace {

/// What may be chosen, with weights that are proportional to the probabilities.
struct Choice {
  std::vector<uint32_t> ids;
  std::vector<double> weights;
};

Choice choice(std::span<const float> logits, const SampleOptions& o) {
  const auto nan = std::find_if(logits.begin(), logits.end(), [](float v) { return std::isnan(v); });
  if (nan != logits.end())
    throw std::runtime_error(fmt::format("the model's logit of token {} is NaN; its weights are spoiled", nan - logits.begin()));
  const auto best = std::max_element(logits.begin(), logits.end());
  if (best == logits.end() || std::isinf(*best)) throw std::runtime_error("the model's logits are infinite; its weights are spoiled");
  if (o.temperature == 0) return {{static_cast<uint32_t>(best - logits.begin())}, {1.0}};

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
  }
  ids.resize(count);
  weights.resize(count);
  if (o.min_p > 0) {  // the most probable token has the weight 1
    size_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
      if (weights[i] < o.min_p) continue;
      ids[kept] = ids[i];
      weights[kept++] = weights[i];
    }
    ids.resize(kept);
    weights.resize(kept);
  }
  return {std::move(ids), std::move(weights)};
}

}  // namespace

uint32_t choose_token(std::span<const float> logits, const SampleOptions& o, double uniform) {
  const Choice c = choice(logits, o);
  double left = uniform * std::accumulate(c.weights.begin(), c.weights.end(), 0.0);
  for (size_t i = 0; i < c.ids.size(); ++i) {
    if (left < c.weights[i]) return c.ids[i];
    left -= c.weights[i];
  }
  // Rounding left a crumb: the last token that can be chosen at all.
  size_t count = c.ids.size();
  while (count > 1 && c.weights[count - 1] == 0) --count;
  return c.ids[count - 1];
}

std::vector<std::pair<uint32_t, double>> candidates(std::span<const float> logits, const SampleOptions& o, size_t most) {
  SampleOptions all = o;
  if (all.temperature == 0) all.temperature = 1;  // the order is the same
  const Choice c = choice(logits, all);
  const double sum = std::accumulate(c.weights.begin(), c.weights.end(), 0.0);
  std::vector<std::pair<uint32_t, double>> out;
  for (size_t i = 0; i < c.ids.size(); ++i) {
    if (c.weights[i] > 0) out.emplace_back(c.ids[i], std::log(c.weights[i] / sum));
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  out.resize(std::min(out.size(), most));
  return out;
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
  head_at_ = V;
  if (!m.causal) {
    begin();
    call_.first = 0;
    call_.last = static_cast<int32_t>(length);
    exe_.rows(&call_);
    const size_t last = (static_cast<size_t>(length) - 1) * static_cast<size_t>(m.columns());
    head_at_ += last;
    return {out_ + last, V};
  }
  for (; position_ < length; ++position_) {
    call_.first = static_cast<int32_t>(position_);
    call_.last = static_cast<int32_t>(position_ + 1);
    exe_.rows(&call_);
  }
  return {out_, V};
}

uint32_t Sampler::look_ahead(const std::vector<uint32_t>& ids, std::span<const float> logits, const SampleOptions& options) {
  const int64_t position = position_;
  const std::vector<float> state(lane_, lane_ + rows_floats(exe_.manifest));
  auto restore = [&] {
    std::copy(state.begin(), state.end(), lane_);
    position_ = position;
  };
  uint32_t best = 0;
  double highest = -std::numeric_limits<double>::infinity();
  std::vector<uint32_t> longer = ids;
  longer.push_back(0);
  for (const auto& [id, log_probability] : candidates(logits, options, static_cast<size_t>(options.look_ahead))) {
    longer.back() = id;
    next_logits(longer);
    const double score = log_probability - options.beta * static_cast<double>(head());
    restore();
    if (score <= highest) continue;
    highest = score;
    best = id;
  }
  return best;
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
  const size_t prompt_tokens = options.prompt_tokens < 0 ? prompt.size() : static_cast<size_t>(options.prompt_tokens);
  if (options.look_ahead > 0 && !m.head) throw std::invalid_argument("look-ahead needs a model that was compiled with a head");
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
    const std::span<const float> given = next_logits(ids);
    std::vector<float> logits(given.begin(), given.end());
    penalise(logits, ids, prompt_tokens, options);
    const bool ahead = options.look_ahead > 0 && static_cast<int64_t>(ids.size()) < m.T;
    const uint32_t id = ahead ? look_ahead(ids, logits, options) : choose_token(logits, options, unit_interval(random_words(options.seed, 0x73616d706c65, ids.size())[0]));
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
