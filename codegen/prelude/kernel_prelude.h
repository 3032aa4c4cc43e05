// Building blocks of generated kernels: lanes of floats, elementwise functions, products with packed matrices.
// Generated code begins with this text, so it includes nothing and has a guard of the old kind ("pragma once" warns there).
// The width of a vector is chosen by the target's macros.  Nothing is reassociated or contracted behind the reader's back:
// fused multiply-add is used where the text says fma.
#ifndef CPUFLOW_KERNEL_PRELUDE_H
#define CPUFLOW_KERNEL_PRELUDE_H

#ifndef CPUFLOW_KERNEL_NAMESPACE  // tests compile one copy for each target
#define CPUFLOW_KERNEL_NAMESPACE kernel
#endif
#define KERNEL_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define KERNEL_UNROLL _Pragma("clang loop unroll(full)")
#define KERNEL_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define KERNEL_UNROLL _Pragma("GCC unroll 32")
#define KERNEL_ROLLED _Pragma("GCC unroll 1")
#endif

namespace CPUFLOW_KERNEL_NAMESPACE {

// ---- lanes -------------------------------------------------------------------------------------------------------------------

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

using int32_t = __INT32_TYPE__;
using uint32_t = __UINT32_TYPE__;
typedef float vf __attribute__((vector_size(4 * kLanes)));    // one register of floats
typedef int32_t vi __attribute__((vector_size(4 * kLanes)));  // as many integers; also a mask: 0 or -1
typedef double vd __attribute__((vector_size(4 * kLanes)));   // half as many doubles
using vl = decltype(vd() < vd());

template <class V>
constexpr bool kIsVector = sizeof(V) > 8;
template <class V>
struct IntOf {
  using type = int32_t;
};
template <>
struct IntOf<vf> {
  using type = vi;
};
template <>
struct IntOf<vd> {
  using type = vl;
};
template <>
struct IntOf<double> {
  using type = long;
};
/// The integers beside V: vi for vf, int32_t for float.
template <class V>
using int_of = typename IntOf<V>::type;

template <class To, class From>
KERNEL_INLINE To bits_as(From x) {
  return __builtin_bit_cast(To, x);
}

/// V(value) in every lane.
template <class V>
KERNEL_INLINE V splat(float value) {
  if constexpr (kIsVector<V>) {
    return value - V{};
  } else {
    return value;
  }
}
template <class V>
KERNEL_INLINE int_of<V> splati(int32_t value) {
  return value + int_of<V>{};
}

/// Reads or writes neighbours in memory; addresses need no alignment.
template <class V>
KERNEL_INLINE V load(const float* p) {
  typedef V unaligned __attribute__((aligned(4), may_alias));
  return *reinterpret_cast<const unaligned*>(p);
}
template <class V>
KERNEL_INLINE int_of<V> loadi(const int32_t* p) {
  typedef int_of<V> unaligned __attribute__((aligned(4), may_alias));
  return *reinterpret_cast<const unaligned*>(p);
}
template <class V>
KERNEL_INLINE void store(float* p, V value) {
  typedef V unaligned __attribute__((aligned(4), may_alias));
  *reinterpret_cast<unaligned*>(p) = value;
}
KERNEL_INLINE void storei(int32_t* p, vi value) {
  typedef vi unaligned __attribute__((aligned(4), may_alias));
  *reinterpret_cast<unaligned*>(p) = value;
}
KERNEL_INLINE void storei(int32_t* p, int32_t value) { *p = value; }

/// base, base + 1, ...
template <class V>
KERNEL_INLINE int_of<V> ramp(int32_t base) {
  if constexpr (!kIsVector<V>) {
    return base;
  } else if constexpr (kLanes == 4) {
    return base + vi{0, 1, 2, 3};
  } else {
    vi out = {};
    for (int i = 0; i < kLanes; ++i) out[i] = i;
    return base + out;
  }
}

/// base[index], lane by lane.
template <class V>
KERNEL_INLINE V gather(const float* base, int_of<V> index) {
  if constexpr (kIsVector<V>) {
    V out = {};
    for (int i = 0; i < kLanes; ++i) out[i] = base[index[i]];
    return out;
  } else {
    return base[index];
  }
}

KERNEL_INLINE float real(int32_t x) { return static_cast<float>(x); }
KERNEL_INLINE vf real(vi x) { return __builtin_convertvector(x, vf); }
/// Towards zero; |x| < 2^31.
KERNEL_INLINE int32_t toint(float x) { return static_cast<int32_t>(x); }
KERNEL_INLINE vi toint(vf x) { return __builtin_convertvector(x, vi); }

/// Calls f.operator()<vf>(i) for i = 0, kLanes, ... and f.operator()<float>(i) for what remains of n.
template <class F>
KERNEL_INLINE void for_lanes(int n, F&& f) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) f.template operator()<vf>(i);
  KERNEL_ROLLED
  for (; i < n; ++i) f.template operator()<float>(i);
}
template <int N, class F>
KERNEL_INLINE void for_lanes(F&& f) {
  constexpr int whole = N / kLanes * kLanes;
  for (int i = 0; i < whole; i += kLanes) f.template operator()<vf>(i);
  if constexpr (whole < N) {
    KERNEL_ROLLED
    for (int i = whole; i < N; ++i) f.template operator()<float>(i);
  }
}

// ---- choices and reductions over lanes ---------------------------------------------------------------------------------------------

/// mask ? a : b, lane by lane; with a bool the whole of a or b.
template <class T>
KERNEL_INLINE T select(bool condition, T a, T b) {
  return condition ? a : b;
}
KERNEL_INLINE vf select(vi mask, vf a, vf b) { return mask ? a : b; }
KERNEL_INLINE vi select(vi mask, vi a, vi b) { return mask ? a : b; }
KERNEL_INLINE bool not_(bool condition) { return !condition; }
KERNEL_INLINE vi not_(vi mask) { return ~mask; }

/// The larger (smaller) one; the first where they are equal or one is NaN.
template <class T>
KERNEL_INLINE T max(T a, T b) {
  return b > a ? b : a;
}
template <class T>
KERNEL_INLINE T min(T a, T b) {
  return b < a ? b : a;
}

/// The lanes combined as a tree: halves, quarters, ..., pairs.
template <class V, class F>
KERNEL_INLINE auto reduce_lanes(V x, F f) {
  using T = __typeof__(x[0] + x[0]);
  if constexpr (sizeof(V) == 2 * sizeof(T)) {
    return f(T(x[0]), T(x[1]));
  } else {
    typedef T Half __attribute__((vector_size(sizeof(V) / 2)));
    struct Halves {
      Half low, high;
    };
    const Halves h = bits_as<Halves>(x);
    return reduce_lanes(f(h.low, h.high), f);
  }
}
KERNEL_INLINE float hsum(vf x) {
  return reduce_lanes(x, [](auto a, auto b) __attribute__((always_inline)) { return a + b; });
}
KERNEL_INLINE float hprod(vf x) {
  return reduce_lanes(x, [](auto a, auto b) __attribute__((always_inline)) { return a * b; });
}
KERNEL_INLINE float hmax(vf x) {
  return reduce_lanes(x, [](auto a, auto b) __attribute__((always_inline)) { return max(a, b); });
}
KERNEL_INLINE float hmin(vf x) {
  return reduce_lanes(x, [](auto a, auto b) __attribute__((always_inline)) { return min(a, b); });
}
KERNEL_INLINE bool any_true(vi mask) {
  return reduce_lanes(mask, [](auto a, auto b) __attribute__((always_inline)) { return a | b; }) != 0;
}
KERNEL_INLINE bool any_true(bool condition) { return condition; }
KERNEL_INLINE float hsum(float x) { return x; }
KERNEL_INLINE float hprod(float x) { return x; }
KERNEL_INLINE float hmax(float x) { return x; }
KERNEL_INLINE float hmin(float x) { return x; }

// ---- arithmetic ----------------------------------------------------------------------------------------------------------------
// A function is a template over V (vf or float), so that a lane and the scalar of a tail get the same bits.

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define KERNEL_HAS_FMA 1
#else
#define KERNEL_HAS_FMA 0
#endif
#if defined(__has_builtin)
#if __has_builtin(__builtin_elementwise_fma) && __has_builtin(__builtin_elementwise_sqrt)
#define KERNEL_ELEMENTWISE 1
#endif
#endif

/// a * b + c, rounded once where the target can (else twice).
KERNEL_INLINE float fma(float a, float b, float c) {
#if KERNEL_HAS_FMA
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
KERNEL_INLINE vf fma(vf a, vf b, vf c) {
#if !KERNEL_HAS_FMA
  return a * b + c;
#elif defined(KERNEL_ELEMENTWISE)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__AVX512F__)
  return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4);
#elif defined(__AVX2__)
  return __builtin_ia32_vfmaddps256(a, b, c);
#elif defined(__x86_64__)
  return __builtin_ia32_vfmaddps(a, b, c);
#else
  for (int i = 0; i < kLanes; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return c;
#endif
}

/// Rounded correctly; NaN below zero.
KERNEL_INLINE float sqrt(float x) {
#if defined(KERNEL_ELEMENTWISE)
  return __builtin_elementwise_sqrt(x);
#else
  return __builtin_sqrtf(x);
#endif
}
KERNEL_INLINE vf sqrt(vf x) {
#if defined(KERNEL_ELEMENTWISE)
  return __builtin_elementwise_sqrt(x);
#elif defined(__AVX512F__)
  return __builtin_ia32_sqrtps512_mask(x, x, -1, 4);
#elif defined(__AVX2__) && defined(__FMA__)
  return __builtin_ia32_sqrtps256(x);
#elif defined(__SSE2__)
  return __builtin_ia32_sqrtps(x);
#else
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

template <class V>
KERNEL_INLINE V abs_of(V x) {
  return bits_as<V>(bits_as<int_of<V>>(x) & 0x7fffffff);
}
KERNEL_INLINE float abs(float x) { return abs_of(x); }
KERNEL_INLINE vf abs(vf x) { return abs_of(x); }
KERNEL_INLINE int32_t abs(int32_t x) { return x < 0 ? -x : x; }
KERNEL_INLINE vi abs(vi x) { return x < 0 ? -x : x; }

/// max(x, 0); NaN stays NaN.
template <class T>
KERNEL_INLINE T relu(T x) {
  return max(x, T{});
}

template <class V>
KERNEL_INLINE V with_sign_of(V size, V sign) {
  using I = int_of<V>;
  return bits_as<V>((bits_as<I>(size) & 0x7fffffff) | (bits_as<I>(sign) & int32_t(0x80000000)));
}

/// The nearest integer as a float, halves to even.
template <class V>
KERNEL_INLINE V round(V x) {
  const V size = abs(x);
  return size < 0x1p23f ? with_sign_of((size + 0x1p23f) - 0x1p23f, x) : x;
}
KERNEL_INLINE int32_t round(int32_t x) { return x; }

/// The largest integer <= x (the smallest >= x); |x| < 2^31.
template <class V>
KERNEL_INLINE int_of<V> floor(V x) {
  const int_of<V> i = toint(x);
  return i - splati<V>(1) * (real(i) > x ? splati<V>(1) : splati<V>(0));
}
template <class V>
KERNEL_INLINE int_of<V> ceil(V x) {
  const int_of<V> i = toint(x);
  return i + (real(i) < x ? splati<V>(1) : splati<V>(0));
}

/// Quotient rounded down, and the remainder with the divisor's sign; b is not 0.
template <class I>
KERNEL_INLINE I floordiv(I a, I b) {
  const I quotient = a / b, rest = a - quotient * b;
  return quotient - ((((rest ^ b) < 0) & (rest != 0)) ? I{} + 1 : I{});
}
template <class I>
KERNEL_INLINE I mod(I a, I b) {
  const I rest = a - a / b * b;
  return rest + ((((rest ^ b) < 0) & (rest != 0)) ? b : I{});
}

// ---- functions -----------------------------------------------------------------------------------------------------------------

/// c[0] + c[1] x + c[2] x^2 + ...
template <class V>
KERNEL_INLINE V polynomial(V, float c) {
  return splat<V>(c);
}
template <class V, class... More>
KERNEL_INLINE V polynomial(V x, float c, More... more) {
  return fma(polynomial(x, more...), x, splat<V>(c));
}

/// exp(x) = (1 + small) 2^exponent for |x| <= 150, small = exp(r) - 1 with |r| <= ln(2)/2.
template <class V>
struct Exponential {
  V small;
  int_of<V> exponent;
};
template <class V>
KERNEL_INLINE Exponential<V> split_exp(V x) {
  const float shift = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  const V t = fma(x, splat<V>(0x1.715476p+0f), splat<V>(shift)), n = t - shift;
  const V r = fma(n, splat<V>(2.12194440e-4f), fma(n, splat<V>(-0.693359375f), x));
  const V q = polynomial(r, 0.5f, 0.166665196f, 0.0416664034f, 0.00836883113f, 0.00139405322f);
  return {fma(q, r * r, r), bits_as<int_of<V>>(t) - bits_as<int32_t>(shift)};
}
/// 2^n for -126 <= n <= 127.
template <class V>
KERNEL_INLINE V power_of_two(int_of<V> n) {
  return bits_as<V>((n + 127) << 23);
}

/// e^x; denormal results and infinity included.  Error below 1.1 ulp.
template <class V>
KERNEL_INLINE V exp(V x) {
  const auto [small, exponent] = split_exp(min(max(x, splat<V>(-104.0f)), splat<V>(89.0f)));
  const int_of<V> half = exponent >> 1;
  return (small + 1.0f) * power_of_two<V>(half) * power_of_two<V>(exponent - half);
}

/// Natural logarithm; -inf at 0, NaN below.  Error below 1 ulp.
template <class V>
KERNEL_INLINE V log(V x) {
  using I = int_of<V>;
  const auto denormal = x < 0x1p-126f;
  const I bits = bits_as<I>(denormal ? x * 0x1p23f : x) - 0x3f3504f3;  // of sqrt(1/2)
  const V e = real((bits >> 23) - (denormal ? splati<V>(23) : splati<V>(0)));
  const V f = bits_as<V>((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, f2 = f * f;
  const V p = polynomial(f, 0.333333135f, -0.250000089f, 0.200020716f, -0.166679904f, 0.142203629f, -0.124062084f, 0.118834712f,
                         -0.116701826f, 0.0674953908f);
  const V low = fma(f2, splat<V>(-0.5f), fma(f * f2, p, e * -2.12194440e-4f));
  const V y = fma(e, splat<V>(0.693359375f), f + low);
  const V outside = x == 0.0f ? splat<V>(-__builtin_inff()) : splat<V>(__builtin_nanf(""));
  return x < __builtin_inff() ? (x > 0.0f ? y : outside) : x;
}

/// Error below 1.6 ulp, also near 0.
template <class V>
KERNEL_INLINE V tanh(V x) {
  const V size = min(abs(x), splat<V>(10.0f)), x2 = size * size;
  const V near = fma(size * x2, polynomial(x2, -0.333333105f, 0.133323371f, -0.0538254865f, 0.0209590364f, -0.00611258484f), size);
  const auto [small, exponent] = split_exp(size + size);
  const V scale = power_of_two<V>(exponent);
  const V far = 1.0f - 2.0f / (fma(small, scale, scale) + 1.0f);
  return with_sign_of(size < 0.55f ? near : far, x);
}

/// 1 / (1 + exp(-x)).  Error below 2 ulp; small results keep their relative accuracy.
template <class V>
KERNEL_INLINE V sigmoid(V x) {
  const V z = exp(-abs(x));
  return (x < 0.0f ? z : splat<V>(1.0f)) / (1.0f + z);
}

/// log(1 + exp(x)).  Error below 2.5 ulp.
template <class V>
KERNEL_INLINE V softplus(V x) {
  const V z = exp(-abs(x)), s = z / (2.0f + z), s2 = s * s;  // log(1 + z) = 2 atanh(s)
  const V q = polynomial(s2, 0.666666687f, 0.399997681f, 0.285799593f, 0.220957175f, 0.188155726f, 0.167528257f);
  return relu(x) + fma(s * s2, q, s + s);
}

/// The error function.  Error below 1.5 ulp.
template <class V>
KERNEL_INLINE V erf(V x) {
  const V t = min(abs(x), splat<V>(4.0f)), t2 = t * t;
  const V near = fma(
      t, polynomial(t2, 0.128379166f, -0.376126289f, 0.112836182f, -0.026855126f, 0.00519073382f, -0.000803076138f, 7.92036808e-05f), t);
  const V log_rest = polynomial(t, -0.000195640401f, -1.12767577f, -0.637181997f, -0.103931829f, 0.0222270451f, -0.00304325437f, 0.000195941961f);
  return with_sign_of(t < 0.95f ? near : 1.0f - exp(log_rest), x);
}

// The next ones are computed in double precision, half a vector at a time.
typedef float vf_half __attribute__((vector_size(2 * kLanes)));
struct Halves {
  vf_half low, high;
};
template <class F>
KERNEL_INLINE float in_double(F f, float x) {
  return static_cast<float>(f(static_cast<double>(x)));
}
template <class F>
KERNEL_INLINE vf in_double(F f, vf x) {
  const Halves h = bits_as<Halves>(x);
  return bits_as<vf>(Halves{__builtin_convertvector(f(__builtin_convertvector(h.low, vd)), vf_half),
                            __builtin_convertvector(f(__builtin_convertvector(h.high, vd)), vf_half)});
}
template <class F>
KERNEL_INLINE float in_double(F f, float x, float y) {
  return static_cast<float>(f(static_cast<double>(x), static_cast<double>(y)));
}
template <class F>
KERNEL_INLINE vf in_double(F f, vf x, vf y) {
  const Halves h = bits_as<Halves>(x), g = bits_as<Halves>(y);
  return bits_as<vf>(Halves{__builtin_convertvector(f(__builtin_convertvector(h.low, vd), __builtin_convertvector(g.low, vd)), vf_half),
                            __builtin_convertvector(f(__builtin_convertvector(h.high, vd), __builtin_convertvector(g.high, vd)), vf_half)});
}

/// sin(x + quarters pi/2).
template <class D>
KERNEL_INLINE D sine(D x, long quarters) {
  const double shift = 0x1.8p52;
  const D t = x * 0.63661977236758134 + shift, n = t - shift;
  const auto quadrant = bits_as<int_of<D>>(t) + quarters;
  D r = (x - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11;  // the first product is exact for n < 2^20
  r = min(max(r, D{} - 1.0), D{} + 1.0);
  const D r2 = r * r;
  const D s = r + r * r2 * (-0.166666552 + r2 * (0.00833219104 + r2 * -0.000195186003));
  const D c = 1.0 + r2 * (-0.5 + r2 * (0.0416666456 + r2 * (-0.00138873013 + r2 * 2.44306684e-05)));
  const D y = (quadrant & 1) != 0 ? c : s;
  return (quadrant & 2) != 0 ? -y : y;
}
/// Error below 1 ulp for |x| <= 1e6, below 1e-6 for |x| <= 1e9; bounded beyond.  x in radians.
template <class V>
KERNEL_INLINE V sin(V x) {
  return in_double([](auto d) __attribute__((always_inline)) { return sine(d, 0); }, x);
}
template <class V>
KERNEL_INLINE V cos(V x) {
  return in_double([](auto d) __attribute__((always_inline)) { return sine(d, 1); }, x);
}

template <class D>
KERNEL_INLINE D power(D x, D y) {
  using L = int_of<D>;
  const long root_half = 0x3fe6a09e667f3bcd;
  const double shift = 0x1.8p52, inf = __builtin_inf();
  auto size_of = [](D v) __attribute__((always_inline)) { return bits_as<D>(bits_as<L>(v) & 0x7fffffffffffffff); };
  auto nearest = [](D v) __attribute__((always_inline)) { return v < 0x1p52 ? (v + 0x1p52) - 0x1p52 : v; };
  // log2 |x|
  const D size = size_of(x);
  const L bits = bits_as<L>(size) - root_half;
  const D m = bits_as<D>((bits & 0xfffffffffffff) + root_half), e = bits_as<D>((bits >> 52) + bits_as<long>(shift)) - shift;
  const D s = (m - 1.0) / (m + 1.0), s2 = s * s;
  D log2 = e + s * (2.8853900817779268 +
                    s2 * (0.96179669392469569 +
                          s2 * (0.57707801711274831 + s2 * (0.41219842020515124 + s2 * (0.32061525975224986 + s2 * (0.26147684536753069 + s2 * 0.24256069332124858))))));
  log2 = size == 0.0 ? D{} - inf : size < inf ? log2 : size;
  // 2^(y log2 |x|)
  const D p = min(max(y * log2, D{} - 200.0), D{} + 200.0), t = p + shift, n = t - shift, f = p - n;
  const D q = 0.99999999995954969 +
              f * (0.69314718053502955 +
                   f * (0.240226512135852 +
                        f * (0.055504109761009231 + f * (0.0096180256040191425 + f * (0.0013333422651478299 + f * (0.00015469731696743372 + f * 1.5316460433199082e-05))))));
  D r = q * bits_as<D>((bits_as<L>(t) - bits_as<long>(shift) + 1023) << 52);
  r = p == p ? r : p;
  // signs and special cases
  const D y_size = size_of(y), half = 0.5 * y_size;
  const D y_whole = nearest(y_size), half_whole = nearest(half);
  r = ((y_whole == y_size) & (half_whole != half) & (bits_as<L>(x) < 0)) ? -r : r;
  r = ((x < 0.0) & (x > -inf) & (y_whole != y_size)) ? D{} + __builtin_nan("") : r;
  return ((y == 0.0) | (x == 1.0) | ((x == -1.0) & (y_size == inf))) ? D{} + 1.0 : r;
}
/// x^y with the special cases of C's pow.  Error below 1 ulp.
template <class V>
KERNEL_INLINE V pow(V x, V y) {
  return in_double([](auto a, auto b) __attribute__((always_inline)) { return power(a, b); }, x, y);
}
/// Whole numbers: by multiplication; 0 for negative exponents unless |x| = 1.
KERNEL_INLINE int32_t pow(int32_t x, int32_t y) {
  if (y < 0) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  uint32_t out = 1, base = static_cast<uint32_t>(x);
  for (; y > 0; y >>= 1, base *= base) out *= y & 1 ? base : 1;
  return static_cast<int32_t>(out);
}
KERNEL_INLINE vi pow(vi x, vi y) {
  for (int i = 0; i < kLanes; ++i) x[i] = pow(x[i], y[i]);
  return x;
}
/// x^N by repeated multiplication.
template <int N, class V>
KERNEL_INLINE V powi(V x) {
  if constexpr (N < 0) {
    return 1.0f / powi<-N>(x);
  } else if constexpr (N == 0) {
    return V{} + 1;
  } else if constexpr (N == 1) {
    return x;
  } else {
    const V root = powi<N / 2>(x);
    return N % 2 ? root * root * x : root * root;
  }
}

// ---- products ------------------------------------------------------------------------------------------------------------------
// The right operand lies in panels of kPanel columns: [ceil(N / kPanel)][K][kPanel], padded with zeros.  A block of rows x kPanel
// sums stays in registers while k runs.  The order of the sums of an element depends on K only: k ascending within pieces of
// kDepth, the pieces one after the other; it does not matter how rows are spread over blocks or calls.

constexpr int kPanel = 2 * kLanes;
constexpr int kDepth = 256;  // inner steps of a piece: a panel's share fills half of the first cache
constexpr int kBlock = kLanes == 8 ? 6 : kLanes == 16 ? 8 : 4;  // rows of a block: as many as the registers hold
constexpr int kCached = 32 * kBlock;                             // rows whose piece stays in the second cache
constexpr int kCopied = 16 * kBlock;                             // the same for rows that are copied

/// Size of a packed K x N matrix in floats.
constexpr long packed_floats(int K, int N) { return static_cast<long>((N + kPanel - 1) / kPanel) * kPanel * K; }

/// A run of blocks, one below the other, against the same panel.
struct Blocks {
  int count = 0;
  int k = 0;             // inner steps
  const float* a = nullptr;
  long a_step = 0;       // between rows; where A is transposed between inner steps
  long a_next = 0;       // between blocks
  const float* b = nullptr;
  long b_panel = 0;      // between panels
  float* c = nullptr;
  long c_row = 0;        // between rows
  int columns = 0;       // to write
  bool add = false;
  const float* fetch = nullptr;  // what comes next: every four inner steps the cache line there is fetched
  const float* fetch_end = nullptr;
  long fetch_step = 16;
};

/// Blocks of R rows and P panels.
template <int R, int P, bool kTransposed>
__attribute__((noinline)) void multiply_blocks(const Blocks& blocks) {
  constexpr int kRegs = 2 * P;
  const long a_step = blocks.a_step, b_panel = blocks.b_panel, c_row = blocks.c_row;
  const float* fetch = blocks.fetch;
  float* c = blocks.c;
  KERNEL_ROLLED
  for (int i = 0; i < blocks.count; ++i, c += R * c_row) {
    vf sum[R][kRegs] = {};
    const float *a = blocks.a + i * blocks.a_next, *b = blocks.b;
    auto step = [&](int u) __attribute__((always_inline)) {
      vf row[kRegs];
      KERNEL_UNROLL
      for (int j = 0; j < kRegs; ++j) row[j] = load<vf>(b + j / 2 * b_panel + u * kPanel + j % 2 * kLanes);
      KERNEL_UNROLL
      for (int r = 0; r < R; ++r) {
        const vf x = splat<vf>(kTransposed ? a[u * a_step + r] : a[r * a_step + u]);
        KERNEL_UNROLL
        for (int j = 0; j < kRegs; ++j) sum[r][j] = fma(x, row[j], sum[r][j]);
      }
    };
    KERNEL_UNROLL
    for (int r = 0; r < R; ++r) __builtin_prefetch(c + r * c_row, 1);
    const long fetch_step = fetch < blocks.fetch_end ? blocks.fetch_step : 0;
    int k = blocks.k;
    KERNEL_ROLLED
    for (; k >= 4; k -= 4) {
      __builtin_prefetch(fetch, 0, 2);
      fetch += fetch_step;
      KERNEL_UNROLL
      for (int u = 0; u < 4; ++u) step(u);
      a += kTransposed ? 4 * a_step : 4;
      b += 4 * kPanel;
    }
    KERNEL_ROLLED
    for (; k > 0; --k) {
      step(0);
      a += kTransposed ? a_step : 1;
      b += kPanel;
    }
    if (blocks.columns == P * kPanel) {
      KERNEL_UNROLL
      for (int r = 0; r < R; ++r) {
        KERNEL_UNROLL
        for (int j = 0; j < kRegs; ++j) {
          float* p = c + r * c_row + j * kLanes;
          store(p, blocks.add ? load<vf>(p) + sum[r][j] : sum[r][j]);
        }
      }
    } else {
      float edge[R][P * kPanel];
      KERNEL_UNROLL
      for (int r = 0; r < R; ++r) {
        KERNEL_UNROLL
        for (int j = 0; j < kRegs; ++j) store(edge[r] + j * kLanes, sum[r][j]);
      }
      KERNEL_ROLLED
      for (int r = 0; r < R; ++r) {
        KERNEL_ROLLED
        for (int n = 0; n < blocks.columns; ++n) {
          float& out = c[r * c_row + n];
          out = blocks.add ? out + edge[r][n] : edge[r][n];
        }
      }
    }
  }
}

template <bool kTransposed, int R = kBlock>
inline void multiply_blocks(int rows, const Blocks& blocks) {
  if constexpr (R > 1) {
    if (rows < R) return multiply_blocks<kTransposed, R - 1>(rows, blocks);
  }
  multiply_blocks<R, 1, kTransposed>(blocks);
}

/// How m rows are cut into `count` parts of nearly equal size: `longer` parts of size + 1, then parts of `size`.
struct Cut {
  int count, size, longer;
  Cut(int m, int most) : count((m + most - 1) / most), size(m / count), longer(m % count) {}
  int first(int part) const { return part * size + min(part, longer); }
  int rows(int part) const { return size + (part < longer); }
};

/// m rows and a piece of the inner axis against every panel; the pointers are at the first element.  a_copy: between the blocks of
/// a copied A, else 0.  next: the A that is copied after this piece (k rows of at most kCopied floats, next_step apart), or null.
template <bool kTransposed>
inline void multiply_panels(int m, Blocks blocks, int N, long a_copy = 0, const float* next = nullptr, long next_step = 0) {
  const Cut cut(m, kBlock);
  const long a_row = kTransposed ? 1 : blocks.a_step;
  const float* const a = blocks.a;
  float* const c = blocks.c;
  for (int n = 0; n < N; n += kPanel) {
    const bool next_line = next && n / kPanel <= kCopied / 16, last = n + kPanel >= N;
    blocks.columns = min(kPanel, N - n);
    blocks.fetch = next_line ? next + n / kPanel * 16 : last ? blocks.b : blocks.b + blocks.b_panel;
    blocks.fetch_step = next_line ? next_step : 16;
    blocks.fetch_end = next_line ? blocks.fetch + blocks.k * next_step : last ? blocks.b : blocks.fetch + blocks.k * kPanel;
    blocks.count = cut.longer;
    blocks.a = a;
    blocks.a_next = a_copy > 0 ? a_copy : (cut.size + 1) * a_row;
    blocks.c = c + n;
    if (blocks.count > 0) multiply_blocks<kTransposed>(cut.size + 1, blocks);
    blocks.fetch = min(blocks.fetch + blocks.count * (blocks.k / 4 * blocks.fetch_step), blocks.fetch_end);
    blocks.count = cut.count - cut.longer;
    blocks.a = a + (a_copy > 0 ? cut.longer * a_copy : cut.first(cut.longer) * a_row);
    blocks.a_next = a_copy > 0 ? a_copy : cut.size * a_row;
    blocks.c = c + cut.first(cut.longer) * blocks.c_row + n;
    multiply_blocks<kTransposed>(cut.size, blocks);
    blocks.b += blocks.b_panel;
  }
}

/// One or two rows: several panels at once keep the multipliers busy.
inline void multiply_few(int m, Blocks blocks, int N) {
  blocks.count = 1;
  const int panels = m == 1 ? 4 : 2;
  for (int n = 0; n < N;) {
    const bool wide = n + panels * kPanel <= N;
    blocks.columns = wide ? panels * kPanel : min(kPanel, N - n);
    blocks.fetch = blocks.fetch_end = blocks.b;
    if (m == 1 && wide) multiply_blocks<1, 4, false>(blocks);
    if (m == 2 && wide) multiply_blocks<2, 2, false>(blocks);
    if (!wide) multiply_blocks<false>(m, blocks);
    n += blocks.columns;
    blocks.b += (wide ? panels : 1) * blocks.b_panel;
    blocks.c += blocks.columns;
  }
}

inline void multiply(int m, int N, int K, bool add, const float* a, long a_row, const float* b, float* c, long c_row) {
  if (m <= 0) return;
  const Cut cut(m, kCached);
  for (int i = 0; i < cut.count; ++i) {
    const long first = cut.first(i);
    for (int k = 0; k < K; k += kDepth) {
      Blocks blocks;
      blocks.k = min(kDepth, K - k);
      blocks.a = a + first * a_row + k;
      blocks.a_step = a_row;
      blocks.b = b + static_cast<long>(k) * kPanel;
      blocks.b_panel = static_cast<long>(K) * kPanel;
      blocks.c = c + first * c_row;
      blocks.c_row = c_row;
      blocks.add = add || k > 0;
      if (m <= 2) {
        multiply_few(m, blocks, N);
      } else {
        multiply_panels<false>(cut.rows(i), blocks, N);
      }
    }
  }
}

/// c[i * c_row + n] (+)= sum over k of a[i * a_row + k] * B[k][n], i < m, n < N; b is packed.
template <int N, int K, bool kAdd>
KERNEL_INLINE void product(int m, const float* a, long a_row, const float* b, float* c, long c_row) {
  multiply(m, N, K, kAdd, a, a_row, b, c, c_row);
}

/// Distance of the blocks of a copied A: an odd number of cache lines, so that they do not compete for the same lines of the cache.
constexpr long copy_stride(int k) { return static_cast<long>(k + 16) / 16 * 16 * kBlock + 16; }

/// Copies k rows of m (of all that can be read: `readable`) columns in the order in which blocks read them: [block][k][kBlock].
inline void copy_blocks(int m, int readable, int k, const float* a, long a_k, float* out) {
  typedef float Row __attribute__((vector_size(kLanes == 4 ? 16 : 32)));  // at least kBlock; what is too much is overwritten
  constexpr int kRow = sizeof(Row) / sizeof(float);
  const Cut cut(m, kBlock);
  const long stride = copy_stride(k);
  for (int j = 0; j < k; ++j, a += a_k) {
    float* to = out + j * kBlock;
    int i = 0, block = 0;
    for (; block < cut.longer && i + kRow <= readable; ++block, to += stride, i += cut.size + 1) store(to, load<Row>(a + i));
    for (; block < cut.count && block >= cut.longer && i + kRow <= readable; ++block, to += stride, i += cut.size) store(to, load<Row>(a + i));
    for (; block < cut.count; i += cut.rows(block), ++block, to += stride) {
      for (int r = 0; r < cut.rows(block); ++r) to[r] = a[i + r];
    }
  }
}

inline void multiply_transposed(int m, int N, int K, bool add, const float* a, long a_k, const float* b, float* c, long c_row) {
  if (m <= 0) return;
  alignas(64) float copied[copy_stride(kDepth) * (kCopied / kBlock)];
  const bool copy = N > 2 * kPanel;  // copying A pays when several panels read it
  const Cut cut(m, copy ? kCopied : kCached);
  for (int i = 0; i < cut.count; ++i) {
    const long first = cut.first(i);
    for (int k = 0; k < K; k += kDepth) {
      Blocks blocks;
      blocks.k = min(kDepth, K - k);
      blocks.a = a + k * a_k + first;
      blocks.a_step = a_k;
      blocks.b = b + static_cast<long>(k) * kPanel;
      blocks.b_panel = static_cast<long>(K) * kPanel;
      blocks.c = c + first * c_row;
      blocks.c_row = c_row;
      blocks.add = add || k > 0;
      if (copy) {
        const bool more_k = k + kDepth < K, more_rows = i + 1 < cut.count;
        const float* next = more_k ? blocks.a + kDepth * a_k : more_rows ? a + cut.first(i + 1) : nullptr;
        copy_blocks(cut.rows(i), m - cut.first(i), blocks.k, blocks.a, a_k, copied);
        blocks.a = copied;
        blocks.a_step = kBlock;
        multiply_panels<true>(cut.rows(i), blocks, N, copy_stride(blocks.k), next, a_k);
      } else {
        multiply_panels<true>(cut.rows(i), blocks, N);
      }
    }
  }
}

/// c[i * c_row + n] (+)= sum over j < k of a[j * a_k + i] * B[j][n], i < m, n < N; b is packed.
template <int N, bool kAdd>
KERNEL_INLINE void product_t(int m, int k, const float* a, long a_k, const float* b, float* c, long c_row) {
  multiply_transposed(m, N, k, kAdd, a, a_k, b, c, c_row);
}

// ---- packing -------------------------------------------------------------------------------------------------------------------

#if defined(__AVX512F__)
#define KERNEL_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define KERNEL_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX2__) && defined(__FMA__)
#define KERNEL_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define KERNEL_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define KERNEL_LOW 0, 4, 1, 5
#define KERNEL_HIGH 2, 6, 3, 7
#endif

/// Transposes kLanes x kLanes floats.
KERNEL_INLINE void transpose(vf (&x)[kLanes]) {
  KERNEL_UNROLL
  for (int round = 1; round < kLanes; round *= 2) {
    vf y[kLanes];
    KERNEL_UNROLL
    for (int i = 0; i < kLanes / 2; ++i) {
      y[2 * i] = __builtin_shufflevector(x[i], x[i + kLanes / 2], KERNEL_LOW);
      y[2 * i + 1] = __builtin_shufflevector(x[i], x[i + kLanes / 2], KERNEL_HIGH);
    }
    KERNEL_UNROLL
    for (int i = 0; i < kLanes; ++i) x[i] = y[i];
  }
}

/// Packs B[k][n] = src[k * stride_k + n * stride_n] into packed_floats(K, N) floats.
inline void pack(const float* src, long stride_k, long stride_n, int K, int N, float* dst) {
  for (int n = 0; n < N; n += kPanel, dst += static_cast<long>(K) * kPanel) {
    const int columns = min(kPanel, N - n);
    const float* from = src + n * stride_n;
    int k = 0;
    if (columns == kPanel && stride_n == 1) {
      for (; k < K; ++k) {
        store(dst + k * kPanel, load<vf>(from + k * stride_k));
        store(dst + k * kPanel + kLanes, load<vf>(from + k * stride_k + kLanes));
      }
    } else if (columns == kPanel && stride_k == 1) {
      for (; k + kLanes <= K; k += kLanes) {
        for (int half = 0; half < kPanel; half += kLanes) {
          vf x[kLanes];
          KERNEL_UNROLL
          for (int i = 0; i < kLanes; ++i) x[i] = load<vf>(from + (half + i) * stride_n + k);
          transpose(x);
          KERNEL_UNROLL
          for (int i = 0; i < kLanes; ++i) store(dst + (k + i) * kPanel + half, x[i]);
        }
      }
    }
    for (; k < K; ++k) {
      for (int i = 0; i < kPanel; ++i) dst[k * kPanel + i] = i < columns ? from[k * stride_k + i * stride_n] : 0.0f;
    }
  }
}

// ---- measuring the machine -------------------------------------------------------------------------------------------------------

constexpr int kPeakChains = kLanes == 4 ? 10 : 12;
constexpr long kPeakFlops = 2L * kLanes * kPeakChains;  // of one iteration of fma_peak

/// n iterations of independent multiply-adds on numbers that do not repeat (x -> x^2 - 1.9 is chaotic).
__attribute__((noinline)) inline float fma_peak(long n) {
  vf x[kPeakChains];
  for (int i = 0; i < kPeakChains; ++i) x[i] = 0.01f * real(ramp<vf>(i * kLanes));
  const vf c = splat<vf>(-1.9f);
  KERNEL_ROLLED
  for (long i = 0; i < n; ++i) {
    KERNEL_UNROLL
    for (int j = 0; j < kPeakChains; ++j) x[j] = fma(x[j], x[j], c);
  }
  vf total = x[0];
  for (int i = 1; i < kPeakChains; ++i) total += x[i];
  return hsum(total);
}

/// The sum of n floats: what a core reads.
__attribute__((noinline)) inline float read_sum(const float* x, long n) {
  vf sum[8] = {};
  long i = 0;
  for (; i + 8 * kLanes <= n; i += 8 * kLanes) {
    KERNEL_UNROLL
    for (int j = 0; j < 8; ++j) sum[j] += load<vf>(x + i + j * kLanes);
  }
  float rest = 0;
  for (; i < n; ++i) rest += x[i];
  return hsum(((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]))) + rest;
}

}  // namespace CPUFLOW_KERNEL_NAMESPACE
#endif
