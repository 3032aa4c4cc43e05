// Elementwise functions of the kernel prelude against double precision, for every target that runs here.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "ir/cpu_target.h"
#include "ir/op.h"
#include "tests/catch.h"
#include "tests/prelude/target.h"

using namespace prelude_test;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<const Target*> targets() {
  std::vector<const Target*> out;
  for (const Target* t : {&portable, &avx2, &avx512}) {
    if (cpuflow::ir::runs_here(cpuflow::ir::target_by_name(t->name)))
      out.push_back(t);
    else
      WARN("skipped: this machine does not run the target " << t->name);
  }
  return out;
}

/// Vectors of the target, and the parts of one that a loop ends with.
std::vector<int> widths(const Target* target) {
  std::vector<int> out;
  for (int lanes = target->lanes; lanes >= 4; lanes /= 2) out.push_back(lanes);
  return out;
}

/// What the operation means.
double scalar_of(cpuflow::ir::Op op, double a, double b = 0) {
  const double in[] = {a, b};
  return cpuflow::ir::op_def(op).scalar.value(in);
}

uint32_t bits_of(float x) {
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}

float from_bits(uint32_t u) {
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

/// Distance of y from the exact value, in units of the last place of a float of that size.
double ulps(float y, double exact) {
  if (std::isnan(exact)) return std::isnan(y) ? 0 : 1e9;
  if (std::isnan(y)) return 1e9;
  const double largest = std::numeric_limits<float>::max();
  if (std::isinf(y) || std::fabs(exact) > largest)
    return (y > 0) == (exact > 0) && std::fabs(y) >= largest && std::fabs(exact) > largest * (1 - 1e-7) ? 0 : 1e9;
  int exponent;
  std::frexp(exact, &exponent);
  return std::fabs(y - exact) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

/// Floats of every size between the bounds, and an even grid of them; special values first.
std::vector<float> samples(float low, float high) {
  std::vector<float> out = {0.0f,          -0.0f,          kInf, -kInf, kNan, 1e-45f, -1e-45f, 1.17549435e-38f,
                            3.4028235e38f, -3.4028235e38f, 0.5f, 1.5f,  2.5f, -0.5f,  1.0f,    -1.0f};
  std::erase_if(out, [&](float x) { return std::isfinite(x) && (x < low || x > high); });
  for (uint64_t u = 0; u < 0x7f800000; u += 7001) {
    for (float x : {from_bits(static_cast<uint32_t>(u)), -from_bits(static_cast<uint32_t>(u))}) {
      if (x >= low && x <= high) out.push_back(x);
    }
  }
  const double from = std::max(low, -120.0f), to = std::min(high, 120.0f);
  for (int i = 0; i <= 300'000; ++i) out.push_back(static_cast<float>(from + (to - from) * i / 300'000));
  while (out.size() % 16) out.push_back(out.back());
  return out;
}

struct Case {
  double (*exact)(double);
  double bound;  // ulp
  float low = -std::numeric_limits<float>::max(), high = std::numeric_limits<float>::max();
};

const std::map<std::string, Case>& cases() {
  static const std::map<std::string, Case> out = {
      {"exp", {[](double x) { return std::exp(x); }, 1.1}},
      {"exp_for_bf16", {[](double x) { return std::exp(x); }, 128}},  // 2^-17
      {"log", {[](double x) { return std::log(x); }, 1.0}},
      {"sqrt", {[](double x) { return std::sqrt(x); }, 0.5}},
      {"tanh", {[](double x) { return std::tanh(x); }, 1.6}},
      {"sigmoid", {[](double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }, 2.3}},
      {"erf", {[](double x) { return std::erf(x); }, 1.5}},
      {"softplus", {[](double x) { return x > 40 ? x : std::log1p(std::exp(x)); }, 2.8}},
      {"relu", {[](double x) { return scalar_of(cpuflow::ir::Op::Relu, x); }, 0}},
      {"abs", {[](double x) { return std::fabs(x); }, 0}},
      {"sin", {[](double x) { return std::sin(x); }, 1.0, -1e6f, 1e6f}},
      {"cos", {[](double x) { return std::cos(x); }, 1.0, -1e6f, 1e6f}},
      {"round", {[](double x) { return std::nearbyint(x); }, 0}},
      {"floor", {[](double x) { return std::floor(x); }, 0, -8e6f, 8e6f}},
      {"ceil", {[](double x) { return std::ceil(x); }, 0, -8e6f, 8e6f}},
      {"toint", {[](double x) { return std::trunc(x); }, 0, -8e6f, 8e6f}},
      {"cube", {[](double x) { return x * x * x; }, 1.5, -1e12f, 1e12f}},
      {"inverse_square", {[](double x) { return 1 / (x * x); }, 2.0, 1e-18f, 1e18f}},
  };
  return out;
}

size_t different(const std::vector<float>& x, const std::vector<float>& y) {
  size_t count = 0;
  for (size_t i = 0; i < x.size(); ++i) count += bits_of(x[i]) != bits_of(y[i]) && !(std::isnan(x[i]) && std::isnan(y[i]));
  return count;
}

}  // namespace

TEST_CASE("functions keep their error bounds over the whole range, and lanes and scalars agree") {
  for (const Target* target : targets()) {
    for (size_t f = 0; f < target->function_count; ++f) {
      const Function& function = target->functions[f];
      INFO(target->name << " " << function.name);
      REQUIRE(cases().count(function.name) == 1);
      const Case& c = cases().at(function.name);
      std::vector<float> x = samples(c.low, c.high);
      const bool to_int =
          std::string(function.name) == "floor" || std::string(function.name) == "ceil" || std::string(function.name) == "toint";
      // An integer cannot hold them.
      if (to_int)
        std::replace_if(
            x.begin(), x.end(), [](float v) { return !std::isfinite(v); }, 0.0f);
      std::vector<float> lanes(x.size()), scalars(x.size());
      function.apply(1, x.data(), scalars.data(), x.size());
      double worst = 0;
      float at = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        if (double e = ulps(scalars[i], c.exact(x[i])); e > worst) worst = e, at = x[i];
      }
      INFO("worst at " << at << ": " << worst << " ulp");
      CHECK(worst <= c.bound);
      for (int width : widths(target)) {
        function.apply(width, x.data(), lanes.data(), x.size());
        INFO(width << " lanes");
        CHECK(different(lanes, scalars) == 0);
      }
    }
  }
}

#if defined(__x86_64__)
TEST_CASE("each target is compiled with its own instruction sets") {
  CHECK(portable.lanes == 4);
  CHECK(avx2.lanes == 8);
  CHECK(avx512.lanes == 16);
}
#endif

TEST_CASE("the functions keep the sign of zero, and sin and cos stay within one far away") {
  for (const Target* target : targets()) {
    for (size_t f = 0; f < target->function_count; ++f) {
      const Function& function = target->functions[f];
      const std::string name = function.name;
      INFO(target->name << " " << name);
      float x = -0.0f, y = 0;
      function.apply(1, &x, &y, 1);
      if (name == "tanh" || name == "erf" || name == "round" || name == "sqrt") CHECK(bits_of(y) == bits_of(-0.0f));
      if (name != "sin" && name != "cos") continue;
      for (float far : {1e7f, 1e9f, 1e12f, 3e38f}) {
        function.apply(1, &far, &y, 1);
        CHECK(std::fabs(y) <= 1.0f);
        if (far <= 1e9f) CHECK(std::fabs(y - (name == "sin" ? std::sin(double(far)) : std::cos(double(far)))) < 1e-6);
      }
    }
  }
}

TEST_CASE("binary functions") {
  std::vector<float> values = {0.0f, -0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f,   -0.5f,       3.0f,        -3.0f,
                               0.3f, 1.7f,  kInf, -kInf, kNan, 1e30f, -1e30f, 16777216.0f, 16777217.0f, 1e-40f};
  std::vector<float> x, y;
  for (float a : values) {
    for (float b : values) x.push_back(a), y.push_back(b);
  }
  uint64_t state = 1;
  auto uniform = [&] {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<float>(state >> 40) * 0x1p-23f - 1.0f;
  };
  for (int i = 0; i < 200'000; ++i) {
    x.push_back(std::exp2(uniform() * (i % 3 ? 3 : 140)) * (i % 5 ? 1 : -1));
    y.push_back(i % 2 ? uniform() * (i % 7 ? 20 : 200) : std::trunc(uniform() * 40));
  }
  while (x.size() % 16) x.push_back(1), y.push_back(1);
  for (const Target* target : targets()) {
    for (size_t f = 0; f < target->binary_function_count; ++f) {
      const BinaryFunction& function = target->binary_functions[f];
      const std::string name = function.name;
      INFO(target->name << " " << name);
      std::vector<float> lanes(x.size()), scalars(x.size());
      function.apply(1, x.data(), y.data(), scalars.data(), x.size());
      for (int width : widths(target)) {
        function.apply(width, x.data(), y.data(), lanes.data(), x.size());
        INFO(width << " lanes");
        CHECK(different(lanes, scalars) == 0);
      }
      if (name == "floordiv" || name == "mod") continue;  // of real numbers: models and their interpreter are compared elsewhere
      double worst = 0;
      size_t at = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double exact = name == "pow"   ? std::pow(double(x[i]), double(y[i]))
                             : name == "max" ? scalar_of(cpuflow::ir::Op::Max2, x[i], y[i])
                             : name == "min" ? scalar_of(cpuflow::ir::Op::Min2, x[i], y[i])
                             : name == "both" ? (x[i] < y[i] && (x[i] < 0 || y[i] < 0) ? x[i] : y[i])
                                             : (x[i] < y[i] ? -y[i] : x[i]);
        double e = ulps(lanes[i], exact);
        if (!std::isnan(exact) && std::signbit(exact) != std::signbit(lanes[i])) e = 1e9;
        if (e > worst) worst = e, at = i;
      }
      INFO("worst at " << x[at] << ", " << y[at] << ": " << lanes[at]);
      CHECK(worst <= (name == "pow" ? 1.0 : 0.0));
    }
  }
}

TEST_CASE("integer functions round down like mathematics") {
  std::vector<int32_t> x, y;
  for (int a = -40; a <= 40; ++a) {
    for (int b : {-7, -3, -2, -1, 0, 1, 2, 3, 5, 16}) x.push_back(a), y.push_back(b);
  }
  while (x.size() % 16) x.push_back(5), y.push_back(3);
  for (const Target* target : targets()) {
    for (size_t f = 0; f < target->int_function_count; ++f) {
      const IntFunction& function = target->int_functions[f];
      const std::string name = function.name;
      INFO(target->name << " " << name);
      std::vector<int32_t> lanes(x.size()), scalars(x.size());
      function.apply(1, x.data(), y.data(), scalars.data(), x.size());
      for (int width : widths(target)) {
        function.apply(width, x.data(), y.data(), lanes.data(), x.size());
        CHECK(lanes == scalars);
      }
      for (size_t i = 0; i < x.size(); ++i) {
        const int a = x[i], b = y[i], down = b == 0 ? 0 : static_cast<int>(std::floor(double(a) / b));
        int64_t want = name == "floordiv" ? down
                       : name == "mod"    ? a - down * b
                       : name == "max"    ? std::max(a, b)
                       : name == "min"    ? std::min(a, b)
                       : name == "abs"    ? std::abs(a)
                       : name == "relu"   ? std::max(a, 0)
                       : name == "select" ? (a < b ? b : a)
                                          : 0;
        if (name == "pow") {
          want = b >= 0 || std::abs(a) == 1 ? 1 : 0;
          for (int j = 0; j < std::abs(b) && want != 0; ++j)
            want = static_cast<int32_t>(static_cast<uint32_t>(want) * static_cast<uint32_t>(a));
        }
        if (b == 0 && (name == "floordiv" || name == "mod")) continue;  // any number: what matters is that the process goes on
        if (lanes[i] != want) FAIL_CHECK(a << ", " << b << ": " << lanes[i] << " instead of " << want);
      }
    }
  }
}

TEST_CASE("a quotient that no integer can be does not stop the process") {
  const std::vector<int32_t> x(16, std::numeric_limits<int32_t>::min()), y(16, -1);
  for (const Target* target : targets()) {
    for (size_t f = 0; f < target->int_function_count; ++f) {
      const IntFunction& function = target->int_functions[f];
      const std::string name = function.name;
      if (name != "floordiv" && name != "mod") continue;
      INFO(target->name << " " << name);
      std::vector<int32_t> lanes(x.size()), scalars(x.size());
      function.apply(1, x.data(), y.data(), scalars.data(), x.size());
      for (int width : widths(target)) {
        function.apply(width, x.data(), y.data(), lanes.data(), x.size());
        CHECK(lanes == scalars);
      }
      CHECK(lanes[0] == (name == "mod" ? 0 : x[0]));
    }
  }
}

TEST_CASE("lanes are visited once, and combined as the text says") {
  for (const Target* target : targets()) {
    INFO(target->name);
    const int lanes = target->lanes;
    for (int n : {0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 45, 64}) {
      std::vector<int32_t> began(128), want(128);
      for (int i = 0; i < n;) {
        want[i] = i + lanes <= n ? lanes : 1;
        i += want[i];
      }
      target->for_lanes(n, began.data());
      CHECK(began == want);
    }
    std::vector<int32_t> began(128), want(128);
    for (int i = 0; i < 45; i += want[i]) {
      want[i] = lanes;
      while (i + want[i] > 45) want[i] = want[i] > 4 ? want[i] / 2 : 1;
    }
    target->for_45_lanes(began.data());
    CHECK(began == want);
    std::vector<float> base(3 * lanes);
    std::iota(base.begin(), base.end(), 0.0f);
    for (int width : widths(target)) {
      std::vector<float> x(width), out(width);
      double product = 1;
      for (int i = 0; i < width; ++i) x[i] = static_cast<float>((i * 5) % width + 1), product *= x[i];
      const Reductions r = target->reductions(width, x.data());
      CHECK(r.sum == width * (width + 1) / 2.0f);
      CHECK(r.product == Approx(product));
      CHECK(r.largest == width);
      CHECK(r.smallest == 1);
      std::vector<int32_t> index(width);
      for (int i = 0; i < width; ++i) index[i] = width - i;
      target->gather(width, base.data(), index.data(), out.data());
      CHECK(out == std::vector<float>(width, static_cast<float>(width)));
    }
    for (int place = 0; place < 45; ++place) {  // wherever it stands, each number counts
      std::vector<float> x(45, 1.0f);
      x[place] = 3;
      const Reductions more = target->reductions_of_45(x.data());
      x[place] = -3;
      const Reductions less = target->reductions_of_45(x.data());
      CHECK((more.sum == 47 && more.product == 3 && more.largest == 3 && more.smallest == 1));
      CHECK((less.sum == 41 && less.product == -3 && less.largest == 1 && less.smallest == -3));
    }
    CHECK(std::isfinite(target->fma_peak(1000)));
    CHECK(target->read_sum(base.data(), static_cast<long>(base.size())) == Approx(base.size() * (base.size() - 1) / 2.0));
  }
}

TEST_CASE("the k largest, ties to the lowest index") {
  std::mt19937 random(11);
  for (const Target* target : targets()) {
    for (int n : {1, 7, 40, 200, 512, 1000, 5000}) {
      for (int k : {1, 3, 8, 20, 40, n}) {
        if (k > n || (k == n && n > 512)) continue;
        for (long stride : {1L, 3L}) {
          for (uint32_t values : {40u, 1'000'000u}) {
            std::vector<float> x(static_cast<size_t>(n * stride));
            for (float& v : x) v = random() % 5 == 0 ? -kInf : static_cast<float>(random() % values);  // of few values many are equal
            std::vector<int> order(static_cast<size_t>(n));
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return x[static_cast<size_t>(a * stride)] > x[static_cast<size_t>(b * stride)]; });
            std::vector<float> expected(static_cast<size_t>(n)), mask(static_cast<size_t>(n), 7.0f);
            for (int i = 0; i < k; ++i) expected[static_cast<size_t>(order[static_cast<size_t>(i)])] = 1;
            target->topk_mask(x.data(), stride, n, k, mask.data(), 1);
            INFO(target->name << " n " << n << " k " << k << " stride " << stride << ", " << values << " values");
            CHECK(mask == expected);
          }
        }
      }
    }
    for (int n : {20, 512, 515}) {
      std::vector<float> some(n, kNan), mask(n);
      target->topk_mask(some.data(), 1, n, 3, mask.data(), 1);
      CHECK(std::accumulate(mask.begin(), mask.end(), 0.0f) == 3.0f);  // of what is no number any
      for (int i : {1, 9, n - 1}) some[i] = -static_cast<float>(i);
      target->topk_mask(some.data(), 1, n, 3, mask.data(), 1);
      CHECK((mask[1] == 1 && mask[9] == 1 && mask[n - 1] == 1));  // numbers first
      for (int i = 0; i < n; ++i) some[i] = i % 7 == 0 ? kNan : static_cast<float>(i * 37 % n);
      target->topk_mask(some.data(), 1, n, 3, mask.data(), 1);
      CHECK(std::accumulate(mask.begin(), mask.end(), 0.0f) == 3.0f);
      for (int i = 0; i < n; i += 7) CHECK(mask[i] == 0);
    }
  }
}

TEST_CASE("what is not zero is found in order, numbers or not") {
  std::mt19937 random(3);
  for (const Target* target : targets()) {
    for (int n : {1, 7, 16, 33, 200}) {
      for (unsigned rare : {1u, 2u, 20u}) {
        for (long stride : {1L, 3L}) {
          std::vector<float> x(static_cast<size_t>(n * stride), 5.0f);
          for (int i = 0; i < n; ++i) x[static_cast<size_t>(i * stride)] = random() % rare != 0 ? (random() % 2 ? 0.0f : -0.0f) : random() % 4 ? -1e-30f : kNan;
          for (int first : {0, n / 3}) {
            std::vector<int> expected, found(static_cast<size_t>(n) + 1, -1);
            for (int i = first; i < n; ++i) {
              if (x[static_cast<size_t>(i * stride)] != 0.0f) expected.push_back(i);
            }
            const int count = target->find_nonzeros(x.data(), stride, first, n, found.data());
            INFO(target->name << " n " << n << " one of " << rare << " stride " << stride << " first " << first);
            CHECK(found.back() == -1);
            found.resize(static_cast<size_t>(count));
            CHECK(found == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("the last rows of a tile move to its front") {
  for (const Target* target : targets()) {
    for (long n : {1L, 2L, 5L}) {
      std::vector<float> rows(static_cast<size_t>((3 + n) * 4));
      std::iota(rows.begin(), rows.end(), 0.0f);
      const std::vector<float> last(rows.end() - 12, rows.end());
      target->shift(rows.data(), n, 3, 4);
      CHECK(std::vector<float>(rows.begin(), rows.begin() + 12) == last);
    }
  }
}
