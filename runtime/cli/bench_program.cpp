#include "runtime/cli/bench_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "codegen/emit/emit_cpp.h"
#include "runtime/partners.h"
#include "runtime/train/arrays.h"
#include "runtime/train/call_group.h"
#include "runtime/train/optimizer.h"

namespace cpuflow::cli {
const char* work_name(Work work) {
  switch (work) {
    case Work::Forward:
      return "forward";
    case Work::ForwardBackward:
      return "forward_backward";
    case Work::Step:
      return "step";
    case Work::Decode:
      return "decode";
    case Work::DecodeTogether:
      return "decode_16";
  }
  return "";
}

bool decodes(Work work) { return work == Work::Decode || work == Work::DecodeTogether; }

/// One lane's memory.
struct LaneBuffers {
  LaneBuffers(const codegen::Manifest& m, int64_t together, size_t regions)
      : scratch(std::max(m.scratch_floats(together), m.rows_lane_floats)), grads(m.grad_floats), losses(m.loss_floats), profile(regions, 0) {}
  AlignedFloats scratch, grads, losses;
  std::vector<uint64_t> profile;
};

struct BenchProgram::Buffers {
  Buffers(CompiledModel compiled, int thread_count, uint64_t seed)
      : model(std::move(compiled)),
        m(model.exe.manifest),
        pool(thread_count),
        params(m.param_floats),
        shared(m.shared_floats),
        partners(pool.team(), rt::Partners::most(thread_count, m.row_floats), m.row_floats, m.kept_floats),
        rows(decoders() * static_cast<uint64_t>(m.columns())),
        streams(decoders() * m.lane_step()),
        first(m.param_floats),
        second(m.param_floats),
        optimizer(m, first.get(), second.get()),
        profile(model.costs.size(), 0) {
    std::mt19937_64 random(seed);
    for (const codegen::ParamInfo& p : m.params) {
      std::normal_distribution<float> normal(static_cast<float>(p.init_a), static_cast<float>(std::abs(p.init_b)));
      std::uniform_real_distribution<float> uniform(static_cast<float>(p.init_a), static_cast<float>(std::max(p.init_a, p.init_b)));
      for (uint64_t i = 0; i < p.count; ++i) {
        float& value = params.get()[p.offset + i];
        if (p.init == codegen::ParamInfo::Init::Normal)
          value = normal(random);
        else if (p.init == codegen::ParamInfo::Init::Uniform)
          value = uniform(random);
        else
          value = static_cast<float>(p.init_a);
      }
    }
    sequences = std::max<int64_t>(m.train.batch, m.lanes);
    together = m.together_of(sequences);
    ids.resize(static_cast<size_t>(std::max(sequences, kTogether) * m.T + 1));
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(m.V));
    for (int64_t l = 0; l < m.lanes; ++l) lanes.push_back(std::make_unique<LaneBuffers>(m, together, profile.size()));
  }

  /// Who has a lane of `rows`: texts that are made together, or partners that make one.
  uint64_t decoders() const { return static_cast<uint64_t>(std::max<int64_t>(kTogether, partners.size())); }

  cpuflow_call call(LaneBuffers& lane, int64_t sequence) {
    cpuflow_call c{};
    c.params = params.get();
    c.shared = shared.get();
    c.lane = lane.scratch.get();
    c.grads = lane.grads.get();
    c.losses = lane.losses.get();
    c.sums = lanes[0]->losses.get();
    c.tokens = ids.data() + sequence * m.T;
    c.targets = c.tokens + 1;
    c.sequence = static_cast<int32_t>(sequence % m.B);
    c.profile = lane.profile.data();
    return c;
  }

  /// What a run does before its sequences.
  void prepare() {
    for (const auto& lane : lanes) std::fill_n(lane->losses.get(), m.loss_floats, 0.0f);
    cpuflow_call c = call(*lanes[0], 0);
    pool.team().lend_to(c);
    model.exe.prepare(&c);
  }

  /// `kernel` on all sequences, each in its lane.
  void run_sequences(cpuflow_kernel* kernel) {
    pool.parallel_for(lanes.size(), [&](size_t l, int thread) {
      rt::CallGroup group(kernel, m, together, lanes[rt::scratch_lane(l, lanes.size(), thread, pool.size())]->scratch.get());
      for (int64_t s = static_cast<int64_t>(l); s < sequences; s += m.lanes) group.add(call(*lanes[l], s));
      group.run();
    });
  }

  /// All positions of `count` sequences, one after the other; returns the number of tokens.  Threads share the products of one sequence, or
  /// have sequences of their own.
  int64_t decode(int64_t count) {
    const int64_t parts = std::min<int64_t>(count, pool.size());
    for (int64_t t = 0; t < m.T; ++t) {
      auto run = [&](size_t part, int) {
        const int64_t begin = count * static_cast<int64_t>(part) / parts, end = count * (static_cast<int64_t>(part) + 1) / parts;
        cpuflow_call c = call(*lanes[0], begin);
        c.streams = static_cast<int32_t>(end - begin);
        c.lane_step = static_cast<int64_t>(m.lane_step());
        c.lane = streams.get() + static_cast<uint64_t>(begin) * m.lane_step();
        c.out = rows.get() + begin * m.columns();
        c.first = static_cast<int32_t>(t);
        c.last = static_cast<int32_t>(t + 1);
        if (count == 1) partners.run(model.exe.rows, c, c.lane_step, m.columns());
        else model.exe.rows(&c);
      };
      if (count == 1) run(0, 0);  // whose products are what the threads share
      else pool.parallel_for(static_cast<size_t>(parts), run);
    }
    return count * m.T;
  }

  /// What a training step does behind its sequences.
  void update() {
    std::vector<float*> grads;
    for (const auto& lane : lanes) grads.push_back(lane->grads.get());
    rt::AdamW::sum_lanes(pool, grads, m.grad_floats);
    cpuflow_call c = call(*lanes[0], 0);
    pool.team().lend_to(c);
    model.exe.finish(&c);
    const double scale = static_cast<double>(m.B) / static_cast<double>(sequences);
    const rt::GradientNorm norm = optimizer.norm(pool, grads[0], scale);
    optimizer.step(pool, params.get(), grads[0], scale, norm, 1e-6, ++updates);
    rt::AdamW::clear(pool, grads[0], m.grad_floats);
  }

  CompiledModel model;
  const codegen::Manifest& m;
  rt::ThreadPool pool;
  AlignedFloats params, shared;
  rt::Partners partners;
  AlignedFloats rows, streams, first, second;
  rt::AdamW optimizer;
  int64_t updates = 0;
  std::vector<uint64_t> profile;
  int64_t sequences = 0, together = 1;
  std::vector<int32_t> ids;
  std::vector<std::unique_ptr<LaneBuffers>> lanes;
};

BenchProgram::BenchProgram(CompiledModel model, int threads, uint64_t seed)
    : buffers_(std::make_unique<Buffers>(std::move(model), threads, seed)) {}
BenchProgram::~BenchProgram() = default;
const CompiledModel& BenchProgram::model() const { return buffers_->model; }

const std::vector<uint64_t>& BenchProgram::profile() const {
  Buffers& b = *buffers_;
  for (size_t i = 0; i < b.profile.size(); ++i) {
    b.profile[i] = 0;
    for (const auto& lane : b.lanes) b.profile[i] += lane->profile[i];
  }
  return b.profile;
}

int64_t BenchProgram::run(Work work) {
  Buffers& b = *buffers_;
  if (decodes(work)) return b.decode(work == Work::Decode ? 1 : kTogether);
  b.prepare();
  for (cpuflow_kernel* kernel : b.model.exe.batch_sums) b.run_sequences(kernel);
  b.run_sequences(work == Work::Forward ? b.model.exe.eval_sequence : b.model.exe.train_sequence);
  if (work == Work::Step) b.update();
  return b.sequences * b.m.T;
}

double BenchProgram::speed(Work work) {
  constexpr std::chrono::duration<double> kLeast(0.1);  // threads that slept need some time to come to their CPUs
  if (decodes(work)) buffers_->prepare();  // once for all texts, so that no token takes part of it
  const auto start = std::chrono::steady_clock::now();
  std::chrono::duration<double> seconds{};
  int64_t tokens = 0;
  do {
    tokens += run(work);
    seconds = std::chrono::steady_clock::now() - start;
  } while (seconds < kLeast);
  return static_cast<double>(tokens) / seconds.count();
}

PeakMeter::PeakMeter(const ir::CpuTarget& target, bool bf16, int threads, uint64_t weights)
    : pool_(threads), weights_(weights / sizeof(float)), floats_of_thread_(weights / sizeof(float) / static_cast<uint64_t>(threads) / 16 * 16) {
  codegen::JitOptions options;
  options.features = target.features;
  options.vector_bits = target.lanes * 32;
  std::string text = codegen::products_text(bf16, target.emulates_tiles);
  text += fmt::format("extern \"C\" float peak_run(long n) {{ return kernel::{}(n); }}\nextern \"C\" long peak_flops() {{ return kernel::{}; }}\n"
                      "extern \"C\" float read_run(const float* x, long n) {{ return kernel::read_sum(x, n); }}\n",
                      bf16 ? "bf16_peak" : "fma_peak", bf16 ? "kBf16PeakFlops" : "kPeakFlops");
  library_ = codegen::load_cpp(text, "peak", options);
  run_ = reinterpret_cast<float (*)(long)>(library_->symbol("peak_run"));
  flops_ = reinterpret_cast<long (*)()>(library_->symbol("peak_flops"));
  read_ = reinterpret_cast<float (*)(const float*, long)>(library_->symbol("read_run"));
  std::fill_n(weights_.get(), weights / sizeof(float), 1.0f);  // memory that nobody has written is one page of zeros
  constexpr double kFlops = 2e9;  // about 10 ms of a core, ten times as many with tiles
  iterations_ = std::max(1L, static_cast<long>(kFlops * (bf16 ? 10 : 1) / static_cast<double>(flops_())));
}

double PeakMeter::flops_per_second() {
  const size_t threads = static_cast<size_t>(pool_.size());
  std::vector<float> results(threads * 16);  // a cache line each
  const auto start = std::chrono::steady_clock::now();
  pool_.parallel_for(
      threads, [&](size_t i, int) { results[16 * i] = run_(iterations_); }, rt::ThreadPool::Assign::Static);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return static_cast<double>(threads) * static_cast<double>(iterations_) * static_cast<double>(flops_()) / seconds.count();
}

double PeakMeter::bytes_per_second() {
  const size_t threads = static_cast<size_t>(pool_.size());
  const long floats = static_cast<long>(floats_of_thread_), rounds = std::max(2L, 100'000'000 / std::max(1L, floats));
  if (floats == 0) return 0;
  std::vector<float> results(threads * 16);  // a cache line each
  auto read = [&](long times) {
    pool_.parallel_for(
        threads,
        [&](size_t i, int) {
          for (long r = 0; r < times; ++r) results[16 * i] += read_(weights_.get() + i * floats_of_thread_, floats);
        },
        rt::ThreadPool::Assign::Static);
  };
  read(1);  // into the caches
  const auto start = std::chrono::steady_clock::now();
  read(rounds);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return static_cast<double>(threads) * static_cast<double>(rounds) * static_cast<double>(floats) * sizeof(float) / seconds.count();
}

}  // namespace cpuflow::cli
