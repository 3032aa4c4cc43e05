#include "runtime/train/schedule.h"

#include <algorithm>
#include <cmath>

#include "tests/catch.h"
#include "tests/train/train_test_util.h"

using namespace cpuflow;

TEST_CASE("warm-up and cosine are the reference's to the last bit") {
  codegen::TrainSettings train;  // lr 5e-4, min_lr 1e-5, 50 steps of warm-up
  const rt::Schedule schedule = rt::Schedule::by_steps(train, 366);
  const std::pair<int64_t, double> expected[] = {{0, 0},
                                                 {1, 0x1.4f8b588e368f1p-17},
                                                 {49, 0x1.00e6afcce1c58p-11},
                                                 {50, 0x1.0624dd2f1a9fcp-11},
                                                 {51, 0x1.06233d2b85800p-11},
                                                 {200, 0x1.1fcc372c63b82p-12},
                                                 {365, 0x1.4ff359737e7fcp-17}};
  for (const auto& [step, lr] : expected) {
    INFO(step);
    CHECK(schedule.plan(step, 0, 0).lr == lr);
    CHECK(schedule.plan(step, 0, 0).last == (step == 365));
  }
  // Below the usual min_lr the rate does not rise to that.
  codegen::TrainSettings low;
  low.lr = 3e-6;
  const rt::Schedule falling = rt::Schedule::by_steps(low, 366);
  for (int64_t step = 51; step < 366; ++step) CHECK(falling.plan(step, 0, 0).lr <= falling.plan(step - 1, 0, 0).lr);
  CHECK(rt::Schedule::by_budget(low, 60).plan(9, 60, 1).lr <= low.lr);
  // A part of a longer schedule, and what is behind its end.
  train.cosine_steps = 366;
  const rt::Schedule part = rt::Schedule::by_steps(train, 20), longer = rt::Schedule::by_steps(train, 500);
  CHECK(part.plan(19, 0, 0).lr == schedule.plan(19, 0, 0).lr);
  CHECK(part.plan(19, 0, 0).last);
  CHECK(longer.plan(400, 0, 0).lr == 0x1.4f8b588e368f1p-17);
  CHECK_THROWS(rt::Schedule::by_steps(train, 0));
}

TEST_CASE("by the clock the rate is smallest in the last step, whatever the speed") {
  codegen::TrainSettings train;
  train.warmup_share = 0.1;
  for (const double seconds : {0.01, 0.7, 3.0, 30.0, 200.0}) {
    INFO(seconds);
    const rt::Schedule schedule = rt::Schedule::by_budget(train, 100);
    double elapsed = 0, usual = 0, highest = 0;
    for (int64_t step = 0;; ++step) {
      REQUIRE(step < 20000);
      const rt::Schedule::Plan plan = schedule.plan(step, elapsed, usual);
      highest = std::max(highest, plan.lr);
      usual = seconds * (step % 3 == 0 ? 1.05 : 0.95);
      elapsed += usual;
      if (!plan.last) continue;
      CHECK(plan.lr == train.min_lr);
      break;
    }
    if (seconds < 50) {
      CHECK(elapsed > 100 - 2.2 * seconds);
      CHECK(elapsed < 100 + 1.1 * seconds);
    }
    if (seconds <= 3) CHECK(highest > 0.95 * train.lr);
  }
  CHECK_THROWS(rt::Schedule::by_budget(train, 0));
}

TEST_CASE("an evaluation is recorded once, though a run that is done is resumed") {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  const auto lines = [&] {
    const std::string text = text_of(path);
    return std::count(text.begin(), text.end(), '\n');
  };
  const rt::EvalReport done{1, 1, 1.0, {{2.0}, {}, 3, 24, 7.4, 0, true}}, later{1, 1, 5.0, done.values}, other{1, 1, 5.0, {{3.0}, {}, 3, 24, 7.4, 0, true}};
  {
    rt::MetricsFile metrics(path, {"ce"}, {}, 0);
    metrics.step({0, 0, 1, 0.1, 0.1, {1.0}, 1, 1, 1});
    metrics.evaluation(done);
  }
  rt::MetricsFile(path, {"ce"}, {}, 1).evaluation(later);
  CHECK(lines() == 2);
  rt::MetricsFile(path, {"ce"}, {}, 1).evaluation(other);  // of another text
  CHECK(lines() == 3);
}

TEST_CASE("the record of a run gives its rates to the last bit") {
  const TemporaryFolder folder;
  rt::MetricsFile metrics(folder / "metrics.jsonl", {"ce"}, {}, 0);
  std::vector<double> rates;
  for (int step = 0; step < 100; ++step) {
    rates.push_back(std::exp(-step * 0.37) / 3);
    CHECK(metrics.step({step, 0, 1, 0.1, rates.back(), {1.0}, 1, 1, 1}).empty());
    if (step == 50) metrics.evaluation({51, 1, 1.0, {{2.0}, {}, 3, 24, 7.4, 0, true}});
  }
  CHECK((rt::recorded_rates(folder / "metrics.jsonl") == rates));
  const rt::Schedule replay = rt::Schedule::by_record(rates);
  for (int64_t step = 0; step < 100; ++step) CHECK(replay.plan(step, 1e9, 1).lr == rates[static_cast<size_t>(step)]);
  CHECK(replay.plan(99, 0, 0).last);
  CHECK(!replay.plan(98, 0, 0).last);

  put(folder / "gap.jsonl", "{\"step\":0,\"lr\":0.1}\n{\"step\":2,\"lr\":0.1}\n");
  CHECK(has(message_of([&] { rt::recorded_rates(folder / "gap.jsonl"); }), "lacks step 1"));
  put(folder / "bad.jsonl", "{\"step\":0,\"lr\":0.1}\n{\"step\":1,\n");
  CHECK(has(message_of([&] { rt::recorded_rates(folder / "bad.jsonl"); }), "bad.jsonl:2"));
  put(folder / "none.jsonl", "");
  CHECK(has(message_of([&] { rt::recorded_rates(folder / "none.jsonl"); }), "no step"));
}
