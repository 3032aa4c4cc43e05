#include "runtime/train/step_runner.h"

#include <algorithm>
#include <cmath>

#include "runtime/train/call_group.h"
#include "runtime/train/optimizer.h"

namespace cpuflow::rt {
StepRunner::StepRunner(const codegen::Executable& exe, const Arrays& arrays, ThreadPool& pool, const Windows& windows,
                       const WindowOrder& order, uint64_t seed)
    : exe_(exe), arrays_(arrays), pool_(pool), windows_(windows), order_(order), seed_(seed) {}

cpuflow_call StepRunner::call(size_t lane, int64_t place, int64_t step, int64_t sequence) const {
  const codegen::Manifest& m = exe_.manifest;
  const Arrays::Lane& l = arrays_.lanes[lane];
  int32_t *const tokens = l.tokens + place * m.T, *const targets = l.targets + place * m.T;
  windows_.copy(order_.window(static_cast<uint64_t>(step), static_cast<uint64_t>(sequence)), tokens, targets);
  cpuflow_call c{};
  c.params = arrays_.params;
  c.shared = arrays_.shared;
  c.lane = l.scratch;
  c.grads = l.grads;
  c.losses = arrays_.losses(sequence / m.B, lane);
  c.sums = arrays_.losses(sequence / m.B, 0);
  c.tokens = tokens;
  c.targets = targets;
  c.sequence = static_cast<int32_t>(sequence % m.B);
  c.last = static_cast<int32_t>(m.T);
  c.seed = seed_;
  c.counter = static_cast<uint64_t>(step * arrays_.shape.calls + sequence / m.B);
  return c;
}

std::optional<std::vector<double>> StepRunner::run(int64_t step, const std::atomic<int>* stop) {
  const codegen::Manifest& m = exe_.manifest;
  const size_t lanes = arrays_.lanes.size();
  const uint64_t grad_floats = std::max(m.grad_floats, m.param_floats);
  cpuflow_call once{};
  once.params = arrays_.params;
  once.shared = arrays_.shared;
  once.lane = arrays_.lanes[0].scratch;
  once.grads = arrays_.lanes[0].grads;
  once.seed = seed_;
  once.last = static_cast<int32_t>(m.T);
  pool_.team().lend_to(once);
  if (exe_.prepare) exe_.prepare(&once);
  for (size_t lane = 0; lane < lanes; ++lane) {
    if (lane == 0 || !others_clear_) AdamW::clear(pool_, arrays_.lanes[lane].grads, grad_floats);
    for (int64_t i = 0; i < arrays_.shape.calls; ++i) std::fill_n(arrays_.losses(i, lane), m.loss_floats, 0.0f);
  }
  others_clear_ = false;
  for (cpuflow_kernel* kernel : exe_.batch_sums) {
    if (!run_sequences(kernel, step, stop)) return std::nullopt;
    sum_losses();
  }
  if (!run_sequences(exe_.train_sequence, step, stop)) return std::nullopt;
  sum_losses();

  std::vector<float*> grads;
  for (const Arrays::Lane& lane : arrays_.lanes) grads.push_back(lane.grads);
  AdamW::sum_lanes(pool_, grads, grad_floats);
  others_clear_ = true;
  if (exe_.finish) exe_.finish(&once);

  std::vector<double> losses(m.losses.size(), 0.0);
  once.out = arrays_.lanes[0].terms;
  for (int64_t i = 0; i < arrays_.shape.calls; ++i) {
    once.losses = arrays_.losses(i, 0);
    exe_.loss_terms(&once);
    for (size_t term = 0; term < losses.size(); ++term)
      losses[term] += static_cast<double>(once.out[term]) / static_cast<double>(arrays_.shape.calls);
  }
  return losses;
}

bool StepRunner::run_sequences(cpuflow_kernel* kernel, int64_t step, const std::atomic<int>* stop) {
  const size_t lanes = arrays_.lanes.size();
  std::atomic<bool> stopped{false};
  pool_.parallel_for(lanes, [&](size_t lane, int thread) {
    CallGroup group(kernel, exe_.manifest, arrays_.shape.together, arrays_.lanes[scratch_lane(lane, lanes, thread, pool_.size())].scratch);
    for (int64_t s = static_cast<int64_t>(lane); s < arrays_.shape.sequences; s += static_cast<int64_t>(lanes)) {
      if (stop && stop->load(std::memory_order_relaxed) != 0) {
        stopped = true;
        return;
      }
      group.add(call(lane, group.size(), step, s));
    }
    group.run();
  });
  return !stopped;
}

void StepRunner::sum_losses() {
  for (int64_t i = 0; i < arrays_.shape.calls; ++i) {
    float* sums = arrays_.losses(i, 0);
    for (size_t lane = 1; lane < arrays_.lanes.size(); ++lane) {
      float* more = arrays_.losses(i, lane);
      for (uint64_t j = 0; j < exe_.manifest.loss_floats; ++j) sums[j] += more[j];
      std::fill_n(more, exe_.manifest.loss_floats, 0.0f);
    }
  }
}

double StepRunner::gradient_scale() const {
  const BatchShape& shape = arrays_.shape;
  const double calls_of_micro = static_cast<double>(shape.calls) / static_cast<double>(shape.micro_batches);
  return 1 / (calls_of_micro * (exe_.manifest.train.accumulate_sum ? 1.0 : static_cast<double>(shape.micro_batches)));
}

std::optional<StepRunner::Fault> StepRunner::first_fault(int64_t step) {
  const codegen::Manifest& m = exe_.manifest;
  const uint64_t grad_floats = std::max(m.grad_floats, m.param_floats);
  for (int64_t s = 0; s < arrays_.shape.sequences; ++s) {
    cpuflow_call c = call(0, 0, step, s);
    std::vector<float> losses(m.loss_floats);  // of this sequence alone; what it reads of the others stays
    c.losses = losses.data();
    std::fill_n(c.grads, grad_floats, 0.0f);
    exe_.train_sequence(&c);
    if (all_finite(c.grads, grad_floats) && all_finite(c.losses, m.loss_floats)) continue;
    Fault fault{s / m.B, s % m.B, order_.window(static_cast<uint64_t>(step), static_cast<uint64_t>(s)), c.counter, {}, {}, {}};
    fault.tokens.assign(c.tokens, c.tokens + m.T);
    fault.targets.assign(c.targets, c.targets + m.T);
    if (exe_.finish) exe_.finish(&c);
    for (const codegen::ParamInfo& p : m.params) {
      if (fault.params.size() < 3 && !all_finite(c.grads + p.offset, p.count)) fault.params.push_back(p.name);
    }
    return fault;
  }
  return std::nullopt;
}

}  // namespace cpuflow::rt
