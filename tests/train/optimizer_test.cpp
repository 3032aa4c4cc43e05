#include "runtime/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "codegen/abi/name_pattern.h"
#include "tests/catch.h"
#include "tests/train/train_test_util.h"

using namespace cpuflow;

namespace {

/// Two parameters, the second with a rate and a decay of its own.
codegen::Manifest two_parameters() {
  codegen::Manifest m;
  m.param_floats = 32;
  m.params.push_back({"a.weight", {8}, 0, 8});
  m.params.push_back({"a.bias", {4}, 16, 4});
  m.train.lr = 1e-2;
  m.train.groups = {{"*.bias", {{"lr", 2e-2}, {"weight_decay", 0.05}}}};
  return m;
}

float initial(int i) { return static_cast<float>(std::cos(0.7 * i)); }
float gradient(int i, int step) { return static_cast<float>(std::sin(1.3 * i + 2.1 * step) * (step % 2 ? 0.2 : 3.0)); }

/// Six steps; element i of twelve stands at i or, from the ninth on, at 16 + i - 8.
std::vector<float> six_steps(const codegen::Manifest& m, std::vector<double>& norms, int threads, double scale = 1) {
  rt::ThreadPool pool(threads);
  std::vector<float> p(32, 9), first(32), second(32), g(32, 7);
  const rt::AdamW optimizer(m, first.data(), second.data());
  auto place = [](int i) { return static_cast<size_t>(i < 8 ? i : i + 8); };
  for (int i = 0; i < 12; ++i) p[place(i)] = initial(i);
  for (int step = 0; step < 6; ++step) {
    for (int i = 0; i < 12; ++i) g[place(i)] = static_cast<float>(gradient(i, step) / scale);
    const rt::GradientNorm norm = optimizer.norm(pool, g.data(), scale);
    norms.push_back(norm.norm);
    optimizer.step(pool, p.data(), g.data(), scale, norm, 1e-2 * (step + 1) / 3, step + 1);
  }
  return p;
}

}  // namespace

TEST_CASE("AdamW, clipping and groups give torch.optim.AdamW's numbers") {
  // torch 2.13: AdamW(betas=(0.9, 0.95), eps=1e-8), clip_grad_norm_(1.0); two groups, the second with twice the rate and half the decay.
  const double norms[] = {7.35401821, 0.487748563, 7.37441587, 0.490343362, 7.31585121, 0.49157694};
  const double expected[] = {0.991529822,  0.750807941, 0.159945145, -0.492448986, -0.926068187, -0.937598884,
                             -0.495632738, 0.178391725, 0.787688017, 1.01241148,   0.731124043,  0.134218723};
  for (const double scale : {1.0, 0.125}) {
    std::vector<double> found_norms;
    const std::vector<float> p = six_steps(two_parameters(), found_norms, 1, scale);
    for (size_t i = 0; i < 6; ++i) CHECK(found_norms[i] == Approx(norms[i]).epsilon(3e-7));
    for (size_t i = 0; i < 12; ++i) CHECK(std::abs(p[i < 8 ? i : i + 8] - expected[i]) < 2e-7);
    CHECK(p[8] == 9);  // between the parameters
  }
}

TEST_CASE("ranges hold after a step, and what is not trainable stays and does not count in the norm") {
  codegen::Manifest m = two_parameters();
  m.params[0].low = -0.25;
  m.params[0].high = 0.5;
  m.params[1].trainable = false;
  std::vector<double> norms;
  const std::vector<float> p = six_steps(m, norms, 2);
  for (size_t i = 0; i < 8; ++i) CHECK((p[i] >= -0.25f && p[i] <= 0.5f));
  for (int i = 8; i < 12; ++i) CHECK(p[static_cast<size_t>(i + 8)] == initial(i));
  double squares = 0;
  for (int i = 0; i < 8; ++i) squares += std::pow(gradient(i, 0), 2);
  CHECK(norms[0] == Approx(std::sqrt(squares)).epsilon(1e-7));
}

TEST_CASE("moments of what has no gradient any more do not become denormal") {
  codegen::Manifest m = two_parameters();
  rt::ThreadPool pool(1);
  std::vector<float> p(m.param_floats, 1), grads(m.param_floats), first(m.param_floats, 1e-6f), second(m.param_floats, 1e-12f);
  const rt::AdamW optimizer(m, first.data(), second.data());
  for (int update = 1; update <= 2000; ++update) optimizer.step(pool, p.data(), grads.data(), 1, optimizer.norm(pool, grads.data(), 1), 1e-3, update);
  for (const codegen::ParamInfo& info : m.params) {
    for (uint64_t i = info.offset; i < info.offset + info.count; ++i) CHECK((std::fpclassify(first[i]) != FP_SUBNORMAL && second[i] == 0));
  }
}

TEST_CASE("sums, norms and updates are the same on any number of threads") {
  codegen::Manifest m;
  constexpr uint64_t kCount = 100003;
  m.param_floats = kCount;
  m.params.push_back({"w", {static_cast<int64_t>(kCount)}, 0, kCount});
  std::vector<std::vector<float>> results;
  std::vector<double> norms;
  for (int threads = 1; threads <= 4; ++threads) {
    rt::ThreadPool pool(threads);
    std::vector<std::vector<float>> lanes(5, std::vector<float>(kCount));
    std::vector<float*> pointers;
    for (size_t l = 0; l < lanes.size(); ++l) {
      for (uint64_t i = 0; i < kCount; ++i) lanes[l][i] = static_cast<float>(std::sin(static_cast<double>(i * (l + 1))));
      pointers.push_back(lanes[l].data());
    }
    const float tree = ((lanes[0][77] + lanes[1][77]) + (lanes[2][77] + lanes[3][77])) + lanes[4][77];
    rt::AdamW::sum_lanes(pool, pointers, kCount);
    CHECK(lanes[0][77] == tree);
    for (size_t l = 1; l < lanes.size(); ++l) CHECK(std::all_of(lanes[l].begin(), lanes[l].end(), [](float x) { return x == 0; }));
    std::vector<float> p(kCount, 1), first(kCount), second(kCount);
    const rt::AdamW optimizer(m, first.data(), second.data());
    const rt::GradientNorm norm = optimizer.norm(pool, lanes[0].data(), 0.5);
    optimizer.step(pool, p.data(), lanes[0].data(), 0.5, norm, 1e-3, 1);
    norms.push_back(norm.norm);
    results.push_back(p);
  }
  for (size_t i = 1; i < results.size(); ++i) {
    CHECK(norms[i] == norms[0]);
    CHECK((results[i] == results[0]));
  }
}

TEST_CASE("a gradient that is not finite has a norm that is not") {
  rt::ThreadPool pool(1);
  const codegen::Manifest m = two_parameters();
  std::vector<float> first(32), second(32), g(32, 1);
  const rt::AdamW optimizer(m, first.data(), second.data());
  for (const float bad : {NAN, INFINITY}) {
    g[17] = bad;
    CHECK(!optimizer.norm(pool, g.data(), 1).finite());
  }
  g[17] = 3e38f;  // its square is no float
  CHECK(optimizer.norm(pool, g.data(), 1).finite());
}

TEST_CASE("patterns choose parameters by name") {
  CHECK(codegen::matches_pattern("blocks.0.norm.weight", "*.norm.*"));
  CHECK(codegen::matches_pattern("blocks.0.norm.weight", "blocks.?.norm.weight"));
  CHECK(codegen::matches_pattern("bias", "*bias"));
  CHECK(!codegen::matches_pattern("bias", "?bias"));
  CHECK(!codegen::matches_pattern("blocks.10.norm.weight", "blocks.?.norm.weight"));
  CHECK(!codegen::matches_pattern("weight_2", "*weight"));
  CHECK(codegen::matches_pattern("aab", "*ab"));
  codegen::Manifest m = two_parameters();
  m.train.groups.push_back({"a.b*", {{"weight_decay", 0.5}}});
  const std::vector<rt::ParamGroup> groups = rt::param_groups(m);
  CHECK(groups[0].lr_scale == 1);
  CHECK(groups[0].weight_decay == 0.1);
  CHECK(groups[1].lr_scale == 2);
  CHECK(groups[1].weight_decay == 0.5);  // the last group that matches
  m.train.groups.push_back({"b.*", {}});
  CHECK(has(message_of([&] { rt::param_groups(m); }), "'b.*'"));
}
