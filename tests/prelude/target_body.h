#pragma once
// The body of the sources that compile the prelude for one target: TARGET is its name; TARGET_NAME where it is no identifier.
#define CPUFLOW_TARGET_NAMESPACE_2(name) kernel_##name
#define CPUFLOW_TARGET_NAMESPACE(name) CPUFLOW_TARGET_NAMESPACE_2(name)
#define CPUFLOW_KERNEL_NAMESPACE CPUFLOW_TARGET_NAMESPACE(TARGET)
#include "codegen/abi/kernel_abi.h"
#include "codegen/prelude/kernel_prelude.h"
#include "codegen/prelude/products.h"
#include "codegen/prelude/bf16.h"
#include "codegen/prelude/tiles.h"
#include "codegen/prelude/bf16_products.h"
#include "codegen/prelude/loops.h"
#include "tests/prelude/target.h"

#include <algorithm>
#include <vector>

namespace prelude_test {
namespace {
namespace kernel = CPUFLOW_KERNEL_NAMESPACE;
using kernel::kLanes;
using kernel::vf;

/// Calls f.operator()<V>() for the type of so many lanes: a vector, a part of one, or float.
template <class F>
void with_lanes(int lanes, F f) {
  if constexpr (kLanes > 8) {
    if (lanes == 8) return f.template operator()<kernel::Several<float, 8>::type>();
  }
  if constexpr (kLanes > 4) {
    if (lanes == 4) return f.template operator()<kernel::Several<float, 4>::type>();
  }
  if (lanes == 1) f.template operator()<float>();
  else f.template operator()<vf>();
}

template <class F>
void map(F f, int lanes, const float* x, float* y, size_t n) {
  with_lanes(lanes, [&]<class V>() {
    for (size_t i = 0; i < n; i += kernel::kLanesOf<V>) kernel::store(y + i, f(kernel::load<V>(x + i)));
  });
}
template <class F>
void map(F f, int lanes, const float* x, const float* y, float* z, size_t n) {
  with_lanes(lanes, [&]<class V>() {
    for (size_t i = 0; i < n; i += kernel::kLanesOf<V>) kernel::store(z + i, f(kernel::load<V>(x + i), kernel::load<V>(y + i)));
  });
}
template <class F>
void map(F f, int lanes, const int32_t* x, const int32_t* y, int32_t* z, size_t n) {
  with_lanes(lanes, [&]<class V>() {
    for (size_t i = 0; i < n; i += kernel::kLanesOf<V>) {
      const kernel::int_of<V> out = f(kernel::loadi<V>(x + i), kernel::loadi<V>(y + i));
      std::copy_n(reinterpret_cast<const int32_t*>(&out), kernel::kLanesOf<V>, z + i);
    }
  });
}

#define FUNCTION(name, expression) \
  Function { name, [](int lanes, const float* p, float* y, size_t n) { map([](auto x) { return expression; }, lanes, p, y, n); } }
const Function functions[] = {
    FUNCTION("exp", kernel::exp(x)),
    FUNCTION("exp_for_bf16", kernel::exp_for_bf16(x)),
    FUNCTION("log", kernel::log(x)),
    FUNCTION("sqrt", kernel::sqrt(x)),
    FUNCTION("tanh", kernel::tanh(x)),
    FUNCTION("sigmoid", kernel::sigmoid(x)),
    FUNCTION("erf", kernel::erf(x)),
    FUNCTION("softplus", kernel::softplus(x)),
    FUNCTION("relu", kernel::relu(x)),
    FUNCTION("abs", kernel::abs(x)),
    FUNCTION("sin", kernel::sin(x)),
    FUNCTION("cos", kernel::cos(x)),
    FUNCTION("round", kernel::round(x)),
    FUNCTION("floor", kernel::real(kernel::floor(x))),
    FUNCTION("ceil", kernel::real(kernel::ceil(x))),
    FUNCTION("toint", kernel::real(kernel::toint(x))),
};

#define BINARY(name, expression) \
  BinaryFunction { name, [](int lanes, const float* p, const float* q, float* z, size_t n) { map([](auto x, auto y) { return expression; }, lanes, p, q, z, n); } }
const BinaryFunction binary_functions[] = {
    BINARY("pow", kernel::pow(x, y)),
    BINARY("max", kernel::max(x, y)),
    BINARY("min", kernel::min(x, y)),
    BINARY("floordiv", kernel::floordiv(x, y)),
    BINARY("mod", kernel::mod(x, y)),
    BINARY("select", kernel::select(kernel::not_(x < y), x, -y)),
    BINARY("both", kernel::select(kernel::and_(x < y, kernel::or_(x < 0.0f, y < 0.0f)), x, y)),
};

#define INTEGER(name, expression) \
  IntFunction { name, [](int lanes, const int32_t* p, const int32_t* q, int32_t* z, size_t n) { map([](auto x, [[maybe_unused]] auto y) { return expression; }, lanes, p, q, z, n); } }
const IntFunction int_functions[] = {
    INTEGER("floordiv", kernel::floordiv(x, y)),
    INTEGER("mod", kernel::mod(x, y)),
    INTEGER("max", kernel::max(x, y)),
    INTEGER("min", kernel::min(x, y)),
    INTEGER("abs", kernel::abs(x)),
    INTEGER("relu", kernel::relu(x)),
    INTEGER("pow", kernel::pow(x, y)),
    INTEGER("select", kernel::select(kernel::not_(x < y), x, y)),
};

Reductions reductions(int lanes, const float* x) {
  Reductions out;
  with_lanes(lanes, [&]<class V>() {
    const V v = kernel::load<V>(x);
    out = {kernel::hsum(v), kernel::hprod(v), kernel::hmax(v), kernel::hmin(v)};
  });
  return out;
}

/// Of 45 numbers: vectors, parts of them and a scalar.
Reductions reductions_of_45(const float* x) {
  kernel::SumOf sum;
  kernel::ProdOf product;
  kernel::MaxOf largest;
  kernel::MinOf smallest;
  kernel::for_lanes<45>([&]<class V>(int i) {
    const V v = kernel::load<V>(x + i);
    sum.add(v), product.add(v), largest.add(v), smallest.add(v);
  });
  return {sum.total(), product.total(), largest.total(), smallest.total()};
}

void for_lanes(int n, int32_t* began) {
  kernel::for_lanes(n, [&]<class V>(int i) { began[i] = sizeof(V) / sizeof(float); });
}

void for_45_lanes(int32_t* began) {
  kernel::for_lanes<45>([&]<class V>(int i) { began[i] = sizeof(V) / sizeof(float); });
}

void gather(int lanes, const float* base, const int32_t* index, float* out) {
  with_lanes(lanes, [&]<class V>() { kernel::store(out, kernel::gather<V>(base, kernel::loadi<V>(index) + kernel::ramp<V>(1) - kernel::splati<V>(1))); });
}

void product_40_24(int m, bool add, const float* a, long a_row, const float* b, float* c, long c_row) {
  if (add)
    kernel::product<40, 24, true>(m, a, a_row, b, c, c_row);
  else
    kernel::product<40, 24, false>(m, a, a_row, b, c, c_row);
}

/// Runs the parts one after the other, the last first; `parts` points to their number.
void last_part_first(void* parts, void (*body)(void* context, int part, int parts), void* context) {
  const int count = *static_cast<const int*>(parts);
  for (int part = count; part-- > 0;) body(context, part, count);
}

/// What partners that run one after the other pass on: the columns of those before stay, where the next looks for them.
void keep_columns(void* given, float* row, int first, int last, int) {
  float* const all = static_cast<float*>(given);
  for (int i = 0; i < first; ++i) row[i] = all[i];
  for (int i = first; i < last; ++i) all[i] = row[i];
}

void product_of_streams_700_90(bool bf16, int parts, bool backwards, int m, const float* a, long a_row, const float* b, float* c, long c_row) {
  const kernel::Tiles tiles;
  float given[700];
  const std::vector<float> before(c, c + (m - 1) * c_row + 700);
  for (int part = 0; part < parts; ++part) {
    std::copy(before.begin(), before.end(), c);  // each partner has its own
    const kernel::Partner self = {part, parts, keep_columns, given, backwards};
    if (bf16)
      kernel::product_of_streams_bf16<700, 90, true>(self, m, a, a_row, b, c, c_row);
    else
      kernel::product_of_streams<700, 90, true>(self, m, a, a_row, b, c, c_row);
  }
}

void pack_700_90(bool bf16, int parts, const float* src, long stride_k, long stride_n, float* dst) {
  const kernel::Team team = {parts > 0 ? last_part_first : nullptr, &parts};
  if (bf16)
    kernel::pack_bf16(team, src, stride_k, stride_n, 90, 700, dst);
  else
    kernel::pack(team, src, stride_k, stride_n, 90, 700, dst);
}

void product_t_40(int m, int k, bool add, const float* a, long a_k, const float* b, float* c, long c_row) {
  if (add)
    kernel::product_t<40, true>(m, k, a, a_k, b, c, c_row);
  else
    kernel::product_t<40, false>(m, k, a, a_k, b, c, c_row);
}

/// Adds the columns that come to those of c.
auto add_to(float* c, long c_row) {
  return [=](int row, int first, int columns, const float* block) {
    for (int i = 0; i < columns; ++i) c[row * c_row + first + i] += block[i];
  };
}

template <int N, int K>
void in_blocks(int m, const void* a, long a_row, const float* b, float* c, long c_row) {
  kernel::product_in_blocks<N, K>(m, static_cast<const float*>(a), a_row, b, add_to(c, c_row));
}

template <class A, int N, int K>
void in_blocks_bf16(int m, const void* a, long a_row, const float* b, float* c, long c_row) {
  const kernel::Tiles tiles;
  kernel::product_in_blocks_bf16<N, K>(m, static_cast<const A*>(a), a_row, b, add_to(c, c_row));
}

template <bool kBf16, class A>
void add_products_70(int m, float* c, long c_row, const void* const* a, const long* a_k, const float* const* b) {
  const kernel::Tiles tiles;
  auto left = [&](int i) { return static_cast<const A*>(a[i]); };
  const auto first = kernel::term<100>(left(0), a_k[0], b[0]);
  const auto second = kernel::term<12>(left(1), a_k[1], b[1]);
  const auto third = kernel::term<700>(left(2), a_k[2], b[2]);
  if constexpr (kBf16)
    kernel::add_products_t_bf16<70>(m, c, c_row, first, second, third);
  else
    kernel::add_products_t<70>(m, c, c_row, first, second, third);
}

const Products fp32 = {
    kernel::packed_floats,
    [](const void* src, long stride_k, long stride_n, int K, int N, float* dst) { kernel::pack(static_cast<const float*>(src), stride_k, stride_n, K, N, dst); },
    [](const void* src, long stride_k, long stride_n, int K, int first, int last, float* dst) {
      kernel::pack_columns(static_cast<const float*>(src), stride_k, stride_n, K, first, last, dst);
    },
    [](const void* src, long stride_k, long stride_n, int K, int N, int first, int last, float* dst) {
      kernel::pack_rows(static_cast<const float*>(src), stride_k, stride_n, K, N, first, last, dst);
    },
    [](int m, int N, int K, bool add, const void* a, long a_row, const float* b, float* c, long c_row) {
      kernel::multiply(m, N, K, add, static_cast<const float*>(a), a_row, b, long{K} * kernel::kPanel, c, c_row);
    },
    [](int m, int N, int K, bool add, const void* a, long a_k, const float* b, float* c, long c_row) {
      kernel::multiply_transposed(m, N, K, add, static_cast<const float*>(a), a_k, b, long{K} * kernel::kPanel, c, c_row);
    },
    in_blocks<70, 100>,
    in_blocks<96, 320>,
    add_products_70<false, float>,
};

/// A: float, or kernel::bf16.
template <class A>
constexpr Products kBf16Products = {
    kernel::packed_bf16,
    [](const void* src, long stride_k, long stride_n, int K, int N, float* dst) { kernel::pack_bf16(static_cast<const A*>(src), stride_k, stride_n, K, N, dst); },
    [](const void* src, long stride_k, long stride_n, int K, int first, int last, float* dst) {
      kernel::pack_columns_bf16(static_cast<const A*>(src), stride_k, stride_n, K, first, last, dst);
    },
    [](const void* src, long stride_k, long stride_n, int K, int N, int first, int last, float* dst) {
      kernel::pack_rows_bf16(static_cast<const A*>(src), stride_k, stride_n, K, N, first, last, dst);
    },
    [](int m, int N, int K, bool add, const void* a, long a_row, const float* b, float* c, long c_row) {
      const kernel::Tiles tiles;
      kernel::multiply_bf16(m, N, K, add, static_cast<const A*>(a), a_row, b, kernel::panel_of_bf16(K), c, c_row);
    },
    [](int m, int N, int K, bool add, const void* a, long a_k, const float* b, float* c, long c_row) {
      const kernel::Tiles tiles;
      kernel::multiply_transposed_bf16(m, N, K, add, static_cast<const A*>(a), a_k, b, kernel::panel_of_bf16(K), c, c_row);
    },
    in_blocks_bf16<A, 70, 100>,
    in_blocks_bf16<A, 96, 320>,
    add_products_70<true, A>,
};

void round_all(int lanes, const float* x, long n, uint16_t* out) {
  kernel::bf16* const to = reinterpret_cast<kernel::bf16*>(out);
  long i = 0;
  with_lanes(lanes, [&]<class V>() {
    for (; i + kernel::kLanesOf<V> <= n; i += kernel::kLanesOf<V>) kernel::store(to + i, kernel::load<V>(x + i));
  });
  for (; i < n; ++i) kernel::store(to + i, x[i]);
}

void widen_all(int lanes, const uint16_t* x, long n, float* out) {
  const kernel::bf16* const from = reinterpret_cast<const kernel::bf16*>(x);
  with_lanes(lanes, [&]<class V>() {
    for (long i = 0; i + kernel::kLanesOf<V> <= n; i += kernel::kLanesOf<V>) kernel::store(out + i, kernel::load<V>(from + i));
  });
}

}  // namespace

#define CPUFLOW_TEXT_2(name) #name
#define CPUFLOW_TEXT(name) CPUFLOW_TEXT_2(name)
#ifndef TARGET_NAME
#define TARGET_NAME CPUFLOW_TEXT(TARGET)
#endif
extern const Target TARGET = {
    TARGET_NAME,
    kLanes,
    kernel::kPanel,
    functions,
    sizeof(functions) / sizeof(functions[0]),
    binary_functions,
    sizeof(binary_functions) / sizeof(binary_functions[0]),
    int_functions,
    sizeof(int_functions) / sizeof(int_functions[0]),
    reductions,
    reductions_of_45,
    for_lanes,
    for_45_lanes,
    gather,
    fp32,
    kBf16Products<float>,
    kBf16Products<kernel::bf16>,
    round_all,
    widen_all,
    product_40_24,
    product_of_streams_700_90,
    pack_700_90,
    product_t_40,
    kernel::find_nonzeros<float>,
    kernel::topk_mask,
    kernel::shift,
    kernel::fma_peak,
    kernel::read_sum,
};

}  // namespace prelude_test
