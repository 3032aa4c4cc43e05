// Building blocks of generated kernels: lanes of floats and elementwise functions; products.h continues.
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
/// kCount numbers of type T in one vector.
template <class T, int kCount>
struct Several {
  typedef T type __attribute__((vector_size(sizeof(T) * kCount)));
};
typedef float vf __attribute__((vector_size(4 * kLanes)));    // one register of floats; a loop ends with halves of it, down to four lanes
typedef int32_t vi __attribute__((vector_size(4 * kLanes)));  // as many integers; also a mask: 0 or -1

template <class V>
constexpr bool kIsVector = sizeof(V) > 8;
template <class V>
struct IntOf {
  using type = decltype(V() < V());
};
template <>
struct IntOf<float> {
  using type = int32_t;
};
template <>
struct IntOf<double> {
  using type = long;
};
/// The integers beside V: vi for vf, int32_t for float.
template <class V>
using int_of = typename IntOf<V>::type;
/// How many floats, or integers of their size, V holds.
template <class V>
constexpr int kLanesOf = sizeof(V) / 4;

template <class V>
concept Vector = kIsVector<V>;
template <class V>
concept Floats = kIsVector<V> && __is_same(__typeof__(V{}[0] + V{}[0]), float);

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
/// Asks for the line of what is written soon.
template <class T>
KERNEL_INLINE void will_write(const T* p) {
  __builtin_prefetch(p, 1, 3);
}
/// Asks for the line of what is read soon, into the second cache.
template <class T>
KERNEL_INLINE void will_read(const T* p) {
  __builtin_prefetch(p, 0, 2);
}

template <class V>
KERNEL_INLINE void store(float* p, V value) {
  typedef V unaligned __attribute__((aligned(4), may_alias));
  *reinterpret_cast<unaligned*>(p) = value;
}
/// base, base + 1, ...
template <class V>
KERNEL_INLINE int_of<V> ramp(int32_t base) {
  if constexpr (!kIsVector<V>) {
    return base;
  } else if constexpr (kLanesOf<V> == 4) {
    return base + int_of<V>{0, 1, 2, 3};
  } else if constexpr (kLanesOf<V> == 8) {
    return base + int_of<V>{0, 1, 2, 3, 4, 5, 6, 7};
  } else {
    return base + int_of<V>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  }
}

/// base[index], lane by lane; of floats, or of what becomes one.
template <class V, class T>
KERNEL_INLINE V gather(const T* base, int_of<V> index) {
  if constexpr (kIsVector<V>) {
    V out = {};
    for (int i = 0; i < kLanesOf<V>; ++i) out[i] = base[index[i]];
    return out;
  } else {
    return base[index];
  }
}

KERNEL_INLINE float real(int32_t x) { return static_cast<float>(x); }
template <Vector I>
KERNEL_INLINE auto real(I x) {
  return __builtin_convertvector(x, typename Several<float, kLanesOf<I>>::type);
}
/// Towards zero; |x| < 2^31.
KERNEL_INLINE int32_t toint(float x) { return static_cast<int32_t>(x); }
template <Vector V>
KERNEL_INLINE int_of<V> toint(V x) {
  return __builtin_convertvector(x, int_of<V>);
}

/// Calls f.operator()<vf>(i) for i = first, first + kLanes, ... and f.operator()<float>(i) for what remains up to the last, without it.
template <class F>
KERNEL_INLINE void for_lanes(int first, int last, F&& f) {
  int i = first;
  for (; i + kLanes <= last; i += kLanes) f.template operator()<vf>(i);
  KERNEL_ROLLED
  for (; i < last; ++i) f.template operator()<float>(i);
}
template <class F>
KERNEL_INLINE void for_lanes(int n, F&& f) {
  for_lanes(0, n, f);
}
/// The same from I to the number N, which is less than a vector away: half of one, a quarter, down to four lanes, then one at a time.
template <int N, int I, int kCount, class F>
KERNEL_INLINE void for_last_lanes(F&& f) {
  if constexpr (I < N && kCount < 4) {
    KERNEL_ROLLED
    for (int i = I; i < N; ++i) f.template operator()<float>(i);
  } else if constexpr (I + kCount <= N) {
    f.template operator()<typename Several<float, kCount>::type>(I);
    for_last_lanes<N, I + kCount, kCount / 2>(f);
  } else if constexpr (I < N) {
    for_last_lanes<N, I, kCount / 2>(f);
  }
}
template <int N, class F>
KERNEL_INLINE void for_lanes(F&& f) {
  constexpr int whole = N / kLanes * kLanes;
  for (int i = 0; i < whole; i += kLanes) f.template operator()<vf>(i);
  for_last_lanes<N, whole, kLanes / 2>(f);
}

/// While it lives, what this thread computes below 2^-126 in size is 0.  Numbers between, which decays over long distances make in masses, take a hundred
/// times as long as others on many processors, and say nothing: sums that they are part of do not hold their digits.
class [[maybe_unused]] FlushToZero {
#if defined(__SSE__)
 public:
  KERNEL_INLINE FlushToZero() {
    __asm__ volatile("stmxcsr %0" : "=m"(before_));
    const uint32_t flushing = before_ | 0x8000;
    __asm__ volatile("ldmxcsr %0" : : "m"(flushing) : "memory");
  }
  FlushToZero(const FlushToZero&) = delete;
  FlushToZero& operator=(const FlushToZero&) = delete;
  KERNEL_INLINE ~FlushToZero() { __asm__ volatile("ldmxcsr %0" : : "m"(before_) : "memory"); }

 private:
  uint32_t before_;
#endif
};

// ---- choices and reductions over lanes ---------------------------------------------------------------------------------------------

/// mask ? a : b, lane by lane; with a bool the whole of a or b.
template <class T>
KERNEL_INLINE T select(bool condition, T a, T b) {
  return condition ? a : b;
}
template <Vector I, Vector V>
KERNEL_INLINE V select(I mask, V a, V b) {
  return mask ? a : b;
}
KERNEL_INLINE bool not_(bool condition) { return !condition; }
template <Vector I>
KERNEL_INLINE I not_(I mask) {
  return ~mask;
}
KERNEL_INLINE bool and_(bool a, bool b) { return a && b; }
template <Vector I>
KERNEL_INLINE I and_(I a, I b) {
  return a & b;
}
KERNEL_INLINE bool or_(bool a, bool b) { return a || b; }
template <Vector I>
KERNEL_INLINE I or_(I a, I b) {
  return a | b;
}

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
    using Half = typename Several<T, sizeof(V) / sizeof(T) / 2>::type;
    struct Halves {
      Half low, high;
    };
    const Halves h = bits_as<Halves>(x);
    return reduce_lanes(f(h.low, h.high), f);
  }
}
template <Floats V>
KERNEL_INLINE float hsum(V x) {
  return reduce_lanes(
      x, [](auto a, auto b) __attribute__((always_inline)) { return a + b; });
}
template <Floats V>
KERNEL_INLINE float hprod(V x) {
  return reduce_lanes(
      x, [](auto a, auto b) __attribute__((always_inline)) { return a * b; });
}
template <Floats V>
KERNEL_INLINE float hmax(V x) {
  return reduce_lanes(
      x, [](auto a, auto b) __attribute__((always_inline)) { return max(a, b); });
}
template <Floats V>
KERNEL_INLINE float hmin(V x) {
  return reduce_lanes(
      x, [](auto a, auto b) __attribute__((always_inline)) { return min(a, b); });
}
/// Bit i: lane i of a mask.
KERNEL_INLINE uint32_t bits_of_lanes(vi mask) {
#if defined(__clang__)
  typedef bool Bits __attribute__((ext_vector_type(kLanes)));
  const Bits bits = __builtin_convertvector(mask, Bits);
  if constexpr (kLanes == 16) return bits_as<unsigned short>(bits);
  else return bits_as<unsigned char>(bits) & ((1u << kLanes) - 1);
#else
  uint32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(mask[i] & 1) << i;
  return bits;
#endif
}
KERNEL_INLINE float hsum(float x) { return x; }
KERNEL_INLINE float hprod(float x) { return x; }
KERNEL_INLINE float hmax(float x) { return x; }
KERNEL_INLINE float hmin(float x) { return x; }

// ---- arithmetic ----------------------------------------------------------------------------------------------------------------
// A function is a template over V (vf, a part of it, or float), so that a lane and the scalar of a tail get the same bits.

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
template <Floats V>
KERNEL_INLINE V fma(V a, V b, V c) {
#if !KERNEL_HAS_FMA
  return a * b + c;
#elif defined(KERNEL_ELEMENTWISE)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__x86_64__)
  if constexpr (sizeof(V) == 64) return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4);
  else if constexpr (sizeof(V) == 32) return __builtin_ia32_vfmaddps256(a, b, c);
  else return __builtin_ia32_vfmaddps(a, b, c);
#else
  for (int i = 0; i < kLanesOf<V>; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
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
template <Floats V>
KERNEL_INLINE V sqrt(V x) {
#if defined(KERNEL_ELEMENTWISE)
  return __builtin_elementwise_sqrt(x);
#elif defined(__SSE2__)
  if constexpr (sizeof(V) == 64) return __builtin_ia32_sqrtps512_mask(x, x, -1, 4);
  else if constexpr (sizeof(V) == 32) return __builtin_ia32_sqrtps256(x);
  else return __builtin_ia32_sqrtps(x);
#else
  for (int i = 0; i < kLanesOf<V>; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

template <class V>
KERNEL_INLINE V abs_of(V x) {
  return bits_as<V>(bits_as<int_of<V>>(x) & 0x7fffffff);
}
KERNEL_INLINE float abs(float x) { return abs_of(x); }
template <Floats V>
KERNEL_INLINE V abs(V x) {
  return abs_of(x);
}
template <class I>
KERNEL_INLINE I abs(I x) {
  return x < 0 ? -x : x;
}

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
  return i - (real(i) > x ? splati<V>(1) : splati<V>(0));
}
template <class V>
KERNEL_INLINE int_of<V> ceil(V x) {
  const int_of<V> i = toint(x);
  return i + (real(i) < x ? splati<V>(1) : splati<V>(0));
}

/// What an integer is divided by: 1 where the processor would stop the process, also for what a select does not choose: in place of 0, and of -1 below -2^31,
/// whose quotient is no integer of this size.
template <class I>
KERNEL_INLINE I divisor(I a, I b) {
  const auto too_large = (a == -0x7fffffff - 1) & (b == -1);
  return b + ((b == 0) ? I{} + 1 : I{}) + (too_large ? I{} + 2 : I{});
}
/// Quotient rounded down, and the remainder with the divisor's sign, of integers.
template <class I>
KERNEL_INLINE I floordiv(I a, I b) {
  const I by = divisor(a, b), quotient = a / by, rest = a - quotient * by;
  return quotient - ((((rest ^ by) < 0) & (rest != 0)) ? I{} + 1 : I{});
}
template <class I>
KERNEL_INLINE I mod(I a, I b) {
  const I by = divisor(a, b), rest = a - a / by * by;
  return rest + ((((rest ^ by) < 0) & (rest != 0)) ? by : I{});
}

/// The same of real numbers: a - b * floor(a / b).  The quotient is rounded before it is rounded down, so it may be one off: the rest tells.
template <class V>
struct Division {
  V quotient, rest;
  KERNEL_INLINE Division(V a, V b) {
    const V zero = splat<V>(0.0f), one = splat<V>(1.0f), q = a / b;
    const V down = select(abs(q) < splat<V>(8388608.0f), real(floor(q)), q);  // from there on every float is a whole number
    const V first = fma(-down, b, a);
    const auto below = ((first < zero) ^ (b < zero)) & (first != zero);
    const auto above = abs(first) >= abs(b);
    quotient = select(below, down - one, select(above, down + one, down));
    rest = fma(-quotient, b, a);
  }
};
KERNEL_INLINE float floordiv(float a, float b) { return Division<float>(a, b).quotient; }
template <Floats V>
KERNEL_INLINE V floordiv(V a, V b) {
  return Division<V>(a, b).quotient;
}
KERNEL_INLINE float mod(float a, float b) { return Division<float>(a, b).rest; }
template <Floats V>
KERNEL_INLINE V mod(V a, V b) {
  return Division<V>(a, b).rest;
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

#if defined(__AVX512F__)
/// x 2^n for whole numbers n.
template <Floats V>
KERNEL_INLINE V scale_lanes(V x, V n) {
  if constexpr (sizeof(V) == 64) return __builtin_ia32_scalefps512_mask(x, n, x, -1, 4);
  else if constexpr (sizeof(V) == 32) return __builtin_ia32_scalefps256_mask(x, n, x, -1);
  else return __builtin_ia32_scalefps128_mask(x, n, x, -1);
}
#endif

/// x 2^n for -252 <= n <= 254; denormal results and infinity included.
template <class V>
KERNEL_INLINE V scaled(V x, int_of<V> n) {
#if defined(__AVX512F__)
  if constexpr (kIsVector<V>) return scale_lanes(x, real(n));
#endif
  const int_of<V> half = n >> 1;
  return x * power_of_two<V>(half) * power_of_two<V>(n - half);
}

/// e^x; denormal results and infinity included.  Error below 1.1 ulp.
template <class V>
KERNEL_INLINE V exp(V x) {
  const auto [small, exponent] = split_exp(min(max(x, splat<V>(-170.0f)), splat<V>(89.0f)));
  return scaled(small + 1.0f, exponent);
}

/// Natural logarithm; -inf at 0, NaN below.  Error below 1 ulp.
template <class V>
KERNEL_INLINE V log(V x) {
  using I = int_of<V>;
  const V size = abs(x);
  const auto denormal = size < 0x1p-126f;
  const I bits = bits_as<I>(denormal ? size * 0x1p23f : size) - 0x3f3504f3;  // of sqrt(1/2)
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

/// 1 / (1 + exp(-x)).  Error below 2.3 ulp; small results keep their relative accuracy.
template <class V>
KERNEL_INLINE V sigmoid(V x) {
  const V z = exp(-abs(x));
  return (x < 0.0f ? z : splat<V>(1.0f)) / (1.0f + z);
}

/// log(1 + exp(x)).  Error below 2.8 ulp.
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
  const V log_rest =
      polynomial(t, -0.000195640401f, -1.12767577f, -0.637181997f, -0.103931829f, 0.0222270451f, -0.00304325437f, 0.000195941961f);
  return with_sign_of(t < 0.95f ? near : 1.0f - exp(log_rest), x);
}

// The next ones are computed in double precision, half a vector at a time.
template <class V>
struct Halves {
  using Half = typename Several<float, kLanesOf<V> / 2>::type;
  Half low, high;
  static KERNEL_INLINE auto wide(Half x) { return __builtin_convertvector(x, typename Several<double, kLanesOf<Half>>::type); }
  template <class D>
  static KERNEL_INLINE Half narrow(D x) {
    return __builtin_convertvector(x, Half);
  }
};
template <class F, class... V>
KERNEL_INLINE float in_double(F f, float x, V... more) {
  return static_cast<float>(f(static_cast<double>(x), static_cast<double>(more)...));
}
template <class F, Floats V, class... More>
KERNEL_INLINE V in_double(F f, V x, More... more) {
  using H = Halves<V>;
  return bits_as<V>(H{H::narrow(f(H::wide(bits_as<H>(x).low), H::wide(bits_as<H>(more).low)...)),
                      H::narrow(f(H::wide(bits_as<H>(x).high), H::wide(bits_as<H>(more).high)...))});
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
  return in_double(
      [](auto d) __attribute__((always_inline)) { return sine(d, 0); }, x);
}
template <class V>
KERNEL_INLINE V cos(V x) {
  return in_double(
      [](auto d) __attribute__((always_inline)) { return sine(d, 1); }, x);
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
  D log2 =
      e +
      s * (2.8853900817779268 +
           s2 * (0.96179669392469569 +
                 s2 * (0.57707801711274831 +
                       s2 * (0.41219842020515124 + s2 * (0.32061525975224986 + s2 * (0.26147684536753069 + s2 * 0.24256069332124858))))));
  log2 = size == 0.0 ? D{} - inf : size < inf ? log2 : size;
  // 2^(y log2 |x|)
  const D p = min(max(y * log2, D{} - 200.0), D{} + 200.0), t = p + shift, n = t - shift, f = p - n;
  const D q =
      0.99999999995954969 +
      f * (0.69314718053502955 +
           f * (0.240226512135852 + f * (0.055504109761009231 +
                                         f * (0.0096180256040191425 +
                                              f * (0.0013333422651478299 + f * (0.00015469731696743372 + f * 1.5316460433199082e-05))))));
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
  return in_double(
      [](auto a, auto b) __attribute__((always_inline)) { return power(a, b); }, x, y);
}
/// Whole numbers: by multiplication; 0 for negative exponents unless |x| = 1.
KERNEL_INLINE int32_t pow(int32_t x, int32_t y) {
  if (y < 0) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  uint32_t out = 1, base = static_cast<uint32_t>(x);
  for (; y > 0; y >>= 1, base *= base) out *= y & 1 ? base : 1;
  return static_cast<int32_t>(out);
}
template <Vector I>
  requires(!Floats<I>)
KERNEL_INLINE I pow(I x, I y) {
  for (int i = 0; i < kLanesOf<I>; ++i) x[i] = pow(x[i], y[i]);
  return x;
}
}  // namespace CPUFLOW_KERNEL_NAMESPACE
#endif
