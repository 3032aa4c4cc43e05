// Reductions, choices and draws that generated loops use.  Appended to kernel_prelude.h; includes nothing.
namespace CPUFLOW_KERNEL_NAMESPACE {

/// How a reduction combines: its neutral element, two values, and the lanes of a vector.
struct Adding {
  static constexpr float kNeutral = 0.0f;
  template <class V>
  static KERNEL_INLINE V both(V x, V y) { return x + y; }
  template <class V>
  static KERNEL_INLINE float all(V x) {
    return hsum(x);
  }
};
struct Multiplying {
  static constexpr float kNeutral = 1.0f;
  template <class V>
  static KERNEL_INLINE V both(V x, V y) { return x * y; }
  template <class V>
  static KERNEL_INLINE float all(V x) {
    return hprod(x);
  }
};
struct Largest {
  static constexpr float kNeutral = -__builtin_inff();
  template <class V>
  static KERNEL_INLINE V both(V x, V y) { return max(x, y); }
  template <class V>
  static KERNEL_INLINE float all(V x) {
    return hmax(x);
  }
};
struct Smallest {
  static constexpr float kNeutral = __builtin_inff();
  template <class V>
  static KERNEL_INLINE V both(V x, V y) { return min(x, y); }
  template <class V>
  static KERNEL_INLINE float all(V x) {
    return hmin(x);
  }
};

/// Combines vectors in four independent chains, and what is less than one in another; the order depends on the number of elements only.
template <class How>
class Reduction {
 public:
  KERNEL_INLINE void add(vf x) {
    vf& chain = chains_[next_++ & 3];
    chain = How::both(chain, x);
  }
  template <class V>
  KERNEL_INLINE void add(V part) {
    tail_ = How::both(tail_, How::all(part));
  }
  KERNEL_INLINE float total() const {
    return How::both(How::all(How::both(How::both(chains_[0], chains_[1]), How::both(chains_[2], chains_[3]))), tail_);
  }

 private:
  vf chains_[4] = {splat<vf>(How::kNeutral), splat<vf>(How::kNeutral), splat<vf>(How::kNeutral), splat<vf>(How::kNeutral)};
  float tail_ = How::kNeutral;
  int next_ = 0;
};
using SumOf = Reduction<Adding>;
using ProdOf = Reduction<Multiplying>;
using MaxOf = Reduction<Largest>;
using MinOf = Reduction<Smallest>;

/// The same for a row of which some columns come at a time.
template <class How>
class RowReduction {
 public:
  KERNEL_INLINE void add(vf x) { chain_ = How::both(chain_, x); }
  KERNEL_INLINE void add(float x) { chain_[0] = How::both(float(chain_[0]), x); }
  KERNEL_INLINE float total() const { return How::all(chain_); }

 private:
  vf chain_ = splat<vf>(How::kNeutral);
};
using RowSum = RowReduction<Adding>;
using RowProd = RowReduction<Multiplying>;
using RowMax = RowReduction<Largest>;
using RowMin = RowReduction<Smallest>;

/// Calls f for the columns first .. first + columns - 1 of N, which are a panel's: f.operator()<vf>(i), and f.operator()<float>(i) for what no vector holds.
template <int N, class F>
KERNEL_INLINE void for_block(int first, int columns, F&& f) {
  if (N % kPanel == 0 || columns == kPanel) {
    KERNEL_UNROLL
    for (int i = 0; i < kPanel; i += kLanes) f.template operator()<vf>(first + i);
  } else {
    for_lanes(first, first + columns, f);
  }
}

/// Whether sums of exponentials, and what they are multiplied with, are far from the ends of what a float holds.
inline bool all_moderate(int rows, const float* sums) {
  bool all = true;
  for (int row = 0; row < rows; ++row) all = all && sums[row] > 0x1p-80f && sums[row] < 0x1p80f;
  return all;
}

/// base[index], lane by lane.
template <class V>
KERNEL_INLINE int_of<V> gatheri(const int32_t* base, int_of<V> index) {
  if constexpr (sizeof(V) == sizeof(float)) {
    return base[index];
  } else {
    int_of<V> out = {};
    for (int i = 0; i < kLanesOf<V>; ++i) out[i] = base[index[i]];
    return out;
  }
}

/// Uniform in [0, 1): a hash of the run's seed, the micro-batch, the sequence, the stream and the element (SplitMix64 finaliser).
inline float uniform(const cpuflow_call* call, uint32_t stream, uint32_t element) {
  uint64_t z = call->seed + 0x9e3779b97f4a7c15ull * ((call->counter << 32) + static_cast<uint64_t>(call->sequence) + 1);
  z ^= (static_cast<uint64_t>(stream) << 32) | element;
  for (int round = 0; round < 2; ++round) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
  }
  return static_cast<float>(z >> 40) * 0x1p-24f;
}

/// The draws of the elements first, first + step, ..: one a lane.
template <class V>
inline V uniforms(const cpuflow_call* call, uint32_t stream, uint32_t first, uint32_t step) {
  if constexpr (!kIsVector<V>) {
    return uniform(call, stream, first);
  } else {
    V out = {};
    for (int i = 0; i < kLanesOf<V>; ++i) out[i] = uniform(call, stream, first + static_cast<uint32_t>(i) * step);
    return out;
  }
}

/// Rows of a product, and what lies between two of them in a lane: those of a tile, or one of each stream (or sequence that is run together).
inline int rows_of(const cpuflow_call* call, int tile) { return call->streams > 1 ? call->streams : tile; }
inline long row_step(const cpuflow_call* call, long step) { return call->streams > 1 ? call->lane_step : step; }
/// How many calls of sequences that run together follow each other.
inline int sequences_of(const cpuflow_call* calls) { return max(calls->streams, 1); }
inline Team team_of(const cpuflow_call* call) { return {call->fork, call->team}; }
/// One stream reads columns backwards at every other position; several take longer to multiply.
inline bool backwards(const cpuflow_call* call) { return call->streams <= 1 && call->first % 2 != 0; }
inline Partner partner_of(const cpuflow_call* call) { return {call->part, call->parts, call->pass_on, call->partner, backwards(call)}; }
/// For products that are not worth a meeting.
inline Partner alone(const cpuflow_call* call) { return {0, 1, nullptr, nullptr, backwards(call)}; }

inline void fill(float* p, long n, float value) {
  for (long i = 0; i < n; ++i) p[i] = value;
}

/// Moves the last `history` of (history + n) rows to the front.
inline void shift(float* first, long n, long history, long stride) {
  for (long i = 0; i < history * stride; ++i) first[i] = first[i + n * stride];
}

/// Where x is not 0, of x[first] to x[last - 1], ascending; how many.
template <class T>
inline int find_nonzeros(const T* x, long stride, int first, int last, int* at) {
  int count = 0, i = first;
  if (stride == 1) {
    for (; i + kLanes <= last; i += kLanes) {
      for (uint32_t bits = bits_of_lanes(load<vf>(x + i) != 0.0f); bits != 0; bits &= bits - 1) at[count++] = i + __builtin_ctz(bits);
    }
  }
  for (; i < last; ++i) {
    if (static_cast<float>(x[i * stride]) != 0.0f) at[count++] = i;
  }
  return count;
}

/// Index of the largest of n values; the lowest among equals.
inline int argmax(const float* x, long stride, int n) {
  int best = 0;
  for (int i = 1; i < n; ++i) {
    if (x[i * stride] > x[best * stride]) best = i;
  }
  return best;
}

/// The largest element from x[first] to x[last - 1] that the mask leaves out.
inline float largest_left(const float* x, long stride, const float* mask, long mask_stride, int first, int last) {
  MaxOf best;
  if (stride == 1 && mask_stride == 1) {
    for_lanes(last - first, [&]<class V>(int i) { best.add(select(load<V>(mask + first + i) != 0.0f, splat<V>(-__builtin_inff()), load<V>(x + first + i))); });
  } else {
    for (int i = first; i < last; ++i) best.add(mask[i * mask_stride] != 0.0f ? -__builtin_inff() : x[i * stride]);
  }
  return best.total();
}

inline void clear(float* x, int n, long stride) {
  if (stride == 1) return fill(x, n, 0.0f);
  for (int i = 0; i < n; ++i) x[i * stride] = 0.0f;
}

/// A number that at least k of the n elements of x reach, and few more: of `count` shares of x (each lane of a part of its vectors is one) the k-th largest of their
/// largest elements.  n: whole vectors; `count`: at most 64, a multiple of the lanes.
inline float reached_by_few(const float* x, int n, int k, int count) {
  float largest[64];
  const int groups = count / kLanes, length = n / kLanes / groups * kLanes;
  for (int g = 0; g < groups; ++g) {
    const int first = g * length, last = g + 1 < groups ? first + length : n;
    vf best = splat<vf>(-__builtin_inff());
    for (int i = first; i < last; i += kLanes) best = max(best, load<vf>(x + i));
    store(largest + g * kLanes, best);
  }
  vf reached = splat<vf>(__builtin_inff());
  for (int g = 0; g < groups; ++g) {
    const vf v = load<vf>(largest + g * kLanes);
    vi larger = {};
    for (int i = 0; i < count; ++i) larger -= splat<vf>(largest[i]) > v;
    reached = min(reached, select(larger < k, v, splat<vf>(__builtin_inff())));
  }
  return hmin(reached);
}

/// Of `count` numbers (and what is behind them up to whole vectors) before[i] becomes how many are larger than x[i], or as large and earlier.
inline void rank(const float* x, int count, int32_t* before) {
  for (int first = 0; first < count; first += kLanes) {
    const vf v = load<vf>(x + first);
    const vi at = ramp<vf>(first);
    const int last = min(first + kLanes, count);
    vi sum = {};
    for (int i = 0; i < first; ++i) sum -= splat<vf>(x[i]) >= v;
    for (int i = first; i < last; ++i) sum -= (splat<vf>(x[i]) > v) | ((splat<vf>(x[i]) == v) & (i < at));
    for (int i = last; i < count; ++i) sum -= splat<vf>(x[i]) > v;
    __builtin_memcpy(before + first, &sum, sizeof sum);
  }
}

/// topk_mask of a row of which few elements are nearly as large as the k largest: those are ranked.  false: it is too short, or many are, and nothing is done.
inline bool topk_mask_of_row(const float* x, int n, int k, float* mask, long mask_stride) {
  constexpr int kMost = 128, kWord = 64;
  const int shares = k <= 16 ? 32 : 64, whole = n / kLanes * kLanes;
  if (k > 32 || whole < 4 * shares) return false;
  const float bound = reached_by_few(x, whole, k, shares);
  int at[kMost + kWord], count = 0;
  for (int i = 0; i < whole; i += kWord) {
    uint64_t bits = 0;
    for (int j = 0; j < kWord && i + j < whole; j += kLanes) bits |= uint64_t{bits_of_lanes(load<vf>(x + i + j) >= bound)} << j;
    for (; bits != 0; bits &= bits - 1) at[count++] = i + __builtin_ctzll(bits);
    if (count > kMost) return false;
  }
  for (int i = whole; i < n; ++i) {
    if (x[i] >= bound) at[count++] = i;
  }
  if (count < k) return false;  // too few are numbers
  float candidates[kMost + kWord];
  int32_t before[kMost + kWord];
  for (int i = 0; i < count; ++i) candidates[i] = x[at[i]];
  for (int i = count; i % kLanes != 0; ++i) candidates[i] = 0.0f;
  rank(candidates, count, before);
  clear(mask, n, mask_stride);
  for (int i = 0; i < count; ++i) mask[at[i] * mask_stride] = before[i] < k ? 1.0f : 0.0f;
  return true;
}

/// 1 where an element is among the k largest, else 0; ties go to the lowest index.  The largest of each block is known, so that a choice looks
/// at one block only.
inline void topk_mask(const float* x, long stride, int n, int k, float* mask, long mask_stride) {
  if (stride == 1 && topk_mask_of_row(x, n, k, mask, mask_stride)) return;
  constexpr int kBlocks = 32;
  const int length = n <= kBlocks * 16 ? 16 : (n + kBlocks - 1) / kBlocks, blocks = (n + length - 1) / length;
  float best[kBlocks];
  int left[kBlocks];
  clear(mask, n, mask_stride);
  auto end = [&](int b) { return b + 1 < blocks ? (b + 1) * length : n; };
  for (int b = 0; b < blocks; ++b) {
    best[b] = largest_left(x, stride, mask, mask_stride, b * length, end(b));
    left[b] = end(b) - b * length;
  }
  for (int round = 0; round < k && round < n; ++round) {
    int block = -1;
    for (int b = 0; b < blocks; ++b) {
      if (left[b] > 0 && (block < 0 || best[b] > best[block])) block = b;
    }
    int chosen = -1;
    for (int i = block * length; i < end(block); ++i) {
      if (mask[i * mask_stride] != 0.0f) continue;
      if (chosen < 0) chosen = i;  // if none equals the largest, they are not numbers
      if (x[i * stride] == best[block]) {
        chosen = i;
        break;
      }
    }
    mask[chosen * mask_stride] = 1.0f;
    --left[block];
    best[block] = largest_left(x, stride, mask, mask_stride, block * length, end(block));
  }
}

}  // namespace CPUFLOW_KERNEL_NAMESPACE
