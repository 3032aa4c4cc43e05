// Speed of the kernel prelude on this machine: products beside the measured peak of multiply-adds, functions in elements a second.
//
// Every product measures the peak before and after itself and reports the fastest of its runs, the better of the two peaks, and their
// quotient: on a shared machine the clock and the neighbours change from minute to minute.
#include "codegen/prelude/kernel_prelude.h"
#include "codegen/prelude/products.h"
#include "codegen/prelude/bf16.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ir/cpu_target.h"

namespace {

/// Floats aligned to cache lines, as the runtime's are.
class Floats {
 public:
  explicit Floats(size_t n) : storage_(n + 16) {}
  float* data() {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    return storage_.data() + (64 - address % 64) % 64 / sizeof(float);
  }

 private:
  std::vector<float> storage_;
};

/// Numbers in [-1, 1) that do not repeat.
Floats numbers(size_t n, uint64_t seed) {
  Floats out(n);
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (size_t i = 0; i < n; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    out.data()[i] = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
  }
  return out;
}

template <class F>
double seconds_of(F run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// FLOP/s of one core; the best of many short runs.
double measured_peak() {
  double best = 1;
  for (int i = 0; i < 60; ++i) {
    best = std::min(best, seconds_of([] { benchmark::DoNotOptimize(kernel::fma_peak(20'000)); }));
  }
  return 20'000 * kernel::kPeakFlops / best;
}

/// Times each run by itself and reports the fastest: `best` in FLOP/s, `of_peak` as its share of the machine's peak.
template <class F>
void measure_product(benchmark::State& state, double flops, double bytes, F run) {
  run();
  double peak = measured_peak(), best = 1e9;
  const int repeat = std::max(1, static_cast<int>(2e-5 * peak / flops));  // at least some 20 us between two looks at the clock
  for (auto _ : state) {
    const double seconds = seconds_of([&] {
      for (int i = 0; i < repeat; ++i) {
        run();
        benchmark::ClobberMemory();
      }
    });
    best = std::min(best, seconds / repeat);
  }
  peak = std::max(peak, measured_peak());
  using benchmark::Counter;
  state.counters["best"] = Counter(flops / best);
  state.counters["peak"] = Counter(peak);
  state.counters["of_peak"] = Counter(flops / best / peak);
  state.SetBytesProcessed(static_cast<int64_t>(bytes * repeat * static_cast<double>(state.iterations())));
}

/// c = a b with m rows of A; K a row, N columns.
template <int K, int N>
void product(benchmark::State& state) {
  const int m = static_cast<int>(state.range(0));
  Floats a = numbers(static_cast<size_t>(m) * K, 1), b = numbers(static_cast<size_t>(K) * N, 2);
  Floats c(static_cast<size_t>(m) * N), packed(kernel::packed_floats(K, N));
  kernel::pack(b.data(), N, 1, K, N, packed.data());
  measure_product(state, 2.0 * m * K * N, 4.0 * (K * N + m * (K + N)),
                  [&] { kernel::product<N, K, false>(m, a.data(), K, packed.data(), c.data(), N); });
}

/// c += transpose(a) b: m columns of A, k rows of both, N columns of B; `pad` floats between rows of A.
template <int N, int kPad>
void product_t(benchmark::State& state) {
  const int m = static_cast<int>(state.range(0)), k = static_cast<int>(state.range(1));
  const long a_k = m + kPad;
  Floats a = numbers(static_cast<size_t>(k * a_k), 1), b = numbers(static_cast<size_t>(k) * N, 2);
  Floats c(static_cast<size_t>(m) * N), packed(kernel::packed_floats(k, N));
  kernel::pack(b.data(), N, 1, k, N, packed.data());
  measure_product(state, 2.0 * m * k * N, 4.0 * (k * N + m * (k + 2 * N)),
                  [&] { kernel::product_t<N, true>(m, k, a.data(), a_k, packed.data(), c.data(), N); });
}

/// The same products with operands in bf16; `of_peak` is of the float32 peak.
template <int K, int N>
void product_bf16(benchmark::State& state) {
  const kernel::Tiles tiles;
  const int m = static_cast<int>(state.range(0));
  Floats a = numbers(static_cast<size_t>(m) * K, 1), b = numbers(static_cast<size_t>(K) * N, 2);
  Floats c(static_cast<size_t>(m) * N), packed(kernel::packed_bf16(K, N));
  kernel::pack_bf16(b.data(), N, 1, K, N, packed.data());
  measure_product(state, 2.0 * m * K * N, 2.0 * (K * N + 2 * m * (K + N)),
                  [&] { kernel::product_bf16<N, K, false>(m, a.data(), K, packed.data(), c.data(), N); });
}

template <int N, int kPad>
void product_t_bf16(benchmark::State& state) {
  const kernel::Tiles tiles;
  const int m = static_cast<int>(state.range(0)), k = static_cast<int>(state.range(1));
  const long a_k = m + kPad;
  Floats a = numbers(static_cast<size_t>(k * a_k), 1), b = numbers(static_cast<size_t>(k) * N, 2);
  Floats c(static_cast<size_t>(m) * N), packed(kernel::packed_bf16(k, N));
  kernel::pack_bf16(b.data(), N, 1, k, N, packed.data());
  measure_product(state, 2.0 * m * k * N, 2.0 * (k * N + 2 * m * (k + 2 * N)),
                  [&] { kernel::product_t_bf16<N, true>(m, k, a.data(), a_k, packed.data(), c.data(), N); });
}

void pack_bf16(benchmark::State& state) {
  const int K = static_cast<int>(state.range(0)), N = static_cast<int>(state.range(1));
  const bool transposed = state.range(2) != 0;
  Floats b = numbers(static_cast<size_t>(K) * N, 2);
  Floats packed(kernel::packed_bf16(K, N));
  for (auto _ : state) {
    kernel::pack_bf16(b.data(), transposed ? 1 : N, transposed ? K : 1, K, N, packed.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 6 * K * N);
}

void pack(benchmark::State& state) {
  const int K = static_cast<int>(state.range(0)), N = static_cast<int>(state.range(1));
  const bool transposed = state.range(2) != 0;
  Floats b = numbers(static_cast<size_t>(K) * N, 2);
  Floats packed(kernel::packed_floats(K, N));
  for (auto _ : state) {
    kernel::pack(b.data(), transposed ? 1 : N, transposed ? K : 1, K, N, packed.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 8 * K * N);
}

/// One function over 4096 floats in the first cache.
template <class F>
void function(benchmark::State& state, F f) {
  constexpr int kCount = 4096;
  Floats x = numbers(kCount, 3), y(kCount);
  float *from = x.data(), *to = y.data();
  for (int i = 0; i < kCount; ++i) from[i] = 4.0f * from[i] + 4.5f;  // positive: pow and log are defined
  benchmark::DoNotOptimize(from);
  benchmark::DoNotOptimize(to);
  for (auto _ : state) {
    kernel::for_lanes<kCount>([&]<class V>(int i) __attribute__((always_inline)) { kernel::store(to + i, f(kernel::load<V>(from + i))); });
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kCount);
  state.SetBytesProcessed(state.iterations() * kCount * 8);
}

void fma_peak(benchmark::State& state) {
  double peak = 0;
  for (auto _ : state) peak = std::max(peak, measured_peak());
  state.counters["best"] = benchmark::Counter(peak);
}

/// Sum of an array: what one core reads from caches and memory.
void read_bandwidth(benchmark::State& state) {
  const size_t n = static_cast<size_t>(state.range(0)) / sizeof(float);
  Floats x = numbers(n, 4);
  for (auto _ : state) benchmark::DoNotOptimize(kernel::read_sum(x.data(), static_cast<long>(n)));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(n * sizeof(float)));
}

#define FUNCTION(f)  \
  BENCHMARK_CAPTURE( \
      function, f, [](auto x) __attribute__((always_inline)) { return kernel::f(x); })

BENCHMARK(fma_peak);
BENCHMARK(read_bandwidth)->Arg(16 << 10)->Arg(256 << 10)->Arg(4 << 20)->Arg(128 << 20);
// A block with d = 256, k = 64, ff = 128, then the output layer of 4096 words, on tiles of rows; and one row (decoding).
BENCHMARK(product<256, 192>)->Arg(64)->Arg(32)->Arg(128)->Arg(1);
BENCHMARK(product<64, 256>)->Arg(64)->Arg(32)->Arg(1);
BENCHMARK(product<256, 128>)->Arg(64)->Arg(32)->Arg(1);
BENCHMARK(product<128, 256>)->Arg(64)->Arg(32)->Arg(1);
BENCHMARK(product<256, 4096>)->Arg(128)->Arg(32)->Arg(1);
BENCHMARK(product<4096, 256>)->Arg(128)->Arg(32);
BENCHMARK(product<100, 100>)->Arg(33);
// Weight gradients.
BENCHMARK(product_t<256, 0>)->Args({192, 256})->Args({128, 256})->Args({256, 256})->Args({64, 256})->Args({256, 64});
BENCHMARK(product_t<192, 0>)->Args({256, 256});
BENCHMARK(product_t<256, 16>)->Args({4096, 128})->Args({4096, 256});
BENCHMARK(product_bf16<256, 192>)->Arg(64)->Arg(32)->Arg(1);
BENCHMARK(product_bf16<64, 256>)->Arg(64)->Arg(32)->Arg(1);
BENCHMARK(product_bf16<128, 256>)->Arg(64)->Arg(32)->Arg(1);
BENCHMARK(product_bf16<256, 4096>)->Arg(128)->Arg(32)->Arg(1);
BENCHMARK(product_bf16<4096, 256>)->Arg(128)->Arg(32);
BENCHMARK(product_t_bf16<256, 0>)->Args({192, 256})->Args({128, 256})->Args({256, 64});
BENCHMARK(product_t_bf16<256, 16>)->Args({4096, 128})->Args({4096, 256});
BENCHMARK(pack_bf16)->Args({256, 4096, 0})->Args({256, 4096, 1})->Args({128, 256, 0});
BENCHMARK(pack)->Args({256, 4096, 0})->Args({256, 4096, 1})->Args({128, 256, 0})->Args({128, 256, 1});
FUNCTION(exp);
FUNCTION(log);
FUNCTION(sqrt);
FUNCTION(tanh);
FUNCTION(sigmoid);
FUNCTION(erf);
FUNCTION(softplus);
FUNCTION(relu);
FUNCTION(sin);
FUNCTION(cos);
FUNCTION(round);
BENCHMARK_CAPTURE(
    function, pow_1_7, [](auto x) __attribute__((always_inline)) { return kernel::pow(x, kernel::splat<decltype(x)>(1.7f)); });

}  // namespace

int main(int argc, char** argv) {
  cpuflow::ir::host_target();  // asks the operating system for tiles
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
