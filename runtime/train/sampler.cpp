#include "runtime/train/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "runtime/data/data_error.h"
#include "runtime/random.h"

namespace cpuflow::rt {
namespace {

/// Rows of logits that one call gives for a stream: all of them when the model is not causal.
uint64_t rows_out(const codegen::Manifest& m) { return static_cast<uint64_t>(m.columns() * (m.causal ? 1 : m.T)); }

}  // namespace

/// A text on its way; the index of its lane is that in the list of texts.
struct Sampler::Text {
  size_t request;
  std::vector<uint32_t> ids;  // with the prompt
  size_t prompt;
  const SampleOptions* options;
  SampleResult result;
};

int Sampler::partners(const codegen::Manifest& m, int64_t streams, int threads) {
  int count = m.causal ? Partners::most(threads, m.row_floats) : 1;
  const uint64_t room = available_memory() / 2;
  while (count > 1 && bytes(m, streams, count) > room) --count;
  return count;
}

uint64_t Sampler::bytes(const codegen::Manifest& m, int64_t streams, int partners) {
  return Arena::bytes_for(m.shared_floats) + Arena::bytes_for(m.lane_floats) + Partners::bytes(partners, m.row_floats) +
         static_cast<uint64_t>(std::max(streams, int64_t{partners})) * (Arena::bytes_for(m.lane_step()) + Arena::bytes_for(rows_out(m))) +
         static_cast<uint64_t>(streams) * Arena::bytes_for(static_cast<uint64_t>(m.T)) + (m.head ? Arena::bytes_for(m.kept_floats) : 0);
}

Sampler::Sampler(const codegen::Executable& exe, const float* params, ThreadPool& pool, int64_t streams)
    : exe_(exe),
      pool_(pool),
      partners_(pool.team(), partners(exe.manifest, streams, pool.size()), exe.manifest.row_floats, exe.manifest.kept_floats),
      arena_((require_memory(bytes(exe.manifest, streams, partners_.size()), available_memory(), "sampling"), bytes(exe.manifest, streams, partners_.size()))),
      streams_(static_cast<size_t>(streams)) {
  const codegen::Manifest& m = exe.manifest;
  if (!exe.rows) throw std::invalid_argument("this model was compiled without `rows`, which sampling needs");
  if (streams < 1 || (streams > 1 && !m.causal)) throw std::invalid_argument(fmt::format("{} streams: at least one, and one only of a model that is not causal", streams));
  const uint64_t partners = static_cast<uint64_t>(partners_.size()), lanes = std::max<uint64_t>(streams_, partners);
  lane_ = arena_.floats(lanes * m.lane_step());
  out_ = arena_.floats(lanes * rows_out(m));
  tokens_ = arena_.ints(streams_ * static_cast<uint64_t>(m.T));
  if (m.head) kept_ = arena_.floats(m.kept_floats);
  call_.params = params;
  call_.shared = arena_.floats(m.shared_floats);
  call_.lane = arena_.floats(m.lane_floats);
  call_.last = static_cast<int32_t>(m.T);
  cpuflow_call once = call_;
  pool.team().lend_to(once);
  if (exe.prepare) exe.prepare(&once);
  call_.lane_step = static_cast<int64_t>(m.lane_step());
}

std::string Sampler::warning() const {
  if (exe_.manifest.causal) return "";
  return fmt::format(
      "'{}' is not causal: every token recomputes the whole text before it, and training saw tokens that sampling does not have",
      exe_.manifest.model);
}

void Sampler::put_tokens(size_t stream, std::span<const uint32_t> ids, size_t from) {
  const codegen::Manifest& m = exe_.manifest;
  if (ids.empty() || ids.size() > static_cast<size_t>(m.T)) throw DataError(fmt::format("{} tokens: the model has positions for 1 to {}", ids.size(), m.T));
  for (size_t i = from; i < ids.size(); ++i) {
    if (ids[i] >= static_cast<uint64_t>(m.V))
      throw DataError(fmt::format("token {} at position {} is not below the model's V = {}", ids[i], i, m.V));
    tokens_[stream * static_cast<size_t>(m.T) + i] = static_cast<int32_t>(ids[i]);
  }
}

cpuflow_call Sampler::call_of(size_t stream, size_t streams, int64_t first, int64_t last) const {
  const codegen::Manifest& m = exe_.manifest;
  cpuflow_call call = call_;
  call.streams = static_cast<int32_t>(streams);
  call.lane = lane_ + stream * m.lane_step();
  call.tokens = tokens_ + stream * static_cast<size_t>(m.T);
  call.out = out_ + stream * rows_out(m);
  call.first = static_cast<int32_t>(first);
  call.last = static_cast<int32_t>(last);
  return call;
}

void Sampler::run_alone(int64_t first, int64_t last) {
  const cpuflow_call call = call_of(0, 1, first, last);
  partners_.run(exe_.rows, call, call.lane_step, static_cast<int64_t>(rows_out(exe_.manifest)));
}

std::span<const float> Sampler::logits(size_t stream) const { return {out_ + stream * rows_out(exe_.manifest), static_cast<size_t>(exe_.manifest.V)}; }

std::span<const float> Sampler::next_logits(std::span<const uint32_t> ids) {
  const codegen::Manifest& m = exe_.manifest;
  put_tokens(0, ids, 0);
  const int64_t length = static_cast<int64_t>(ids.size());
  const size_t V = static_cast<size_t>(m.V);
  head_at_ = V;
  if (!m.causal) {
    begin();
    run_alone(0, length);
    const size_t last = (static_cast<size_t>(length) - 1) * static_cast<size_t>(m.columns());
    head_at_ += last;
    return {out_ + last, V};
  }
  for (; position_ < length; ++position_) run_alone(position_, position_ + 1);
  return logits(0);
}

uint32_t Sampler::look_ahead(const std::vector<uint32_t>& ids, std::span<const float> logits, const SampleOptions& options) {
  const int64_t position = position_;
  const size_t kept = exe_.manifest.kept_floats;
  std::copy_n(lane_, kept, kept_);
  auto restore = [&] {
    std::copy_n(kept_, kept, lane_);
    partners_.first_lane_changed();
    position_ = position;
  };
  const std::vector<std::pair<uint32_t, double>> all = candidates(logits, options, static_cast<size_t>(options.look_ahead));
  uint32_t best = all.front().first;
  double highest = -std::numeric_limits<double>::infinity();
  std::vector<uint32_t> longer = ids;
  longer.push_back(0);
  for (const auto& [id, log_probability] : all) {
    longer.back() = id;
    next_logits(longer);
    if (std::isnan(head())) throw std::runtime_error(fmt::format("the head is NaN after token {}; its equation, or the model's weights, make no number", id));
    const double score = log_probability - options.beta * static_cast<double>(head());
    restore();
    if (score <= highest) continue;
    highest = score;
    best = id;
  }
  return best;
}

void Sampler::check(std::span<const uint32_t> prompt, const SampleOptions& options) const {
  const codegen::Manifest& m = exe_.manifest;
  check_options(options);
  if (prompt.empty()) throw DataError("the prompt has no token; give some text, or the token that ends documents");
  if (prompt.size() > static_cast<size_t>(m.T)) {
    throw DataError(
        fmt::format("the prompt has {} tokens, and the model has positions for T = {}; give a shorter prompt", prompt.size(), m.T));
  }
  for (const uint32_t id : prompt) {
    if (options.ids > 0 && id >= options.ids) throw DataError(fmt::format("the prompt has the token {}, and only those below {} stand for text", id, options.ids));
  }
  if (options.look_ahead > 0 && !m.head) throw std::invalid_argument("look-ahead needs a model that was compiled with a head");
}

Sampler::Text Sampler::begin_text(size_t request, std::span<const uint32_t> prompt, const SampleOptions& options) const {
  check(prompt, options);
  const size_t given = options.prompt_tokens < 0 ? prompt.size() : static_cast<size_t>(options.prompt_tokens);
  return {request, {prompt.begin(), prompt.end()}, given, &options, {}};
}

bool Sampler::ended(Text& text, const std::atomic<int>* stop) const {
  const codegen::Manifest& m = exe_.manifest;
  if (static_cast<int64_t>(text.result.ids.size()) >= text.options->max_tokens) return true;
  if (stop && stop->load() != 0) {
    text.result.end = SampleResult::End::Stopped;
    return true;
  }
  const int64_t ahead = text.options->look_ahead > 0 ? 1 : 0;  // it reads what follows the next token
  if (static_cast<int64_t>(text.ids.size()) + ahead > m.T) {
    text.result.end = SampleResult::End::Positions;
    text.result.reason = fmt::format("the text ends here: the model has positions for T = {} tokens", m.T);
    return true;
  }
  return false;
}

uint32_t Sampler::choose(const Text& text, std::span<const float> given) {
  const SampleOptions& options = *text.options;
  if (options.ids > 0) given = given.first(std::min<size_t>(given.size(), options.ids));
  std::vector<float> logits(given.begin(), given.end());
  penalise(logits, text.ids, text.prompt, options);
  if (options.look_ahead > 0) return look_ahead(text.ids, logits, options);
  return choose_token(logits, options, unit_interval(random_words(options.seed, 0x73616d706c65, text.ids.size())[0]));
}

bool Sampler::add(Text& text, uint32_t id, const std::function<bool(size_t, uint32_t)>& on_token) {
  if (text.options->end_token && id == *text.options->end_token) {
    text.result.end = SampleResult::End::EndToken;
    return false;
  }
  text.result.ids.push_back(id);
  text.ids.push_back(id);
  if (on_token && !on_token(text.request, id)) {
    text.result.end = SampleResult::End::Stopped;
    return false;
  }
  return true;
}

SampleResult Sampler::sample(std::span<const uint32_t> prompt, const SampleOptions& options, const std::function<bool(uint32_t)>& on_token,
                             const std::atomic<int>* stop) {
  Text text = begin_text(0, prompt, options);
  const auto tell = [&](size_t, uint32_t id) { return !on_token || on_token(id); };
  begin();
  while (!ended(text, stop) && add(text, choose(text, next_logits(text.ids)), tell)) {
  }
  return std::move(text.result);
}

std::vector<SampleResult> Sampler::sample_all(std::span<const SampleRequest> requests, const std::function<bool(size_t, uint32_t)>& on_token,
                                              const std::atomic<int>* stop) {
  std::vector<Text> texts;  // those that go on
  for (const SampleRequest& r : requests) {
    texts.push_back(begin_text(texts.size(), r.prompt, r.options));
    if (r.prompt.size() != requests[0].prompt.size() || r.options.look_ahead > 0) throw std::invalid_argument("texts that are continued together have prompts of one length and no look-ahead");
  }
  if (texts.size() > streams_) throw std::invalid_argument(fmt::format("{} texts for {} streams", texts.size(), streams_));
  begin();
  for (size_t i = 0; i < texts.size(); ++i) put_tokens(i, texts[i].ids, 0);

  std::vector<SampleResult> results(requests.size());
  auto finish = [&](size_t i) {
    results[texts[i].request] = std::move(texts[i].result);
    const size_t last = texts.size() - 1, lane = exe_.manifest.lane_step(), T = static_cast<size_t>(exe_.manifest.T);
    if (i != last) {  // the last one moves into the lane that is free
      texts[i] = std::move(texts[last]);
      std::copy_n(lane_ + last * lane, lane, lane_ + i * lane);
      std::copy_n(tokens_ + last * T, T, tokens_ + i * T);
    }
    texts.pop_back();
  };
  while (true) {
    for (size_t i = texts.size(); i-- > 0;) {
      if (ended(texts[i], stop)) finish(i);
    }
    if (texts.empty()) return results;
    const int64_t length = static_cast<int64_t>(texts[0].ids.size());
    std::vector<uint32_t> chosen(texts.size());
    const size_t parts = std::min(texts.size(), static_cast<size_t>(pool_.size()));
    pool_.parallel_for(parts, [&](size_t part, int) {
      const size_t first = texts.size() * part / parts, last = texts.size() * (part + 1) / parts;
      for (int64_t t = position_; t < length; ++t) {
        const cpuflow_call call = call_of(first, last - first, t, t + 1);
        exe_.rows(&call);
      }
      for (size_t i = first; i < last; ++i) chosen[i] = choose(texts[i], logits(i));
    });
    position_ = length;
    for (size_t i = texts.size(); i-- > 0;) {
      if (!add(texts[i], chosen[i], on_token)) finish(i);
      else if (static_cast<int64_t>(texts[i].ids.size()) <= exe_.manifest.T) put_tokens(i, texts[i].ids, texts[i].ids.size() - 1);
    }
  }
}

}  // namespace cpuflow::rt
