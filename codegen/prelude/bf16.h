// Numbers of products whose operands are rounded to bf16 (to nearest, halves to even), and panels of them.  Appended to products.h in generated
// code, before bf16_products.h.
//
// Two bf16 that follow each other along the inner axis share four bytes, a unit, the first one in the lower half.  Panels and copies are those of
// float32 products with units in the place of floats.  A unit is kept where a float would be, and never used as one.  What a product reads is
// float32, rounded as it is read, or bf16 already.
#ifndef CPUFLOW_KERNEL_BF16_H
#define CPUFLOW_KERNEL_BF16_H

namespace CPUFLOW_KERNEL_NAMESPACE {

// ---- units -----------------------------------------------------------------------------------------------------------------------

#if !defined(__AVX512BF16__)
/// The upper half of each float, rounded; the lower half is 0.
KERNEL_INLINE vi rounded_half(vf x) {
  const vi bits = bits_as<vi>(x), odd = (bits >> 16) & 1;
  return (select(x == x, bits + 0x7fff + odd, bits | 0x400000)) & int32_t(0xffff0000);
}
KERNEL_INLINE vi low_half_of(vi high) { return bits_as<vi>(bits_as<uint32_t __attribute__((vector_size(4 * kLanes)))>(high) >> 16); }
#if defined(__AVX512F__)
#define KERNEL_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define KERNEL_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif defined(__AVX2__) && defined(__FMA__)
#define KERNEL_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define KERNEL_ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define KERNEL_EVEN 0, 2, 4, 6
#define KERNEL_ODD 1, 3, 5, 7
#endif
#endif

/// Units of (first[i], second[i]).
KERNEL_INLINE vf unit_of_pairs(vf first, vf second) {
#if defined(__AVX512BF16__)
  vi halves;
  __asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(halves) : "v"(second), "v"(first));
  typedef short vs __attribute__((vector_size(64)));
  return bits_as<vf>(__builtin_shufflevector(bits_as<vs>(halves), bits_as<vs>(halves), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24,
                                             9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
#else
  return bits_as<vf>(low_half_of(rounded_half(first)) | rounded_half(second));
#endif
}

/// Units of (x[0], x[1]), (x[2], x[3]), ..; x is low, then high.
KERNEL_INLINE vf unit_of_neighbours(vf low, vf high) {
#if defined(__AVX512BF16__)
  vf units;
  __asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(units) : "v"(high), "v"(low));
  return units;
#else
  return unit_of_pairs(__builtin_shufflevector(low, high, KERNEL_EVEN), __builtin_shufflevector(low, high, KERNEL_ODD));
#endif
}

/// sum + x.first * y.first + x.second * y.second, unit by unit.
KERNEL_INLINE vf dot_units(vf x, vf y, vf sum) {
#if defined(__AVX512BF16__)
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
  return sum;
#else
  const vi a = bits_as<vi>(x), b = bits_as<vi>(y);
  const vi upper = splati<vf>(int32_t(0xffff0000));
  sum = fma(bits_as<vf>(a & upper), bits_as<vf>(b & upper), sum);
  return fma(bits_as<vf>(a << 16), bits_as<vf>(b << 16), sum);
#endif
}

/// A number that is kept in two bytes.
struct __attribute__((may_alias)) bf16 {
  unsigned short bits;
  KERNEL_INLINE operator float() const { return bits_as<float>(static_cast<uint32_t>(bits) << 16); }
};
typedef unsigned short vs __attribute__((vector_size(2 * kLanes)));  // the bits of as many bf16 as a register has floats

template <Vector V>
KERNEL_INLINE int_of<V> bits_at(const bf16* p) {
  typename Several<unsigned short, kLanesOf<V>>::type bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return __builtin_convertvector(bits, int_of<V>);
}
template <class V>
KERNEL_INLINE V load(const bf16* p) {
  if constexpr (kIsVector<V>) {
    return bits_as<V>(bits_at<V>(p) << 16);
  } else {
    return *p;
  }
}

KERNEL_INLINE vs rounded(vf value) {
#if defined(__AVX512BF16__)
  vs halves;
  __asm__("vcvtneps2bf16 %1, %0" : "=v"(halves) : "v"(value));
  return halves;
#else
  return __builtin_convertvector(low_half_of(rounded_half(value)), vs);
#endif
}
/// Rounds.
template <Floats V>
KERNEL_INLINE void store(bf16* p, V value) {
  vf whole = {};
  __builtin_memcpy(&whole, &value, sizeof value);
  const vs halves = rounded(whole);
  __builtin_memcpy(p, &halves, sizeof value / 2);
}
KERNEL_INLINE void store(bf16* p, float value) {
  const vf units = unit_of_pairs(splat<vf>(value), splat<vf>(value));
  __builtin_memcpy(p, &units, sizeof *p);
}

/// e^x for a result that is kept in bf16; denormal results and infinity included.  Error below 2^-17, where rounding to bf16 errs by up to 2^-9.  Made of
/// few multiplications: while tiles are multiplied, there is one port for those of vectors.
template <class V>
KERNEL_INLINE V exp_for_bf16(V x) {
  auto power = [](V r) { return polynomial(r, 0.99999928f, 0.69312179f, 0.24024744f, 0.055917863f, 0.0095701013f); };  // 2^r, |r| <= 1/2
  const V z = x * 0x1.715476p+0f;  // log2(e)
#if defined(__AVX512DQ__)
  if constexpr (kIsVector<V>) {
    V r;  // z less the nearest integer
    __asm__("vreduceps $8, %1, %0" : "=v"(r) : "v"(z));
    return scale_lanes(power(r), z - r);
  }
#endif
  const float shift = 0x1.8p23f;
  const V near = min(max(z, splat<V>(-160.0f)), splat<V>(130.0f)), t = near + shift;
  return scaled(power(near - (t - shift)), bits_as<int_of<V>>(t) - bits_as<int32_t>(shift));
}

/// Units of kLanes neighbours in two rows.
KERNEL_INLINE vf unit_of_rows(const float* first, const float* second) { return unit_of_pairs(load<vf>(first), load<vf>(second)); }
KERNEL_INLINE vf unit_of_rows(const bf16* first, const bf16* second) { return bits_as<vf>(bits_at<vf>(first) | bits_at<vf>(second) << 16); }

/// Units of 2 kLanes neighbours.
KERNEL_INLINE vf unit_of_row(const float* p) { return unit_of_neighbours(load<vf>(p), load<vf>(p + kLanes)); }
KERNEL_INLINE vf unit_of_row(const bf16* p) {
  typedef vf unaligned __attribute__((aligned(2), may_alias));
  return *reinterpret_cast<const unaligned*>(p);
}

struct Pairs {
  static constexpr int kNumbers = 2;  // along the inner axis
  static KERNEL_INLINE vf splat_at(const float* p) { return bits_as<vf>(splati<vf>(loadi<float>(reinterpret_cast<const int32_t*>(p)))); }
  static KERNEL_INLINE vf multiply_add(vf x, vf y, vf sum) { return dot_units(x, y, sum); }
};

/// The first kLanes numbers at p; 0 for those from `count` on.
template <class A>
KERNEL_INLINE vf load_first(const A* p, int count) {
  if (count >= kLanes) return load<vf>(p);
  float part[kLanes] = {};
  KERNEL_ROLLED
  for (int i = 0; i < count; ++i) part[i] = p[i];
  return load<vf>(part);
}

constexpr int units_of(int K) { return (K + 1) / 2; }
constexpr int kUnitTile = 16;  // a panel has a multiple of so many units along the inner axis: those without an element are 0
constexpr int padded_units(int K) { return (units_of(K) + kUnitTile - 1) / kUnitTile * kUnitTile; }

/// Floats of a panel of a packed matrix of K rows.
constexpr long panel_of_bf16(int K) { return static_cast<long>(padded_units(K)) * kPanel; }
/// Size of a packed K x N matrix of units in floats.
constexpr long packed_bf16(int K, int N) { return (N + kPanel - 1) / kPanel * panel_of_bf16(K); }

/// The units of k numbers that follow each other; as many as `units`.
template <class A>
KERNEL_INLINE void copy_row_units(const A* a, int k, int units, float* out) {
  KERNEL_ROLLED
  for (int u = 0; u < units; u += kLanes) {
    const bool whole = k - 2 * u >= 2 * kLanes;
    store(out + u, whole ? unit_of_row(a + 2 * u) : unit_of_neighbours(load_first(a + 2 * u, k - 2 * u), load_first(a + 2 * u + kLanes, k - 2 * u - kLanes)));
  }
}

/// The same for numbers that lie a_k apart: kLanes columns of k rows, of which `columns` can be read, become rows of kLanes units.
template <class A>
KERNEL_INLINE void copy_column_units(const A* a, long a_k, int k, int columns, float* out, long out_row) {
  vf x[kLanes];
  KERNEL_ROLLED
  for (int j = 0; j < kLanes; ++j, a += 2 * a_k) {
    const bool whole = 2 * j + 1 < k && columns >= kLanes;
    x[j] = whole ? unit_of_rows(a, a + a_k) : unit_of_pairs(2 * j < k ? load_first(a, columns) : vf{}, 2 * j + 1 < k ? load_first(a + a_k, columns) : vf{});
  }
  transpose(x);
  KERNEL_UNROLL
  for (int j = 0; j < kLanes; ++j) store(out + j * out_row, x[j]);
}

/// Copies k rows, two at a time, to [block][units][kBlock].
template <class A>
KERNEL_INLINE void copy_blocks(Pairs, int m, int readable, int large, int k, const A* a, long a_k, float* out) {
  float row[kCopied + kLanes];
  const long stride = copy_stride(units_of(k));
  for (; k > 0; k -= 2, a += 2 * a_k, out += kBlock) {
    KERNEL_ROLLED
    for (int i = 0; i < m; i += kLanes) {
      const bool whole = k > 1 && readable - i >= kLanes;
      store(row + i, whole ? unit_of_rows(a + i, a + a_k + i) : unit_of_pairs(load_first(a + i, readable - i), k > 1 ? load_first(a + a_k + i, readable - i) : vf{}));
    }
    spread_over_blocks(m, kCopied + kLanes, large, row, out, stride);
  }
}

// ---- packing -------------------------------------------------------------------------------------------------------------------

/// Writes one number of packed units; the other of its unit stays as it is.
inline void pack_half(float value, int k, long at, float* dst) {
  typedef unsigned short half __attribute__((may_alias));
  int32_t unit = 0;
  const vf units = unit_of_pairs(splat<vf>(value), splat<vf>(value));
  __builtin_memcpy(&unit, &units, sizeof unit);
  reinterpret_cast<half*>(dst + at)[k % 2] = static_cast<half>(unit & 0xffff);
}

/// As pack_columns, in units.
template <class A>
inline void pack_columns_bf16(const A* src, long stride_k, long stride_n, int K, int first, int last, float* dst) {
  for (int n = first; n < last; ++n) {
    const long column = static_cast<long>(n / kPanel) * padded_units(K) * kPanel + n % kPanel;
    for (int k = 0; k < K; ++k) pack_half(src[k * stride_k + n * stride_n], k, column + static_cast<long>(k / 2) * kPanel, dst);
  }
}

/// As pack_rows, in units.
template <class A>
inline void pack_rows_bf16(const A* src, long stride_k, long stride_n, int K, int N, int first, int last, float* dst) {
  for (int k = first; k < last; ++k) {
    for (int n = 0; n < N; ++n) {
      pack_half(src[k * stride_k + n * stride_n], k, (static_cast<long>(n / kPanel) * padded_units(K) + k / 2) * kPanel + n % kPanel, dst);
    }
  }
}

/// Packs B[k][n] = src[k * stride_k + n * stride_n] into packed_bf16(K, N) floats.
template <class A>
inline void pack_bf16(const A* src, long stride_k, long stride_n, int K, int N, float* dst) {
  const int units = padded_units(K);
  const int whole = stride_n == 1 ? K / 2 : 0;  // row by row: a core reads ahead by itself
  for (int u = 0; u < whole; ++u) {
    const A* row = src + 2 * u * stride_k;
    float* to = dst + u * kPanel;
    for (int n = 0; n + kPanel <= N; n += kPanel, to += static_cast<long>(units) * kPanel) {
      store(to, unit_of_rows(row + n, row + stride_k + n));
      store(to + kLanes, unit_of_rows(row + n + kLanes, row + stride_k + n + kLanes));
    }
  }
  for (int n = 0; n < N; n += kPanel, dst += static_cast<long>(units) * kPanel) {
    const int columns = min(kPanel, N - n);
    const A* from = src + n * stride_n;
    int u = columns == kPanel ? whole : 0;
    if (columns == kPanel && stride_k == 1) {
      for (; 2 * (u + kLanes) <= K; u += kLanes) {
        KERNEL_ROLLED
        for (int half = 0; half < kPanel; half += kLanes) {
          vf x[kLanes];
          KERNEL_UNROLL
          for (int i = 0; i < kLanes; ++i) x[i] = unit_of_row(from + (half + i) * stride_n + 2 * u);
          transpose(x);
          KERNEL_UNROLL
          for (int i = 0; i < kLanes; ++i) store(dst + (u + i) * kPanel + half, x[i]);
        }
      }
    }
    for (; u < units; ++u) {
      float pair[2][kPanel] = {};
      for (int j = 0; j < 2 && 2 * u + j < K; ++j) {
        for (int i = 0; i < columns; ++i) pair[j][i] = from[(2 * u + j) * stride_k + i * stride_n];
      }
      store(dst + u * kPanel, unit_of_pairs(load<vf>(pair[0]), load<vf>(pair[1])));
      store(dst + u * kPanel + kLanes, unit_of_pairs(load<vf>(pair[0] + kLanes), load<vf>(pair[1] + kLanes)));
    }
  }
}

/// The same by all threads, where the matrix is large.
template <class A>
inline void pack_bf16(const Team& team, const A* src, long stride_k, long stride_n, int K, int N, float* dst) {
  team.columns(packed_bf16(K, N), N, [=](int n, int columns) { pack_bf16(src + n * stride_n, stride_k, stride_n, K, columns, dst + packed_bf16(K, n)); });
}

}  // namespace CPUFLOW_KERNEL_NAMESPACE
#endif
