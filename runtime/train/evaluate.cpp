#include "runtime/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/train/call_group.h"

namespace cpuflow::rt {

Evaluation evaluate(const codegen::Executable& exe, const Arrays& arrays, ThreadPool& pool, const TokenData& data,
                    const std::atomic<int>* stop) {
  const codegen::Manifest& m = exe.manifest;
  const Windows windows(data, static_cast<uint32_t>(m.T));
  const uint64_t count = windows.count(), B = static_cast<uint64_t>(m.B), full = count / B, groups = full + count % B;
  const size_t losses = m.losses.size(), terms = losses + m.watch.size();
  cpuflow_call base{};
  base.params = arrays.params;
  base.shared = arrays.shared;
  base.lane = arrays.lanes[0].scratch;
  base.last = static_cast<int32_t>(m.T);
  cpuflow_call once = base;
  pool.team().lend_to(once);
  if (exe.prepare) exe.prepare(&once);

  std::vector<double> values(groups * terms);
  std::atomic<uint64_t> next{0};
  std::atomic<bool> stopped{false};
  // One worker a lane at most: each needs a lane's arrays.
  pool.parallel_for(std::min(arrays.lanes.size(), static_cast<size_t>(pool.size())), [&](size_t worker, int) {
    const Arrays::Lane& lane = arrays.lanes[worker];
    cpuflow_call c = base;
    c.lane = lane.scratch;
    c.sums = lane.sums;
    c.out = lane.terms;
    for (uint64_t group = next++; group < groups; group = next++) {
      if (stop && stop->load(std::memory_order_relaxed) != 0) {
        stopped = true;
        return;
      }
      const bool whole = group < full;
      const uint64_t first = whole ? group * B : full * B + (group - full);
      const float copies = whole ? 1.0f : static_cast<float>(B);  // a sequence that is left over stands for a whole micro-batch
      c.losses = arrays.losses(0, worker);
      c.counter = group;  // random draws: those of the micro-batch
      std::fill_n(lane.sums, m.loss_floats, 0.0f);
      auto run = [&](cpuflow_kernel* kernel) {
        CallGroup together(kernel, m, arrays.shape.together, lane.scratch);
        std::fill_n(c.losses, m.loss_floats, 0.0f);
        for (uint64_t b = 0; b < (whole ? B : 1); ++b) {
          int32_t *const tokens = lane.tokens + together.size() * m.T, *const targets = lane.targets + together.size() * m.T;
          windows.copy(first + b, tokens, targets);
          c.tokens = tokens;
          c.targets = targets;
          c.sequence = static_cast<int32_t>(b);
          together.add(c);
        }
        together.run();
        for (uint64_t i = 0; i < m.loss_floats; ++i) lane.sums[i] += copies * c.losses[i];
      };
      for (cpuflow_kernel* kernel : exe.batch_sums) run(kernel);
      for (cpuflow_kernel* kernel : exe.eval_sums) run(kernel);
      run(exe.eval_sequence);
      c.losses = lane.sums;
      exe.eval_terms(&c);
      std::copy(c.out, c.out + terms, values.begin() + static_cast<ptrdiff_t>(group * terms));
    }
  });

  Evaluation out;
  out.complete = !stopped;
  out.windows = count;
  out.tokens = count * static_cast<uint64_t>(m.T);
  out.losses.assign(terms, 0.0);
  for (uint64_t group = 0; group < groups; ++group) {
    for (size_t term = 0; term < terms; ++term)
      out.losses[term] += values[group * terms + term] * static_cast<double>(group < full ? B : 1);
  }
  for (double& loss : out.losses) loss /= static_cast<double>(count);
  out.watch.assign(out.losses.begin() + static_cast<ptrdiff_t>(losses), out.losses.end());
  out.losses.resize(losses);
  if (m.cross_entropy < 0) return out;
  const double nats = out.losses[static_cast<size_t>(m.cross_entropy)];
  out.ppl = std::exp(nats);
  if (data.bytes > 0)
    out.bits_per_byte = nats * static_cast<double>(data.ids.size()) / (std::numbers::ln2 * static_cast<double>(data.bytes));
  return out;
}

}  // namespace cpuflow::rt
