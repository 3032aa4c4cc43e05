#include "runtime/partners.h"

#include <algorithm>
#include <chrono>

#include "codegen/abi/cache_lines.h"
#include "runtime/wait.h"

namespace cpuflow::rt {

void Pace::took(double seconds, bool slept) {
  constexpr int kTogether = 4, kAlone = 4, kLongest = 1024;  // calls between decisions
  constexpr double kWorse = 1.5;  // as long as a call alone that nothing interrupts
  seconds_ += seconds;
  shortest_ = calls_ == 0 ? seconds : std::min(shortest_, seconds);
  slept_ = slept_ || slept;
  if (++calls_ < (together_ ? kTogether : alone_calls_)) return;
  if (!together_) {
    alone_ = shortest_;
    together_ = true;
  } else if (slept_ && (alone_ == 0 || seconds_ / calls_ > kWorse * alone_)) {
    alone_calls_ = std::clamp(4 * alone_calls_, kAlone, kLongest);
    together_ = false;
  } else {
    alone_calls_ /= 4;  // not 0: between two time slices they are fast for a moment
  }
  calls_ = 0;
  seconds_ = 0;
  slept_ = false;
}

Partners::Partners(Team& team, int count, uint64_t row_floats, uint64_t kept_floats)
    : team_(team), rows_(static_cast<size_t>(count)), row_floats_(codegen::whole_cache_lines(row_floats)), kept_floats_(kept_floats), columns_(count > 1 ? 2 * row_floats_ : 0) {
  for (int part = 0; part < count; ++part) places_.push_back({this, part});
}

int Partners::most(int threads, uint64_t row_floats) {
  constexpr int kMost = 16;  // each waits for a cache line of every other, for each row
  return row_floats == 0 ? 1 : std::min(threads, kMost);
}

uint64_t Partners::bytes(int partners, uint64_t row_floats) { return partners > 1 ? 2 * sizeof(float) * codegen::whole_cache_lines(row_floats) + static_cast<uint64_t>(partners) * sizeof(Row) : 0; }

void Partners::run(cpuflow_kernel* rows, const cpuflow_call& call, int64_t lane_step, int64_t out_step) {
  if (size() == 1) return rows(&call);
  const bool together = pace_.together();
  if (together && behind_) {
    for (int part = 1; part < size(); ++part) std::copy_n(call.lane, kept_floats_, call.lane + part * lane_step);
  }
  behind_ = !together;
  const auto begin = std::chrono::steady_clock::now();
  if (together) run_together(rows, call, lane_step, out_step);
  else rows(&call);
  pace_.took(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), slept_.exchange(false));
}

void Partners::run_together(cpuflow_kernel* rows, const cpuflow_call& call, int64_t lane_step, int64_t out_step) {
  struct Work {
    Partners& all;
    cpuflow_kernel* rows;
    const cpuflow_call& call;
    int64_t lane_step, out_step;
  } work = {*this, rows, call, lane_step, out_step};
  Team::fork(
      &team_,
      [](void* context, int part, int) {
        const Work& w = *static_cast<const Work*>(context);
        if (part >= w.all.size()) return;
        cpuflow_call own = w.call;
        own.lane += part * w.lane_step;
        own.out += part * w.out_step;
        own.part = part;
        own.parts = w.all.size();
        own.pass_on = pass_on;
        own.partner = &w.all.places_[static_cast<size_t>(part)];
        w.rows(&own);
      },
      &work);
}

void Partners::pass_on(void* place, float* row, int first, int last, int columns) {
  const Place& self = *static_cast<const Place*>(place);
  Partners& all = *self.all;
  Row& mine = all.rows_[static_cast<size_t>(self.part)];
  float* const shared = all.columns_.data() + mine.own % 2 * all.row_floats_;
  std::copy(row + first, row + last, shared + first);
  const uint32_t before = mine.own++;
  mine.given.fetch_add(1, std::memory_order_acq_rel);  // not a store: whether anybody sleeps must not be read before it is seen
  mine.given.notify_all();
  for (Row& other : all.rows_) {
    if (wait_while(other.given, before, all.team_.watches())) all.slept_.store(true, std::memory_order_relaxed);
  }
  std::copy(shared, shared + first, row);
  std::copy(shared + last, shared + columns, row + last);
}

}  // namespace cpuflow::rt
