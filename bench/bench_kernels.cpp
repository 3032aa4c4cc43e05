// Speed of the kernel prelude on this machine: products beside the measured peak of multiply-adds, functions in elements a second.
//
// Every product measures the peak before and after itself and reports the fastest of its runs, the better of the two peaks, and their
// quotient: on a shared machine the clock and the neighbours change from minute to minute.
#include "codegen/prelude/kernel_prelude.h"
#include "codegen/prelude/products.h"
#include "codegen/prelude/bf16.h"
#include "codegen/prelude/tiles.h"
#include "codegen/prelude/bf16_products.h"

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

// What differs between operands of float32 and of bf16.
struct Fp32 {
  static constexpr double kBytes = 4;
  static long packed(int K, int N) { return kernel::packed_floats(K, N); }
  static void pack(const float* b, long stride_k, long stride_n, int K, int N, float* out) { kernel::pack(b, stride_k, stride_n, K, N, out); }
  template <int N, int K>
  static void product(int m, const float* a, const float* b, float* c) {
    kernel::product<N, K, false>(m, a, K, b, c, N);
  }
  template <int N>
  static void product_t(int m, int k, const float* a, long a_k, const float* b, float* c) {
    kernel::product_t<N, true>(m, k, a, a_k, b, c, N);
  }
};

struct Bf16 {
  static constexpr double kBytes = 2;
  static long packed(int K, int N) { return kernel::packed_bf16(K, N); }
  static void pack(const float* b, long stride_k, long stride_n, int K, int N, float* out) { kernel::pack_bf16(b, stride_k, stride_n, K, N, out); }
  template <int N, int K>
  static void product(int m, const float* a, const float* b, float* c) {
    kernel::product_bf16<N, K, false>(m, a, K, b, c, N);
  }
  template <int N>
  static void product_t(int m, int k, const float* a, long a_k, const float* b, float* c) {
    kernel::product_t_bf16<N, true>(m, k, a, a_k, b, c, N);
  }
};

/// c = a b with m rows of A; K a row, N columns.  `of_peak` is of the float32 peak, whatever the operands are.
template <int K, int N, class Operands = Fp32>
void product(benchmark::State& state) {
  const kernel::Tiles tiles;
  const int m = static_cast<int>(state.range(0));
  Floats a = numbers(static_cast<size_t>(m) * K, 1), b = numbers(static_cast<size_t>(K) * N, 2);
  Floats c(static_cast<size_t>(m) * N), packed(Operands::packed(K, N));
  Operands::pack(b.data(), N, 1, K, N, packed.data());
  measure_product(state, 2.0 * m * K * N, Operands::kBytes * K * N + 4.0 * m * (K + N),
                  [&] { Operands::template product<N, K>(m, a.data(), packed.data(), c.data()); });
}

/// c += transpose(a) b: m columns of A, k rows of both, N columns of B; `pad` floats between rows of A.
template <int N, int kPad, class Operands = Fp32>
void product_t(benchmark::State& state) {
  const kernel::Tiles tiles;
  const int m = static_cast<int>(state.range(0)), k = static_cast<int>(state.range(1));
  const long a_k = m + kPad;
  Floats a = numbers(static_cast<size_t>(k * a_k), 1), b = numbers(static_cast<size_t>(k) * N, 2);
  Floats c(static_cast<size_t>(m) * N), packed(Operands::packed(k, N));
  Operands::pack(b.data(), N, 1, k, N, packed.data());
  measure_product(state, 2.0 * m * k * N, Operands::kBytes * k * N + 4.0 * m * (k + 2 * N),
                  [&] { Operands::template product_t<N>(m, k, a.data(), a_k, packed.data(), c.data()); });
}

template <class Operands>
void pack(benchmark::State& state) {
  const int K = static_cast<int>(state.range(0)), N = static_cast<int>(state.range(1));
  const bool transposed = state.range(2) != 0;
  Floats b = numbers(static_cast<size_t>(K) * N, 2);
  Floats packed(Operands::packed(K, N));
  for (auto _ : state) {
    Operands::pack(b.data(), transposed ? 1 : N, transposed ? K : 1, K, N, packed.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(4 + Operands::kBytes) * K * N);
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
BENCHMARK(product<256, 192, Bf16>)->Arg(64)->Arg(32)->Arg(1);
BENCHMARK(product<64, 256, Bf16>)->Arg(64)->Arg(32)->Arg(1);
BENCHMARK(product<128, 256, Bf16>)->Arg(64)->Arg(32)->Arg(1);
BENCHMARK(product<256, 4096, Bf16>)->Arg(128)->Arg(32)->Arg(1);
BENCHMARK(product<4096, 256, Bf16>)->Arg(128)->Arg(32);
BENCHMARK(product_t<256, 0, Bf16>)->Args({192, 256})->Args({128, 256})->Args({256, 64});
BENCHMARK(product_t<256, 16, Bf16>)->Args({4096, 128})->Args({4096, 256});
BENCHMARK(pack<Bf16>)->Args({256, 4096, 0})->Args({256, 4096, 1})->Args({128, 256, 0});
BENCHMARK(pack<Fp32>)->Args({256, 4096, 0})->Args({256, 4096, 1})->Args({128, 256, 0})->Args({128, 256, 1});
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
