#include "runtime/train/trainer.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/data/data_error.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/init.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/step_runner.h"
#include "tests/catch.h"
#include "tests/train/bigram_model.h"
#include "tests/train/train_test_util.h"

using namespace cpuflow;

namespace {

struct Outcome {
  rt::TrainResult result;
  Recorder record;
  std::string tensors;
};

Outcome run(const codegen::Executable& exe, int64_t steps, int threads, const std::function<void(rt::TrainOptions&)>& change = {}) {
  const TemporaryFolder folder;
  Outcome out;
  rt::TrainOptions options = train_options(exe, folder.path(), steps, threads);
  if (change) change(options);
  const rt::TokenData data = bigram::text(3000), valid = bigram::text(500, 9);
  out.result = rt::train(exe, data, &valid, options, out.record);
  out.tensors = tensors_of(folder.path());
  return out;
}

/// Losses and gradient of one step by plain loops over the whole batch: the gradient of the mean over the micro-batch, added or averaged.
std::vector<double> plain_gradient(const std::vector<float>& params, const rt::Windows& windows, const rt::WindowOrder& order,
                                   int64_t batch, double weight) {
  std::vector<double> g(bigram::kFloats);
  for (int64_t s = 0; s < batch; ++s) {
    int32_t tokens[bigram::T], targets[bigram::T];
    windows.copy(order.window(0, static_cast<uint64_t>(s)), tokens, targets);
    for (int64_t t = 0; t < bigram::T; ++t) {
      std::vector<double> p(bigram::V);
      double sum = 0;
      for (int64_t v = 0; v < bigram::V; ++v)
        sum += p[static_cast<size_t>(v)] = std::exp(params[static_cast<size_t>(tokens[t] * bigram::V + v)]);
      for (int64_t v = 0; v < bigram::V; ++v) {
        const double d = weight * (p[static_cast<size_t>(v)] / sum - (v == targets[t] ? 1 : 0)) / bigram::T;
        g[static_cast<size_t>(tokens[t] * bigram::V + v)] += d;
        g[bigram::kBias + static_cast<size_t>(v)] += 2 * d;
      }
    }
  }
  return g;
}

}  // namespace

TEST_CASE("a step's gradient is that of the batch, added or averaged over micro-batches") {
  const rt::TokenData data = bigram::text(3000);
  auto compare = [&](codegen::Executable exe, int64_t micro, bool sum, double weight) {
    exe.manifest.train.micro = micro;
    exe.manifest.train.accumulate_sum = sum;
    rt::Arrays arrays(exe.manifest, true, 2);
    rt::ThreadPool pool(2);
    rt::init_params(pool, exe.manifest, 3, arrays.params);
    const rt::Windows windows(data, bigram::T);
    const rt::WindowOrder order(rt::WindowOrder::Kind::Sequential, windows.count(), 12, 0);
    rt::StepRunner runner(exe, arrays, pool, windows, order, 0);
    const auto losses = runner.run(0, nullptr);
    REQUIRE(losses);
    const std::vector<double> g = plain_gradient({arrays.params, arrays.params + bigram::kFloats}, windows, order, 12, weight);
    for (size_t i = 0; i < bigram::kFloats; ++i) CHECK(std::abs(arrays.lanes[0].grads[i] * runner.gradient_scale() - g[i]) < 2e-6);
  };
  compare(bigram::make<2>(12), 0, false, 1.0 / 12);
  compare(bigram::make<2>(12), 0, true, 1.0 / 2);
  compare(bigram::make<1>(12), 4, true, 1.0 / 4);
  compare(bigram::make<1>(12), 4, false, 1.0 / 12);
  compare(bigram::make<3>(12), 6, true, 1.0 / 6);
}

TEST_CASE("training lowers the loss and is the same on 1 to 4 threads") {
  const codegen::Executable exe = bigram::make();
  const Outcome one = run(exe, 60, 1, [](rt::TrainOptions& o) { o.eval_every = 25; });
  CHECK(one.result.steps == 60);
  CHECK(one.result.tokens == 60 * 8 * 8);
  CHECK(one.record.steps.back().losses[0] < 0.6 * one.record.steps.front().losses[0]);
  CHECK(one.record.evaluations.size() == 3);
  CHECK(one.record.evaluations.back().step == 60);
  CHECK(one.result.evaluated);
  CHECK(one.result.evaluation.ppl == Approx(std::exp(one.result.evaluation.losses[0])));
  CHECK(has(one.record.notes, "memory: "));
  for (int threads = 2; threads <= 4; ++threads) {
    const Outcome more = run(exe, 60, threads, [](rt::TrainOptions& o) { o.eval_every = 25; });
    CHECK((more.tensors == one.tensors));
    for (size_t i = 0; i < 60; ++i) {
      CHECK(more.record.steps[i].losses == one.record.steps[i].losses);
      CHECK(more.record.steps[i].grad_norm == one.record.steps[i].grad_norm);
    }
    CHECK(more.result.evaluation.losses == one.result.evaluation.losses);
  }
  CHECK((run(exe, 60, 1, [](rt::TrainOptions& o) { o.seed = 6; }).tensors != one.tensors));
}

TEST_CASE("metrics hold one object a step and one an evaluation") {
  const codegen::Executable exe = bigram::make();
  const TemporaryFolder folder;
  const rt::TokenData data = bigram::text(3000), valid = bigram::text(500, 9);
  Recorder record;
  rt::TrainOptions options = train_options(exe, folder.path(), 5);
  options.eval_every = 2;
  rt::train(exe, data, &valid, options, record);
  std::istringstream lines(text_of(folder / "metrics.jsonl"));
  size_t steps = 0, evaluations = 0;
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json object = nlohmann::json::parse(line);
    if (object.contains("lr")) {
      const rt::StepReport& r = record.steps[steps];
      CHECK(object["step"] == steps);
      for (const char* key : {"tokens", "elapsed_s", "lr", "loss.ce", "loss.total", "grad_norm", "tok_s"}) CHECK(object.contains(key));
      CHECK(object["loss.ce"].get<double>() == r.losses[0]);
      CHECK(object["lr"].get<double>() == r.lr);
      ++steps;
    } else {
      for (const char* key : {"step", "val.ce", "val.total", "val.ppl", "val.bits_per_byte"}) CHECK(object.contains(key));
      ++evaluations;
    }
  }
  CHECK(steps == 5);
  CHECK(evaluations == 3);
}

TEST_CASE("evaluation weighs every window the same, whatever is left over") {
  const codegen::Executable whole = bigram::make<1>(4), three = bigram::make<3>(12), five = bigram::make<5>(5);
  rt::ThreadPool one(1), many(4);
  for (const uint64_t windows : {1, 2, 3, 7, 15}) {
    const rt::TokenData data = bigram::text(windows * bigram::T + 3, 4);
    std::vector<double> values;
    for (const codegen::Executable* exe : {&whole, &three, &five}) {
      rt::Arrays arrays(exe->manifest, false, 4);
      rt::init_params(one, exe->manifest, 3, arrays.params);
      const rt::Evaluation a = rt::evaluate(*exe, arrays, one, data), b = rt::evaluate(*exe, arrays, many, data);
      CHECK(a.windows == windows);
      CHECK(a.losses == b.losses);
      CHECK(a.bits_per_byte == Approx(a.losses[0] / std::log(2.0) / 3));
      values.push_back(a.losses[0]);
    }
    CHECK(values[1] == Approx(values[0]).epsilon(1e-6));
    CHECK(values[2] == Approx(values[0]).epsilon(1e-6));
  }
  rt::Arrays arrays(whole.manifest, false, 1);
  CHECK_THROWS_AS(rt::evaluate(whole, arrays, one, bigram::text(bigram::T)), rt::DataError);
}

TEST_CASE("a budget run ends at the smallest rate and is replayed bit by bit") {
  const codegen::Executable exe = bigram::make();
  const TemporaryFolder timed, replayed;
  const rt::TokenData data = bigram::text(3000);
  Recorder first, second;
  rt::TrainOptions options = train_options(exe, timed.path(), 1, 2);
  options.schedule = rt::Schedule::by_budget(exe.manifest.train, 0.3);
  const rt::TrainResult result = rt::train(exe, data, nullptr, options, first);
  REQUIRE(result.steps > 5);
  CHECK(first.steps.back().lr == exe.manifest.train.min_lr);
  CHECK(!result.evaluated);

  options = train_options(exe, replayed.path(), 1, 1);
  options.schedule = rt::Schedule::by_record(rt::recorded_rates(timed / "metrics.jsonl"));
  CHECK(rt::train(exe, data, nullptr, options, second).steps == result.steps);
  CHECK((tensors_of(timed.path()) == tensors_of(replayed.path())));
}

TEST_CASE("weights can be given") {
  const codegen::Executable exe = bigram::make();
  const TemporaryFolder first, second;
  const rt::TokenData data = bigram::text(3000);
  Recorder record;
  rt::train(exe, data, nullptr, train_options(exe, first.path(), 3), record);
  rt::TrainOptions options = train_options(exe, second.path(), 1);
  options.init_file = first / "checkpoint/model.safetensors";
  options.schedule = rt::Schedule::by_record({0.0});
  rt::train(exe, data, nullptr, options, record);
  std::vector<float> a(bigram::kFloats), b(bigram::kFloats);
  rt::load_params(rt::SafetensorsFile(options.init_file), exe.manifest, a.data());
  rt::CheckpointFolder(second.path()).open().load_params(exe.manifest, b.data());
  CHECK((a == b));  // a step of rate 0
}

namespace {

/// The bigram model, with a loss that is not a number where the ids 1, 1 follow each other.
void spoiled_sequence(const cpuflow_call* c) {
  bigram::sequence<2, true>(c);
  for (int64_t t = 0; t < bigram::T; ++t) {
    if (c->tokens[t] == 1 && c->targets[t] == 1) c->grads[5] = NAN;
  }
}

}  // namespace

TEST_CASE("a number that is not finite stops the run before the weights are touched") {
  codegen::Executable exe = bigram::make();
  exe.train_sequence = spoiled_sequence;
  rt::TokenData data;
  data.name = "stream";
  for (uint32_t i = 0; i < 400; ++i) data.ids.append(i < 150 ? i % 3 : i == 150 ? 1 : i == 151 ? 1 : 2 + i % 2);
  const TemporaryFolder folder;
  Recorder record;
  std::vector<float> before;
  rt::TrainOptions options = train_options(exe, folder.path(), 100);
  options.order = rt::WindowOrder::Kind::Sequential;
  options.explain_nonfinite = [&](const rt::NonfiniteContext& context) {
    CHECK(context.step == 2);
    CHECK(context.tokens.size() == bigram::T);
    before.assign(context.params, context.params + bigram::kFloats);
    return "first: log at model.toml:7";
  };
  int64_t step = -1;
  std::string message;
  try {
    rt::train(exe, data, nullptr, options, record);
  } catch (const rt::Diverged& e) {
    step = e.step;
    message = e.what();
  }
  INFO(message);
  CHECK(step == 2);  // windows 16 .. 23; ids 150 and 151 stand in window 18
  for (const char* part : {"step 2 diverged", "norm is nan", "window 18", "sequence 0 of micro-batch 1", "gradient of table.weight",
                           "model.toml:7", "saved in"})
    CHECK(has(message, part));
  CHECK(record.steps.size() == 2);
  CHECK(has(text_of(folder / "metrics.jsonl"), "\"event\":\"diverged\""));
  const rt::Checkpoint saved = rt::CheckpointFolder(folder.path()).open();
  CHECK(saved.state.step == 2);
  std::vector<float> after(bigram::kFloats);
  saved.load_params(exe.manifest, after.data());
  CHECK((after == before));
}

TEST_CASE("what does not fit is refused with a reason") {
  codegen::Executable exe = bigram::make();
  const TemporaryFolder folder;
  Recorder record;
  const rt::TokenData data = bigram::text(3000);
  const rt::TrainOptions options = train_options(exe, folder.path(), 2);
  rt::TokenData wrong = bigram::text(50);
  wrong.ids.append(bigram::V);
  CHECK(has(message_of([&] { rt::train(exe, wrong, nullptr, options, record); }),
            "stream: id 12 at position 50 is not below the model's V = 12"));
  CHECK(has(message_of([&] { rt::train(exe, bigram::text(5), nullptr, options, record); }), "T = 8"));
  CHECK(!std::filesystem::exists(folder / "checkpoint"));
  rt::TrainOptions resume = options;
  resume.resume = true;
  CHECK(has(message_of([&] { rt::train(exe, data, nullptr, resume, record); }), "no checkpoint to resume"));

  rt::train(exe, data, nullptr, options, record);
  CHECK(has(message_of([&] { rt::train(exe, data, nullptr, options, record); }), "--resume continues it"));
  resume.seed = 77;
  exe.manifest.train.lr = 1;
  exe.manifest.train.batch = 4;
  const std::string message = message_of([&] { rt::train(exe, bigram::text(2999), nullptr, resume, record); });
  for (const char* part : {"batch was 8, now 4", "3000 other ids, now 2999", "--seed was 5, now 77"}) CHECK(has(message, part));
  CHECK(!has(message, "lr"));
}

TEST_CASE("held-out text that is too short is left out with a word") {
  const codegen::Executable exe = bigram::make();
  const TemporaryFolder folder;
  Recorder record;
  const rt::TokenData data = bigram::text(3000), valid = bigram::text(4);
  CHECK(!rt::train(exe, data, &valid, train_options(exe, folder.path(), 2), record).evaluated);
  CHECK(has(record.notes, "nothing is evaluated"));
}
