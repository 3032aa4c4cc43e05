#include "runtime/train/choose_token.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>

namespace cpuflow::rt {

void check_options(const SampleOptions& o) {
  if (!(o.temperature >= 0)) throw std::invalid_argument(fmt::format("temperature {}: it must be at least 0", o.temperature));
  if (o.top_k < 0) throw std::invalid_argument(fmt::format("top-k {}: it must be at least 0 (0: all tokens)", o.top_k));
  if (!(o.top_p > 0 && o.top_p <= 1)) throw std::invalid_argument(fmt::format("top-p {}: it must be above 0 and at most 1", o.top_p));
  if (!(o.min_p >= 0 && o.min_p <= 1)) throw std::invalid_argument(fmt::format("min-p {}: it must be between 0 and 1", o.min_p));
  if (!(o.repetition_penalty > 0)) throw std::invalid_argument(fmt::format("repetition penalty {}: it must be above 0 (1: none)", o.repetition_penalty));
  for (const auto& [name, value] : {std::pair{"frequency penalty", o.frequency_penalty}, {"presence penalty", o.presence_penalty}, {"beta", o.beta}}) {
    if (!std::isfinite(value)) throw std::invalid_argument(fmt::format("{} {}: it must be a finite number", name, value));
  }
  if (o.no_repeat_ngram < 0 || o.no_repeat_ngram == 1) throw std::invalid_argument(fmt::format("n-grams of {} tokens cannot be blocked; 2 or more (0: none)", o.no_repeat_ngram));
  if (o.max_tokens < 0) throw std::invalid_argument(fmt::format("{} tokens: it must be at least 0", o.max_tokens));
}

void penalise(std::span<float> logits, std::span<const uint32_t> ids, size_t prompt, const SampleOptions& o) {
  if (o.repetition_penalty != 1) {
    for (const uint32_t id : std::set<uint32_t>(ids.begin(), ids.end())) {
      if (id == o.end_token) continue;  // stands before a document, and is no word of the text
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

/// The first of the largest logits.  Throws where one is NaN, or none is finite.
uint32_t best_of(std::span<const float> logits) {
  constexpr size_t kLanes = 16;  // the compiler makes vectors of them
  float largest[kLanes];
  std::fill_n(largest, kLanes, -std::numeric_limits<float>::infinity());
  bool numbers = true;
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    bool all = true;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float v = logits[i + lane];
      all &= v == v;
      largest[lane] = v > largest[lane] ? v : largest[lane];
    }
    numbers &= all;
  }
  for (; i < logits.size(); ++i) numbers &= logits[i] == logits[i], largest[0] = std::max(largest[0], logits[i]);
  if (!numbers) {
    const auto nan = std::find_if(logits.begin(), logits.end(), [](float v) { return std::isnan(v); });
    throw std::runtime_error(fmt::format("the model's logit of token {} is NaN; its weights are spoiled", nan - logits.begin()));
  }
  const float best = *std::max_element(largest, largest + kLanes);
  if (std::isinf(best)) throw std::runtime_error("the model's logits are infinite; its weights are spoiled");
  return static_cast<uint32_t>(std::find(logits.begin(), logits.end(), best) - logits.begin());
}

/// What may be chosen, in order of ids, with weights that are proportional to the probabilities: the most probable token has 1.
struct Choice {
  std::vector<uint32_t> ids;
  std::vector<double> weights;

  /// Leaves out what `keep(i)` does not keep.
  template <class Keep>
  void filter(const Keep& keep) {
    size_t kept = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (!keep(i)) continue;
      ids[kept] = ids[i];
      weights[kept++] = weights[i];
    }
    ids.resize(kept);
    weights.resize(kept);
  }
};

/// Keeps the most probable tokens that make `share` of all together; `before` orders tokens, and the weight of one is exp(-distance(token)).
template <class Before, class Distance>
void keep_nucleus(Choice& c, double share, const Before& before, const Distance& distance) {
  // Tokens are collected by their distance, so that only those at the border must be sorted.
  constexpr double kOfOne = 16;
  constexpr size_t kBins = 1024;
  std::vector<double> mass(kBins, 0.0);
  std::vector<uint16_t> bin(c.ids.size());
  for (size_t i = 0; i < c.ids.size(); ++i) {
    bin[i] = static_cast<uint16_t>(std::min(static_cast<double>(kBins - 1), kOfOne * distance(c.ids[i])));
    mass[bin[i]] += c.weights[i];
  }
  const double wanted = share * std::accumulate(mass.begin(), mass.end(), 0.0);
  size_t border = 0;
  double reached = 0;
  while (border + 1 < kBins && reached + mass[border] < wanted) reached += mass[border++];
  std::vector<std::pair<uint32_t, double>> open;
  for (size_t i = 0; i < c.ids.size(); ++i) {
    if (bin[i] == border) open.emplace_back(c.ids[i], c.weights[i]);
  }
  std::sort(open.begin(), open.end(), [&](const auto& a, const auto& b) { return before(a.first, b.first); });
  size_t taken = 0;
  while (taken < open.size() && (taken == 0 || reached < wanted)) reached += open[taken++].second;
  c.filter([&](size_t i) { return bin[i] < border || (bin[i] == border && taken > 0 && !before(open[taken - 1].first, c.ids[i])); });
}

Choice choice(std::span<const float> logits, const SampleOptions& o) {
  const uint32_t best = best_of(logits);
  if (o.temperature == 0) return {{best}, {1.0}};

  Choice out{std::vector<uint32_t>(logits.size()), {}};
  std::iota(out.ids.begin(), out.ids.end(), 0u);
  const auto before = [&](uint32_t a, uint32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  if (o.top_k > 0 && static_cast<size_t>(o.top_k) < out.ids.size()) {
    std::nth_element(out.ids.begin(), out.ids.begin() + o.top_k, out.ids.end(), before);
    out.ids.resize(static_cast<size_t>(o.top_k));
    std::sort(out.ids.begin(), out.ids.end());
  }
  out.weights.reserve(out.ids.size());
  const auto distance = [&](uint32_t id) { return (static_cast<double>(logits[best]) - logits[id]) / o.temperature; };
  constexpr double kFarthest = 40;  // beyond that all tokens together are less than what rounding leaves of the sum
  for (const uint32_t id : out.ids) {
    const double d = distance(id);
    out.weights.push_back(d < kFarthest ? std::exp(static_cast<float>(-d)) : 0.0f);
  }
  if (o.top_p < 1) keep_nucleus(out, o.top_p, before, distance);
  if (o.min_p > 0) out.filter([&](size_t i) { return out.weights[i] >= o.min_p; });
  return out;
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

}  // namespace cpuflow::rt
