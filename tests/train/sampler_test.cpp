#include "runtime/train/sampler.h"

#include <cmath>
#include <set>

#include "runtime/random.h"
#include "runtime/train/init.h"
#include "runtime/train/stop_strings.h"
#include "runtime/train/utf8_stream.h"
#include "tests/catch.h"
#include "tests/train/bigram_model.h"
#include "tests/train/train_test_util.h"

using namespace cpuflow;

namespace {

/// How often each token comes out of `draws` draws, as shares.
std::vector<double> shares(const std::vector<float>& logits, const rt::SampleOptions& options, int draws = 40000) {
  std::vector<double> out(logits.size());
  for (int i = 0; i < draws; ++i)
    out[rt::choose_token(logits, options, rt::unit_interval(rt::random_words(1, 2, static_cast<uint64_t>(i))[0]))] += 1.0 / draws;
  return out;
}

/// Softmax of logits / temperature over the tokens in `kept`.
std::vector<double> expected(const std::vector<float>& logits, double temperature, const std::set<size_t>& kept) {
  std::vector<double> p(logits.size());
  double sum = 0;
  for (const size_t i : kept) sum += p[i] = std::exp(logits[i] / temperature);
  for (double& x : p) x /= sum;
  return p;
}

void check_close(const std::vector<double>& a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    INFO(i);
    CHECK(std::abs(a[i] - b[i]) < 0.012);
    if (b[i] == 0) CHECK(a[i] == 0);
  }
}

rt::SampleOptions options_of(double temperature, int64_t top_k = 0, double top_p = 1) {
  rt::SampleOptions o;
  o.temperature = temperature;
  o.top_k = top_k;
  o.top_p = top_p;
  return o;
}

}  // namespace

TEST_CASE("tokens come with the probabilities that are asked for") {
  const std::vector<float> logits{1.0f, 0.0f, 2.0f, -1.0f, 2.0f, 0.5f};
  const std::set<size_t> all{0, 1, 2, 3, 4, 5};
  check_close(shares(logits, options_of(1)), expected(logits, 1, all));
  check_close(shares(logits, options_of(0.5)), expected(logits, 0.5, all));
  check_close(shares(logits, options_of(3)), expected(logits, 3, all));
  check_close(shares(logits, options_of(1, 3)), expected(logits, 1, {2, 4, 0}));
  check_close(shares(logits, options_of(1, 1)), expected(logits, 1, {2}));  // of equal ones the first
  // Probabilities are 0.35, 0.35, 0.13, 0.08, 0.05, 0.02: two make 0.69, three 0.82.
  check_close(shares(logits, options_of(1, 0, 0.69)), expected(logits, 1, {2, 4}));
  check_close(shares(logits, options_of(1, 0, 0.75)), expected(logits, 1, {2, 4, 0}));
  check_close(shares(logits, options_of(1, 0, 1e-9)), expected(logits, 1, {2}));
  check_close(shares(logits, options_of(1, 2, 0.999)), expected(logits, 1, {2, 4}));
  CHECK(rt::choose_token(logits, options_of(0), 0.99) == 2);
}

TEST_CASE("what is improbable beside the best is left out") {
  const std::vector<float> logits{1.0f, 0.0f, 2.0f, -1.0f, 2.0f, 0.5f};  // e^-1 = 0.37 and e^-1.5 = 0.22 times the best
  rt::SampleOptions o = options_of(1);
  o.min_p = 0.3;
  check_close(shares(logits, o), expected(logits, 1, {0, 2, 4}));
  o.min_p = 0.2;
  check_close(shares(logits, o), expected(logits, 1, {0, 2, 4, 5}));
  o.min_p = 1;
  check_close(shares(logits, o), expected(logits, 1, {2, 4}));
}

TEST_CASE("penalties and blocks change the logits of what was written") {
  const std::vector<float> plain{2.0f, -2.0f, 1.0f, 0.0f};
  const std::vector<uint32_t> ids{1, 0, 3, 0};  // two of the prompt
  auto penalised = [&](auto set) {
    rt::SampleOptions o;
    set(o);
    std::vector<float> logits = plain;
    rt::penalise(logits, ids, 2, o);
    return logits;
  };
  CHECK((penalised([](rt::SampleOptions&) {}) == plain));
  CHECK((penalised([](rt::SampleOptions& o) { o.repetition_penalty = 2; }) == std::vector<float>{1, -4, 1, 0}));
  CHECK((penalised([](rt::SampleOptions& o) { o.repetition_penalty = 2, o.end_token = 1; }) == std::vector<float>{1, -2, 1, 0}));  // which stands before the text
  CHECK((penalised([](rt::SampleOptions& o) { o.frequency_penalty = 0.5; }) == std::vector<float>{1.5f, -2, 1, -0.5f}));
  CHECK((penalised([](rt::SampleOptions& o) { o.presence_penalty = 0.25; }) == std::vector<float>{1.75f, -2, 1, -0.25f}));
  const std::vector<float> blocked = penalised([](rt::SampleOptions& o) { o.no_repeat_ngram = 2; });  // 0 was followed by 3
  CHECK(blocked[3] == -INFINITY);
  CHECK((std::vector<float>(blocked.begin(), blocked.begin() + 3) == std::vector<float>{2, -2, 1}));
  CHECK((penalised([](rt::SampleOptions& o) { o.no_repeat_ngram = 3; }) == plain));
}

TEST_CASE("a text ends before a stop string, whatever pieces it comes in") {
  rt::StopStrings stops({"The end", "\n\n"});
  CHECK(stops.feed("Once. Th") == "Once. ");
  CHECK(stops.feed("en\n") == "Then");
  CHECK(stops.found().empty());
  CHECK(stops.feed("T") == "\n");
  CHECK(stops.feed("he e") == "");
  CHECK(stops.feed("nd of it") == "");
  CHECK(stops.found() == "The end");
  CHECK(stops.feed("more") == "");
  CHECK(stops.finish() == "");
  rt::StopStrings none({});
  CHECK(none.feed("abc") == "abc");
  rt::StopStrings half({"xyz"});
  CHECK(half.feed("axy") == "a");
  CHECK(half.finish() == "xy");
}

TEST_CASE("extreme logits are no trouble, broken ones are refused") {
  const std::vector<float> far{-3e38f, 3e38f, 0};
  CHECK(rt::choose_token(far, options_of(1), 0.999999) == 1);
  CHECK(rt::choose_token(far, options_of(1e-30), 0) == 1);
  const std::vector<float> masked{-INFINITY, 1, 1};
  for (const double u : {0.0, 0.3, 0.9999999}) CHECK(rt::choose_token(masked, options_of(1), u) != 0);
  CHECK(has(message_of([&] { rt::choose_token(std::vector<float>{1, NAN}, options_of(1), 0); }), "token 1 is NaN"));
  CHECK_THROWS(rt::choose_token(std::vector<float>{-INFINITY, -INFINITY}, options_of(1), 0));
  CHECK_THROWS(rt::choose_token(std::vector<float>{0, INFINITY}, options_of(1), 0));
}

TEST_CASE("a sampler continues a prompt from the carried state") {
  const codegen::Executable exe = bigram::make();
  rt::ThreadPool pool(1);
  std::vector<float> params(exe.manifest.param_floats);
  rt::init_params(pool, exe.manifest, 1, params.data());
  rt::Sampler sampler(exe, params.data(), pool);
  CHECK(sampler.warning().empty());
  rt::SampleOptions options;
  options.seed = 4;
  options.max_tokens = 5;
  const std::vector<uint32_t> prompt{1, 2, 3};
  std::vector<uint32_t> streamed;
  const rt::SampleResult first = sampler.sample(prompt, options, [&](uint32_t id) {
    streamed.push_back(id);
    return true;
  });
  CHECK(first.ids.size() == 5);
  CHECK(first.end == rt::SampleResult::End::MaxTokens);
  CHECK((streamed == first.ids));
  CHECK((sampler.sample(prompt, options).ids == first.ids));
  options.seed = 5;
  CHECK((sampler.sample(prompt, options).ids != first.ids));

  // Greedy steps follow the table: logits are those of the last token.
  options.temperature = 0;
  const std::vector<uint32_t> greedy = sampler.sample(prompt, options).ids;
  uint32_t last = 3;
  for (const uint32_t id : greedy) {
    const float* row = params.data() + last * bigram::V;
    CHECK(id == static_cast<uint32_t>(std::max_element(row, row + bigram::V) - row));
    last = id;
  }
  options.end_token = greedy[1];
  const rt::SampleResult ended = sampler.sample(prompt, options);
  CHECK(ended.end == rt::SampleResult::End::EndToken);
  CHECK(ended.ids.size() == static_cast<size_t>(std::find(greedy.begin(), greedy.end(), greedy[1]) - greedy.begin()));

  options.end_token.reset();
  options.max_tokens = 100;
  const rt::SampleResult full = sampler.sample(prompt, options);
  CHECK(full.end == rt::SampleResult::End::Positions);
  CHECK(prompt.size() + full.ids.size() == bigram::T + 1);
  CHECK(has(full.reason, "T = 8"));
  CHECK(sampler.sample(prompt, options, [](uint32_t) { return false; }).end == rt::SampleResult::End::Stopped);
}

TEST_CASE("texts that are continued together become what each becomes alone") {
  const codegen::Executable exe = bigram::make();
  std::vector<float> params(exe.manifest.param_floats);
  rt::ThreadPool one(1);
  rt::init_params(one, exe.manifest, 1, params.data());
  rt::Sampler alone(exe, params.data(), one);
  const std::vector<std::vector<uint32_t>> prompts{{1, 2}, {3, 4}, {0, 0}, {1, 2}, {9, 11}};
  std::vector<rt::SampleRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    rt::SampleOptions o = options_of(1);
    o.seed = 7 + i;
    o.max_tokens = static_cast<int64_t>(i == 3 ? 100 : i + 2);  // they end one after the other, and one at the last position
    requests.push_back({prompts[i], o});
  }
  requests[4].options.end_token = alone.sample(prompts[4], requests[4].options).ids[1];
  for (const int threads : {1, 2, 3, 4}) {
    rt::ThreadPool pool(threads);
    rt::Sampler together(exe, params.data(), pool, 5);
    std::vector<std::vector<uint32_t>> streamed(prompts.size());
    const std::vector<rt::SampleResult> results = together.sample_all(requests, [&](size_t i, uint32_t id) {
      streamed[i].push_back(id);
      return i != 2 || streamed[i].size() < 3;
    });
    for (size_t i = 0; i < prompts.size(); ++i) {
      size_t made = 0;
      const rt::SampleResult want = alone.sample(prompts[i], requests[i].options, [&](uint32_t) { return i != 2 || ++made < 3; });
      INFO(i << " on " << threads);
      CHECK((results[i].ids == want.ids));
      CHECK(results[i].end == want.end);
      CHECK((streamed[i] == results[i].ids));
    }
  }
  rt::Sampler together(exe, params.data(), one, 5);
  const std::vector<uint32_t> longer{1, 2, 3};
  requests[1].prompt = longer;
  CHECK(has(message_of([&] { together.sample_all(requests); }), "one length"));
  requests.assign(6, {prompts[0], options_of(1)});
  CHECK(has(message_of([&] { together.sample_all(requests); }), "6 texts for 5 streams"));
}

TEST_CASE("prompts and options that cannot be used are refused") {
  const codegen::Executable exe = bigram::make();
  const std::vector<float> params(exe.manifest.param_floats);
  rt::ThreadPool pool(1);
  rt::Sampler sampler(exe, params.data(), pool);
  const std::vector<uint32_t> one{1}, wrong{1, bigram::V}, longer(bigram::T + 1, 1);
  CHECK(has(message_of([&] { sampler.sample({}, {}); }), "no token"));
  CHECK(has(message_of([&] { sampler.sample(wrong, {}); }), "V = 12"));
  CHECK(has(message_of([&] { sampler.sample(longer, {}); }), "T = 8"));
  CHECK(has(message_of([&] { sampler.sample(one, options_of(-1)); }), "temperature"));
  CHECK(has(message_of([&] { sampler.sample(one, options_of(1, -1)); }), "top-k"));
  CHECK(has(message_of([&] { sampler.sample(one, options_of(1, 0, 0)); }), "top-p"));
  rt::SampleOptions undefined = options_of(1);
  undefined.frequency_penalty = NAN;
  CHECK(has(message_of([&] { sampler.sample(one, undefined); }), "frequency penalty"));
  rt::SampleOptions few = options_of(1);
  few.ids = 5;
  CHECK(has(message_of([&] { sampler.sample(std::vector<uint32_t>{1, 5}, few); }), "only those below 5"));
  codegen::Executable without = exe;
  without.rows = nullptr;
  CHECK_THROWS(rt::Sampler(without, params.data(), pool));
}

TEST_CASE("a model that is not causal recomputes the prefix and says so") {
  codegen::Executable exe = bigram::make();
  exe.manifest.causal = false;
  rt::ThreadPool pool(1);
  std::vector<float> params(exe.manifest.param_floats);
  rt::init_params(pool, exe.manifest, 1, params.data());
  rt::Sampler whole(exe, params.data(), pool);
  CHECK(has(whole.warning(), "not causal"));
  const codegen::Executable causal = bigram::make();
  rt::Sampler steps(causal, params.data(), pool);
  const std::vector<uint32_t> prompt{4, 1};
  CHECK((whole.sample(prompt, {}).ids == steps.sample(prompt, {}).ids));
}

TEST_CASE("text is shown in whole characters") {
  rt::Utf8Stream stream;
  CHECK(stream.feed("a\xc3") == "a");
  CHECK(stream.feed("\xa9z") == "\xc3\xa9z");
  CHECK(stream.feed("\xf0\x9f").empty());
  CHECK(stream.feed("\x98").empty());
  CHECK(stream.feed("\x80") == "\xf0\x9f\x98\x80");
  CHECK(stream.feed("\xff\x80\xc1") == "\xff\x80\xc1");  // never a character
  CHECK(stream.feed("\xe2\x82").empty());
  CHECK(stream.finish() == "\xe2\x82");
  CHECK(stream.finish().empty());
}
