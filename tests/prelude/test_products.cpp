// Products with packed matrices against double precision: every kind of tail, and no access outside.
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "ir/cpu_target.h"
#include "ir/loops.h"
#include "tests/catch.h"
#include "tests/prelude/target.h"

using namespace prelude_test;

namespace {

struct Random {
  uint64_t state = 88172645463325252ull;
  float operator()() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
  }
};

std::vector<float> random_floats(size_t n, Random& random) {
  std::vector<float> out(n);
  for (float& x : out) x = random();
  return out;
}

template <class F>
void for_targets(F f) {
  for (const Target* t : {&portable, &avx2, &avx512, &avx512bf16, &amx, &amx_emulated}) {
    if (cpuflow::ir::runs_here(cpuflow::ir::target_by_name(t->name)))
      f(*t);
    else
      WARN("skipped: this machine does not run the target " << t->name);
  }
}

/// Numbers that end where a page begins that cannot be read.
template <class T>
class Guarded {
 public:
  explicit Guarded(const std::vector<T>& values) : bytes_(values.size() * sizeof(T)) {
    const size_t whole = (bytes_ + kPage - 1) / kPage * kPage;
    map_ = mmap(nullptr, whole + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(map_ != MAP_FAILED);
    REQUIRE(mprotect(static_cast<char*>(map_) + whole, kPage, PROT_NONE) == 0);
    mapped_ = whole + kPage;
    data_ = reinterpret_cast<T*>(static_cast<char*>(map_) + whole - bytes_);
    std::memcpy(data_, values.data(), bytes_);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(map_, mapped_); }
  T* data() const { return data_; }

 private:
  static constexpr size_t kPage = 65536;  // a multiple of every page size
  size_t bytes_, mapped_ = 0;
  void* map_ = nullptr;
  T* data_ = nullptr;
};

/// x as bf16: the upper half of its bits, to nearest, halves to even.
float rounded_to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// What a product takes: floats as they are, floats that it rounds to bf16, or bf16.
enum class Operands { Floats, Rounded, Stored };
constexpr Operands kOperands[] = {Operands::Floats, Operands::Rounded, Operands::Stored};

const Products& products_of(const Target& target, Operands operands) {
  return operands == Operands::Floats ? target.fp32 : operands == Operands::Rounded ? target.bf16 : target.stored_bf16;
}

/// One product of m x K with K x N; `transposed`: A is stored K x m.  A and the packed B end before a page that cannot be read; what lies
/// between the rows of A is no number.
struct Problem {
  int m, N, K;
  bool transposed;
  Operands operands;
  long a_row, c_row;
  std::vector<float> a, b, c;

  Problem(int m_, int N_, int K_, bool transposed_, Random& random, Operands operands_ = Operands::Floats)
      : m(m_), N(N_), K(K_), transposed(transposed_), operands(operands_) {
    const int rows = transposed ? K : m, columns = transposed ? m : K;
    a_row = columns + (operands == Operands::Stored ? 4 : 3);  // rows of bf16 that begin at whole units are multiplied where they lie
    if ((m + N + K) % 2 == 0) a_row += 600;  // rows far from each other are copied
    c_row = N + 5;
    a = random_floats((rows - 1) * a_row + columns, random);
    for (size_t i = 0; i < a.size(); ++i) {
      if (static_cast<long>(i) % a_row >= columns) a[i] = NAN;
    }
    b = random_floats(static_cast<size_t>(K) * N, random);
    c = random_floats((m - 1) * c_row + N, random);
  }

  float operand(float x) const { return operands == Operands::Floats ? x : rounded_to_bf16(x); }
  float a_at(int i, int k) const { return operand(transposed ? a[k * a_row + i] : a[i * a_row + k]); }
  float b_at(int k, int n) const { return operand(b[static_cast<size_t>(k) * N + n]); }

  std::vector<float> packed(const Target& target) const {
    const Products& packing = operands == Operands::Floats ? target.fp32 : target.bf16;
    std::vector<float> out(packing.packed(K, N));
    packing.pack(b.data(), N, 1, K, N, out.data());
    return out;
  }

  /// multiply(a, b, out): of the operands in memory.
  template <class Multiply>
  std::vector<float> run_with(const Target& target, const Multiply& multiply) const {
    std::vector<float> out = c;
    std::vector<uint16_t> halves(a.size());
    target.round(target.lanes, a.data(), static_cast<long>(a.size()), halves.data());
    const Guarded floats(a), panels(packed(target));
    const Guarded stored(halves);
    multiply(operands == Operands::Stored ? static_cast<const void*>(stored.data()) : floats.data(), panels.data(), out.data());
    return out;
  }

  std::vector<float> run(const Target& target, bool add) const {
    const Products& products = products_of(target, operands);
    return run_with(target, [&](const void* left, const float* panels, float* out) {
      (transposed ? products.multiply_transposed : products.multiply)(m, N, K, add, left, a_row, panels, out, c_row);
    });
  }

  /// Largest error over what the sum of absolute values allows; infinite if something outside of the result was written.
  double error(const std::vector<float>& out, bool add) const {
    double worst = 0;
    for (int i = 0; i < m; ++i) {
      for (int n = 0; n < c_row; ++n) {
        const size_t at = i * c_row + n;
        if (at >= out.size()) break;
        if (n >= N) {
          if (out[at] != c[at]) return INFINITY;
          continue;
        }
        double sum = add ? c[at] : 0, size = std::fabs(sum);
        for (int k = 0; k < K; ++k) {
          const double term = static_cast<double>(a_at(i, k)) * b_at(k, n);
          sum += term;
          size += std::fabs(term);
        }
        worst = std::max(worst, std::fabs(out[at] - sum) / (size + 1e-30));
      }
    }
    return worst;
  }
};

constexpr double kTolerance = 4e-6;  // of the sum of absolute values; the order is one chain of at most 256 and a few more

/// Packs a K x N matrix from memory of several orders, whole and in parts, and compares with panels written number by number.
void check_packing(const Target& target, Operands operands, int K, int N, Random& random) {
  const Products& products = products_of(target, operands);
  const bool bf16 = operands != Operands::Floats;
  const std::vector<float> b = random_floats(static_cast<size_t>(K) * N, random);
  const int units = bf16 ? (K + 31) / 32 * 16 : K;  // whole tiles of pairs
  std::vector<float> want(products.packed(K, N)), transposed(b.size()), spread(2 * b.size()), out(want.size());
  INFO(target.name << " K " << K << " N " << N << " operands " << static_cast<int>(operands));
  REQUIRE(want.size() == static_cast<size_t>((N + target.panel - 1) / target.panel * target.panel * units));
  for (int k = 0; k < K; ++k) {
    for (int n = 0; n < N; ++n) {
      const float x = b[k * N + n], rounded = rounded_to_bf16(x);
      float& unit = want[n / target.panel * target.panel * units + (bf16 ? k / 2 : k) * target.panel + n % target.panel];
      if (bf16) std::memcpy(reinterpret_cast<char*>(&unit) + 2 * (k % 2), reinterpret_cast<const char*>(&rounded) + 2, 2);
      else unit = x;
      transposed[n * K + k] = x;
      spread[2 * (k * N + n)] = x;
    }
  }
  auto same = [&] { return std::memcmp(out.data(), want.data(), out.size() * sizeof(float)) == 0; };
  std::vector<uint16_t> halves;
  auto source = [&](const std::vector<float>& src) -> const void* {
    if (operands != Operands::Stored) return src.data();
    halves.resize(src.size());
    target.round(target.lanes, src.data(), static_cast<long>(src.size()), halves.data());
    return halves.data();
  };
  auto packs = [&](const std::vector<float>& src, long stride_k, long stride_n) {
    std::fill(out.begin(), out.end(), NAN);
    products.pack(source(src), stride_k, stride_n, K, N, out.data());
    return same();
  };
  CHECK(packs(b, N, 1));
  CHECK(packs(transposed, 1, K));
  CHECK(packs(spread, 2 * N, 2));
  auto in_parts = [&](auto pack_part, int count) {
    std::fill(out.begin(), out.end(), 0.0f);
    for (int first = 0, last = 1; first < count; first = last, last = std::min(count, 2 * last + 1)) pack_part(first, last);
    return same();
  };
  CHECK(in_parts([&](int first, int last) { products.pack_columns(source(transposed), 1, K, K, first, last, out.data()); }, N));
  CHECK(in_parts([&](int first, int last) { products.pack_rows(source(b), N, 1, K, N, first, last, out.data()); }, K));
}

}  // namespace

TEST_CASE("packed matrices have the size that programs plan for them") {
  for_targets([](const Target& target) {
    cpuflow::ir::LoopProgram program;
    program.panel = target.panel;
    for (int K : {1, 2, 16, 31, 32, 33, 64, 90, 257}) {
      for (int N : {1, 7, 8, 16, 31, 32, 33, 192, 700}) {
        INFO(target.name << ", " << K << " x " << N);
        CHECK(target.fp32.packed(K, N) == cpuflow::ir::panel_floats(program, K, N, false));
        CHECK(target.bf16.packed(K, N) == cpuflow::ir::panel_floats(program, K, N, true));
      }
    }
  });
}

TEST_CASE("packing lays out panels, for every stride") {
  Random random;
  for_targets([&](const Target& target) {
    for (int K : {1, 3, 8, 16, 33}) {
      for (int N : {1, 7, 16, 31, 32, 33, 70}) check_packing(target, Operands::Floats, K, N, random);
    }
  });
}

TEST_CASE("packing in units of two bf16, for every stride") {
  Random random;
  for_targets([&](const Target& target) {
    for (int K : {1, 3, 8, 33, 64, 97}) {
      for (int N : {1, 16, 31, 32, 70}) {
        check_packing(target, Operands::Rounded, K, N, random);
        check_packing(target, Operands::Stored, K, N, random);
      }
    }
  });
}

TEST_CASE("products of all shapes") {
  Random random;
  for_targets([&](const Target& target) {
    for (int m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 17, 32, 98}) {
      for (int N : {1, 8, 15, 16, 17, 32, 33, 65, 100, 129}) {
        for (int K : {1, 2, 5, 64, 255, 257, 520}) {
          for (const Operands operands : kOperands) {
            for (bool transposed : {false, true}) {
              const Problem p(m, N, K, transposed, random, operands);
              for (bool add : {false, true}) {
                const double e = p.error(p.run(target, add), add);
                if (!(e < kTolerance)) {
                  FAIL_CHECK(target.name << " m " << m << " N " << N << " K " << K << " add " << add << " transposed " << transposed << " operands "
                                         << static_cast<int>(operands) << ": " << e);
                }
              }
            }
          }
        }
      }
    }
  });
}

TEST_CASE("products of many rows") {
  Random random;
  for_targets([&](const Target& target) {
    for (const Operands operands : kOperands) {
      for (int m : {128, 193, 519}) {
        for (int K : {300, 1088, 1100}) {
          for (bool transposed : {false, true}) {
            const Problem p(m, 48, K, transposed, random, operands);
            CHECK(p.error(p.run(target, true), true) < kTolerance);
          }
        }
      }
    }
  });
}

TEST_CASE("products of many columns") {
  Random random;
  for_targets([&](const Target& target) {
    const Problem p(64, 4200, 1088, false, random, Operands::Stored);  // a result that the second cache does not keep
    CHECK(p.error(p.run(target, true), true) < kTolerance);
  });
}

TEST_CASE("a row's bits do not depend on the rows beside it") {
  Random random;
  for_targets([&](const Target& target) {
    for (const Operands operands : {Operands::Floats, Operands::Rounded}) {
      for (int N : {24, 100, 256}) {
        for (int K : {64, 300, 1100}) {
          const Problem p(97, N, K, false, random, operands);
          const std::vector<float> whole = p.run(target, true), panels = p.packed(target);
          for (int rows : {1, 2, 3, 5, 32}) {
            std::vector<float> out = p.c;
            for (int i = 0; i < p.m; i += rows) {
              products_of(target, operands).multiply(std::min(rows, p.m - i), N, K, true, p.a.data() + i * p.a_row, p.a_row, panels.data(), out.data() + i * p.c_row, p.c_row);
            }
            INFO(target.name << " N " << N << " K " << K << ", " << rows << " rows a call, operands " << static_cast<int>(operands));
            CHECK(std::memcmp(out.data(), whole.data(), out.size() * sizeof(float)) == 0);
          }
        }
      }
    }
  });
}

TEST_CASE("a product has the same bits for one stream and several, whoever shares its columns; panels, whoever packs them") {
  Random random;
  for_targets([&](const Target& target) {
    for (const bool bf16 : {false, true}) {
      const Products& products = bf16 ? target.bf16 : target.fp32;
      const int N = 700, K = 90, m = 7;
      const std::vector<float> a = random_floats(static_cast<size_t>(m * K), random), b = random_floats(static_cast<size_t>(K * N), random), c = random_floats(static_cast<size_t>(m * N), random);
      std::vector<float> panels(static_cast<size_t>(products.packed(K, N)));
      products.pack(b.data(), N, 1, K, N, panels.data());
      for (const int parts : {0, 1, 2, 3, 5, 16}) {
        std::vector<float> together(panels.size(), -1.0f);
        target.pack_700_90(bf16, parts, b.data(), N, 1, together.data());
        INFO(target.name << (bf16 ? " bf16, " : ", ") << parts << " parts");
        CHECK(std::memcmp(together.data(), panels.data(), panels.size() * sizeof(float)) == 0);
      }
      std::vector<float> alone = c;
      for (int i = 0; i < m; ++i) target.product_of_streams_700_90(bf16, 1, false, 1, a.data() + i * K, K, panels.data(), alone.data() + i * N, N);
      for (const int rows : {1, 2, 3, 4, 7}) {
        for (const int parts : {1, 2, 3, 5, 16}) {
          for (const bool backwards : {false, true}) {
            std::vector<float> out = c;
            for (int i = 0; i < m; i += rows) target.product_of_streams_700_90(bf16, parts, backwards, std::min(rows, m - i), a.data() + i * K, K, panels.data(), out.data() + i * N, N);
            INFO(target.name << (bf16 ? " bf16, " : ", ") << rows << " rows, " << parts << " parts, backwards " << backwards);
            CHECK(std::memcmp(out.data(), alone.data(), out.size() * sizeof(float)) == 0);
          }
        }
      }
      double first = 0;
      for (int k = 0; k < K; ++k) first += static_cast<double>(a[static_cast<size_t>(k)]) * b[static_cast<size_t>(k * N)];
      CHECK(std::abs(alone[0] - c[0] - first) < (bf16 ? 0.1 : 1e-4));
    }
  });
}

TEST_CASE("bf16: vectors, parts of them and scalars round alike, and write nothing behind what they keep") {
  Random random;
  std::vector<float> x = random_floats(64, random);
  const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1.00390625f, 1.01171875f, 3.3895314e38f, 1e30f, 1e-38f, 1e-41f};
  std::copy(std::begin(special), std::end(special), x.begin());
  for_targets([&](const Target& target) {
    std::vector<uint16_t> alone(x.size());
    target.round(1, x.data(), static_cast<long>(x.size()), alone.data());
    for (int width = target.lanes; width >= 4; width /= 2) {
      INFO(target.name << ", " << width << " lanes");
      std::vector<uint16_t> halves(x.size());
      target.round(width, x.data(), static_cast<long>(x.size()), halves.data());
      CHECK(halves == alone);
      const Guarded<uint16_t> last{std::vector<uint16_t>(static_cast<size_t>(width))};
      target.round(width, x.data(), width, last.data());
      CHECK(std::equal(last.data(), last.data() + width, alone.begin()));
      std::vector<float> wide(width);
      target.widen(width, last.data(), width, wide.data());
      for (int i = 0; i < width; ++i) CHECK((std::isnan(x[i]) ? std::isnan(wide[i]) : wide[i] == x[i] || std::abs(wide[i] - x[i]) <= std::abs(x[i]) / 256 + 1e-37f));
    }
  });
}

TEST_CASE("bf16: halves go to even, and what is no number stays none") {
  // 1 x 1 products by 1 give the rounded number back
  const float values[] = {1.0f, 1.00390625f, 1.01171875f, -1.00390625f, 3.3895314e38f, 1e-20f, 0.0f, INFINITY, -INFINITY};
  const float rounded[] = {1.0f, 1.0f, 1.015625f, -1.0f, 3.3895314e38f, rounded_to_bf16(1e-20f), 0.0f, INFINITY, -INFINITY};
  for_targets([&](const Target& target) {
    const float one = 1;
    std::vector<float> panels(target.bf16.packed(1, 1));
    target.bf16.pack(&one, 1, 1, 1, 1, panels.data());
    for (int m : {1, 9}) {  // on some targets by vectors, and by tiles
      auto times_one = [&](float x) {
        const std::vector<float> a(static_cast<size_t>(m), x);
        std::vector<float> c(static_cast<size_t>(m));
        target.bf16.multiply(m, 1, 1, false, a.data(), 1, panels.data(), c.data(), 1);
        return c.back();
      };
      INFO(target.name << " m " << m);
      for (size_t i = 0; i < std::size(values); ++i) CHECK(times_one(values[i]) == rounded[i]);
      CHECK(std::isnan(times_one(NAN)));
    }
  });
}

TEST_CASE("emulated tiles give the bits that tiles give") {
  for (const Target* t : {&amx, &amx_emulated}) {
    if (cpuflow::ir::runs_here(cpuflow::ir::target_by_name(t->name))) continue;
    WARN("skipped: this machine does not run the target " << t->name);
    return;
  }
  Random random;
  for (Operands operands : {Operands::Rounded, Operands::Stored}) {
    for (bool transposed : {false, true}) {
      for (int m : {1, 40}) {
        const Problem problem(m, 70, 300, transposed, random, operands);
        const std::vector<float> tiles = problem.run(amx, true), emulated = problem.run(amx_emulated, true);
        CHECK(std::memcmp(tiles.data(), emulated.data(), tiles.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("products that are used block by block: each number is given once") {
  Random random;
  for_targets([&](const Target& target) {
    for (const Operands operands : kOperands) {
      for (const int m : {1, 3, 16, 31, 32, 33, 128, 150, 290}) {
        const Products& products = products_of(target, operands);
        const Problem odd(m, 70, 100, false, random, operands), whole(m, 96, 320, false, random, operands);
        INFO(target.name << " operands " << static_cast<int>(operands) << " m " << m);
        CHECK(odd.error(odd.run_with(target, [&](const void* a, const float* b, float* c) { products.in_blocks_70_100(m, a, odd.a_row, b, c, odd.c_row); }), true) < kTolerance);
        CHECK(whole.error(whole.run_with(target, [&](const void* a, const float* b, float* c) { products.in_blocks_96_320(m, a, whole.a_row, b, c, whole.c_row); }), true) < kTolerance);
      }
    }
  });
}

TEST_CASE("several products that are added in one pass") {
  Random random;
  for_targets([&](const Target& target) {
    for (const Operands operands : kOperands) {
      for (const int m : {1, 16, 33, 128, 150}) {
        INFO(target.name << " operands " << static_cast<int>(operands) << " m " << m);
        const Problem terms[] = {{m, 70, 100, true, random, operands}, {m, 70, 12, true, random, operands}, {m, 70, 700, true, random, operands}};
        std::vector<std::vector<float>> panels;
        std::vector<std::vector<uint16_t>> halves;
        const void* a[3];
        const float* b[3];
        long a_k[3];
        for (const Problem& p : terms) {
          panels.push_back(p.packed(target));
          halves.emplace_back(p.a.size());
          target.round(target.lanes, p.a.data(), static_cast<long>(p.a.size()), halves.back().data());
        }
        for (int i = 0; i < 3; ++i) {
          a[i] = operands == Operands::Stored ? static_cast<const void*>(halves[static_cast<size_t>(i)].data()) : terms[i].a.data();
          a_k[i] = terms[i].a_row;
          b[i] = panels[static_cast<size_t>(i)].data();
        }
        std::vector<float> out = terms[2].c;
        products_of(target, operands).add_products_70(m, out.data(), terms[2].c_row, a, a_k, b);
        Problem whole = terms[2];  // with what the others add
        for (int row = 0; row < m; ++row) {
          for (int n = 0; n < 70; ++n) {
            double sum = whole.c[static_cast<size_t>(row * whole.c_row + n)];
            for (int i = 0; i < 2; ++i) {
              for (int k = 0; k < terms[i].K; ++k) sum += static_cast<double>(terms[i].a_at(row, k)) * terms[i].b_at(k, n);
            }
            whole.c[static_cast<size_t>(row * whole.c_row + n)] = static_cast<float>(sum);
          }
        }
        CHECK(whole.error(out, true) < kTolerance);
      }
    }
  });
}

TEST_CASE("the templates of generated code") {
  Random random;
  for_targets([&](const Target& target) {
    for (bool add : {false, true}) {
      const Problem p(19, 40, 24, false, random), q(19, 40, 24, true, random);
      std::vector<float> out = p.c, out_t = q.c;
      target.product_40_24(p.m, add, p.a.data(), p.a_row, p.packed(target).data(), out.data(), p.c_row);
      target.product_t_40(q.m, q.K, add, q.a.data(), q.a_row, q.packed(target).data(), out_t.data(), q.c_row);
      CHECK(p.error(out, add) < kTolerance);
      CHECK(q.error(out_t, add) < kTolerance);
    }
  });
}
