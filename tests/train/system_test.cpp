#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <set>
#include <thread>

#include "runtime/cgroup.h"
#include "runtime/memory.h"
#include "runtime/partners.h"
#include "runtime/thread_pool.h"
#include "runtime/train/arrays.h"
#include "tests/catch.h"
#include "tests/train/bigram_model.h"
#include "tests/train/train_test_util.h"

using namespace cpuflow;

TEST_CASE("limits of control groups, version 2") {
  const TemporaryFolder root;
  put(root / "proc/self/cgroup", "0::/user.slice/job\n");
  CHECK(!rt::read_cgroup_limits(root.path()).cpus);
  put(root / "sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n");
  put(root / "sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");
  put(root / "sys/fs/cgroup/user.slice/job/memory.max", "1000000000\n");
  put(root / "sys/fs/cgroup/user.slice/job/memory.current", "400000000\n");
  put(root / "sys/fs/cgroup/user.slice/job/memory.stat", "anon 5\ninactive_file 300000000\n");
  put(root / "sys/fs/cgroup/user.slice/memory.max", "max\n");
  put(root / "proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n");
  const rt::CgroupLimits limits = rt::read_cgroup_limits(root.path());
  CHECK(limits.cpus.value() == 1.5);
  CHECK(limits.memory_limit.value() == 1000000000);
  CHECK(limits.memory_in_use.value() == 100000000);
  CHECK(rt::available_memory(root.path()) == 900000000);
  // The group above is tighter once it has less left.
  put(root / "sys/fs/cgroup/user.slice/memory.max", "2000000000\n");
  put(root / "sys/fs/cgroup/user.slice/memory.current", "1500000000\n");
  CHECK(rt::available_memory(root.path()) == 500000000);
  put(root / "proc/meminfo", "MemAvailable: 1000 kB\n");
  CHECK(rt::available_memory(root.path()) == 1024000);
}

TEST_CASE("limits of control groups, version 1, in a container") {
  const TemporaryFolder root;
  // The path is the host's; inside only the mount itself is seen.
  put(root / "proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n");
  put(root / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
  put(root / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  put(root / "sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
  put(root / "sys/fs/cgroup/memory/memory.usage_in_bytes", "500000\n");
  put(root / "sys/fs/cgroup/memory/memory.stat", "total_inactive_file 0\n");
  const rt::CgroupLimits limits = rt::read_cgroup_limits(root.path());
  CHECK(limits.cpus.value() == 2);
  CHECK(rt::available_memory(root.path()) == 1500000);
  put(root / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  put(root / "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(!rt::read_cgroup_limits(root.path()).cpus);
  CHECK(!rt::read_cgroup_limits(root.path()).memory_limit);
}

TEST_CASE("threads follow the quota and OMP_NUM_THREADS") {
  const char* before = std::getenv("OMP_NUM_THREADS");
  const std::string kept = before ? before : "";
  const TemporaryFolder root;
  unsetenv("OMP_NUM_THREADS");
  const int all = rt::available_threads(root.path());
  CHECK(all >= 1);
  put(root / "proc/self/cgroup", "0::/\n");
  put(root / "sys/fs/cgroup/cpu.max", "50000 100000\n");
  CHECK(rt::available_threads(root.path()) == 1);
  put(root / "sys/fs/cgroup/cpu.max", "120000 100000\n");
  CHECK(rt::available_threads(root.path()) == std::min(all, 2));
  setenv("OMP_NUM_THREADS", "1,4", 1);
  CHECK(rt::available_threads(root.path()) == 1);
  CHECK(rt::available_cpus(root.path()) == std::min(all, 2));
  setenv("OMP_NUM_THREADS", "nonsense", 1);
  CHECK(rt::available_threads(root.path()) == std::min(all, 2));
  if (before)
    setenv("OMP_NUM_THREADS", kept.c_str(), 1);
  else
    unsetenv("OMP_NUM_THREADS");
}

TEST_CASE("a thread pool runs every index once, and passes on the first failure") {
  for (int threads = 1; threads <= 4; ++threads) {
    rt::ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (const auto assign : {rt::ThreadPool::Assign::Static, rt::ThreadPool::Assign::Dynamic}) {
      for (const size_t count : {size_t{0}, size_t{1}, size_t{3}, size_t{1000}}) {
        std::vector<std::atomic<int>> seen(count);
        std::atomic<bool> placed{true};
        pool.parallel_for(
            count,
            [&](size_t i, int thread) {
              ++seen[i];
              if (thread < 0 || thread >= threads) placed = false;
              if (assign == rt::ThreadPool::Assign::Static && thread != static_cast<int>(i % static_cast<size_t>(threads))) placed = false;
            },
            assign);
        CHECK(placed);
        CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& n) { return n == 1; }));
      }
    }
    std::atomic<int> done{0};
    const std::string message = message_of([&] {
      pool.parallel_for(20, [&](size_t i, int) {
        ++done;
        if (i % 7 == 3) throw std::runtime_error("index " + std::to_string(i));
      });
    });
    CHECK(message == "index 3");
    CHECK(done == 20);
  }
}

TEST_CASE("a team runs every part once, each on a thread of its own") {
  struct Seen {
    std::vector<std::atomic<int>> parts = std::vector<std::atomic<int>>(4);
    std::vector<std::thread::id> threads = std::vector<std::thread::id>(4);
    int count = 0;
  };
  for (int threads = 1; threads <= 4; ++threads) {
    rt::Team team(threads);
    CHECK(team.size() == threads);
    Seen seen;
    seen.count = threads;
    for (int round = 1; round <= 2000; ++round) {
      // now and then they fall asleep in between
      if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      rt::Team::fork(
          &team,
          [](void* context, int part, int parts) {
            Seen& s = *static_cast<Seen*>(context);
            if (parts == s.count) ++s.parts[static_cast<size_t>(part)];
            s.threads[static_cast<size_t>(part)] = std::this_thread::get_id();
          },
          &seen);
      for (int part = 0; part < threads; ++part) REQUIRE(seen.parts[static_cast<size_t>(part)] == round);
    }
    const std::set<std::thread::id> different(seen.threads.begin(), seen.threads.begin() + threads);
    CHECK(different.size() == static_cast<size_t>(threads));
    CHECK(seen.threads[0] == std::this_thread::get_id());
  }
}

constexpr int kColumns = 100, kRows = 3;  // of a row that partners pass on, and how many in a call

/// Each column of a row depends on all of the row before; a partner computes some of them.  The lane holds the row.
void passed_on_rows(const cpuflow_call* call) {
  const int parts = std::max(1, call->parts), first = kColumns * call->part / parts, last = kColumns * (call->part + 1) / parts;
  for (int row = 0; row < kRows; ++row) {
    float before[kColumns];
    std::copy_n(call->lane, kColumns, before);
    for (int i = first; i < last; ++i) call->lane[i] = std::fmod(std::accumulate(before, before + kColumns, static_cast<float>(i * i)), 1009.0f);
    if (parts > 1) call->pass_on(call->partner, call->lane, first, last, kColumns);
  }
  std::copy_n(call->lane, kColumns, call->out);
}

TEST_CASE("partners have whole rows, each in a lane of its own, whoever computed which columns") {
  constexpr int kCalls = 300, kStep = kColumns + 12;
  std::vector<float> alone;
  for (int threads = 1; threads <= 4; ++threads) {
    rt::Team team(threads);
    rt::Partners partners(team, std::min(threads, 3), kColumns, kColumns);  // of four threads, one does nothing
    std::vector<float> lanes(static_cast<size_t>(threads * kStep)), out = lanes;
    int together = 0;
    for (int i = 0; i < kCalls; ++i) {
      for (int part = 0; part < partners.size(); ++part) out[static_cast<size_t>(part * kStep)] = -1;
      cpuflow_call call{};
      call.lane = lanes.data();
      call.out = out.data();
      if (i % 100 == 99) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the others fall asleep
      partners.run(passed_on_rows, call, kStep, kStep);
      for (int part = 1; part < partners.size() && out[static_cast<size_t>(part * kStep)] != -1; ++part) {  // it took part
        INFO("call " << i << ", " << part << " of " << threads);
        REQUIRE(std::equal(out.begin(), out.begin() + kColumns, out.begin() + part * kStep));
        REQUIRE(std::equal(lanes.begin(), lanes.begin() + kColumns, lanes.begin() + part * kStep));
        ++together;
      }
    }
    CHECK((threads == 1 || together > 0));
    if (threads == 1) alone.assign(out.begin(), out.begin() + kColumns);
    INFO(threads);
    CHECK(std::equal(alone.begin(), alone.end(), out.begin()));
    CHECK(std::equal(alone.begin(), alone.end(), lanes.begin()));
  }
}

/// passed_on_rows() where the second of some partners has no CPU for a while.
void stalled_rows(const cpuflow_call* call) {
  if (call->parts > 1 && call->part == 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  passed_on_rows(call);
}

TEST_CASE("partners that wait for one without a CPU leave the text to one thread, with the same rows") {
  constexpr int kCalls = 400, kStep = kColumns + 12;
  rt::Team one(1), two(2);
  rt::Partners alone(one, 1, kColumns, kColumns), both(two, 2, kColumns, kColumns);
  std::vector<float> lane(kStep), out(kStep), lanes(2 * kStep), outs(2 * kStep);
  int together = 0;
  for (int i = 0; i < kCalls; ++i) {
    cpuflow_call call{};
    call.lane = lane.data(), call.out = out.data();
    alone.run(passed_on_rows, call, kStep, kStep);
    call.lane = lanes.data(), call.out = outs.data();
    outs[kStep] = -1;
    both.run(stalled_rows, call, kStep, kStep);
    together += outs[kStep] != -1;
    if (outs[kStep] != -1) REQUIRE(std::equal(out.begin(), out.begin() + kColumns, outs.begin() + kStep));
    REQUIRE(std::equal(out.begin(), out.begin() + kColumns, outs.begin()));
  }
  CHECK(together >= 12);  // again and again
  CHECK(together < kCalls / 4);
}

TEST_CASE("a text is left to one thread while several are slower, for longer and longer") {
  struct Times {
    double together, alone;
    bool slept;
  };
  rt::Pace pace;
  auto share_together = [&](const Times& times) {
    int together = 0;
    for (int i = 0; i < 10'000; ++i) {
      together += pace.together();
      pace.took(pace.together() ? times.together : times.alone, pace.together() && times.slept);
    }
    return together / 1e4;
  };
  CHECK(share_together({0.6, 1, false}) == 1);
  CHECK(share_together({9, 1, true}) < 0.01);
  CHECK(share_together({0.6, 1, false}) > 0.85);  // the others are gone
  CHECK(share_together({0.9, 1, true}) > 0.99);   // waiting, and fast nevertheless
  CHECK(share_together({1.8, 3, true}) > 0.99);   // longer texts take longer
  CHECK(share_together({9, 1, true}) < 0.01);
}

TEST_CASE("memory that is not there is refused before it is taken") {
  codegen::Executable exe = bigram::make();
  const uint64_t small = rt::training_memory(exe.manifest, 1).total();
  CHECK(rt::training_memory(exe.manifest, 3).total() - small == 2 * rt::Arena::bytes_for(exe.manifest.lane_floats));
  CHECK(rt::training_memory(exe.manifest, 9).total() == rt::training_memory(exe.manifest, 4).total());  // four lanes
  CHECK(small > 3 * 4 * bigram::kFloats);
  CHECK(has(rt::training_memory(exe.manifest, 1).text(), "AdamW moments"));
  exe.manifest.lane_floats = uint64_t{1} << 50;
  const std::string message = message_of([&] { rt::Arrays arrays(exe.manifest, true, 1); });
  CHECK(has(message, "training needs"));
  CHECK(has(message, "are available"));
  CHECK_THROWS_AS(rt::Arrays(exe.manifest, true, 1), rt::MemoryError);
  CHECK_NOTHROW(rt::require_memory(5, 5, "x"));
}

TEST_CASE("an arena gives aligned zeroed arrays until it is used up") {
  rt::Arena arena(4096);
  float* a = arena.floats(3);
  float* b = arena.floats(17);
  CHECK(reinterpret_cast<uint64_t>(a) % 64 == 0);
  CHECK(b - a == 16);
  CHECK(std::accumulate(b, b + 17, 0.0f) == 0);
  CHECK_THROWS_AS(arena.floats(1024), std::logic_error);
}

TEST_CASE("there is a copy of the gradient for each CPU, within what a step can use") {
  codegen::TrainSettings train;
  train.batch = 12;
  for (const auto& [cpus, lanes] : {std::pair{1, 4}, {2, 4}, {4, 4}, {5, 5}, {12, 12}, {64, 12}}) CHECK(rt::gradient_lanes(train, cpus) == lanes);
  train.batch = 1;
  CHECK(rt::gradient_lanes(train, 64) == 4);
  train.lanes = 3;
  CHECK(rt::gradient_lanes(train, 64) == 3);
}

TEST_CASE("batches divide into micro-batches and calls") {
  codegen::Manifest m;
  m.B = 2;
  m.train.batch = 12;
  CHECK(rt::batch_shape(m).calls == 6);
  CHECK(rt::batch_shape(m).micro_batches == 6);
  m.train.micro = 4;
  CHECK(rt::batch_shape(m).micro_batches == 3);
  m.train.micro = 3;
  CHECK(has(message_of([&] { rt::batch_shape(m); }), "train.micro = 3"));
  m.train.micro = 8;
  CHECK(has(message_of([&] { rt::batch_shape(m); }), "train.batch=16"));
}
