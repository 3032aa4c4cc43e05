// Products of float32 matrices with a packed right operand.  Appended to kernel_prelude.h in generated code; includes nothing.
#ifndef CPUFLOW_KERNEL_PRODUCTS_H
#define CPUFLOW_KERNEL_PRODUCTS_H

// Loops around the inner ones: their time is the compiler's.
#if defined(__clang__)
#define KERNEL_OUTER __attribute__((noinline, minsize)) inline
#else
#define KERNEL_OUTER __attribute__((noinline)) inline
#endif

namespace CPUFLOW_KERNEL_NAMESPACE {

// The right operand lies in panels of kPanel columns: [ceil(N / kPanel)][K][kPanel], padded with zeros.  A block of rows x kPanel
// sums stays in registers while k runs.  The order of the sums of an element depends on K only: k ascending within pieces of
// kDepth, the pieces one after the other; it does not matter how rows are spread over blocks or calls.

constexpr int kPanel = 2 * kLanes;
constexpr int kLineBytes = 64;
constexpr int kDepth = 256;                                     // inner steps of a piece: a panel's share fills half of the first cache
constexpr int kBlock = kLanes == 8 ? 6 : kLanes == 16 ? 8 : 4;  // rows of a block: as many as the registers hold
constexpr int kCached = 32 * kBlock;                            // rows whose piece stays in the second cache
constexpr int kCopied = 16 * kBlock;                            // the same for rows that are copied

/// What the four bytes of an operand hold: one float (here), or two bf16 (bf16.h).  Copies and panels do not care.
struct Singles {
  static constexpr int kNumbers = 1;  // along the inner axis
  static KERNEL_INLINE vf splat_at(const float* p) { return splat<vf>(*p); }
  static KERNEL_INLINE vf multiply_add(vf x, vf y, vf sum) { return fma(x, y, sum); }
};

/// Size of a packed K x N matrix in floats.
constexpr long packed_floats(int K, int N) { return static_cast<long>((N + kPanel - 1) / kPanel) * kPanel * K; }

/// How the left operand lies: rows a_row apart; columns, of which the next inner step's are a_row further on; or copied, kBlock for each inner step.
enum class Left { kRows, kColumns, kCopied };

/// Cache lines that are needed soon, `step` bytes from each other.
struct Lines {
  const char* at = nullptr;
  long step = 0;
  int left = 0;
  KERNEL_INLINE void pass(int count) { at += count * step, left -= count; }
};

/// The lines of rows of A, column by column.
struct LinesOfA {
  const char* at = nullptr;
  long step = 0;  // bytes between rows
  int rows = 0, columns = 0;
  KERNEL_INLINE Lines column(int i) const { return {at + i * kLineBytes, step, rows}; }
};
template <class A>
KERNEL_INLINE LinesOfA lines_of(const A* a, long a_row, int rows, int columns) {
  return {reinterpret_cast<const char*>(a), a_row * static_cast<long>(sizeof(A)), rows, (columns * static_cast<int>(sizeof(A)) + kLineBytes - 1) / kLineBytes};
}

/// A run of blocks, one below the other, against the same panel.
struct Blocks {
  int count = 1;
  int rows = kBlock;  // of a block to write; the others are computed for nothing
  int k = 0;          // inner steps
  const float* a = nullptr;
  long a_row = 0;
  long a_next = 0;  // between blocks
  const float* b = nullptr;
  long b_panel = 0;  // between panels
  float* c = nullptr;
  long c_row = 0;   // between rows
  int columns = 0;  // to write
  bool add = false;
  Lines fetch;               // what comes next: one of them every four inner steps
  float* c_later = nullptr;  // the block of C that comes after the last of these
};

/// Blocks of R rows and P panels.  Every instance costs compile time: there are few.
template <class Units, int R, int P, Left kLeft>
__attribute__((noinline)) void multiply_blocks(const Blocks& blocks) {
  constexpr int kRegs = 2 * P;
  constexpr bool kRows = kLeft == Left::kRows;
  const long a_row = blocks.a_row, b_panel = blocks.b_panel, c_row = blocks.c_row;
  const long a_step = kRows ? 1 : kLeft == Left::kColumns ? a_row : kBlock;
  const char* line = blocks.fetch.at;
  long line_step = blocks.fetch.left > 0 ? blocks.fetch.step : 0;
  int lines_left = blocks.fetch.left;
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
        const vf x = Units::splat_at(kRows ? a + r * a_row + u : a + u * a_step + r);
        KERNEL_UNROLL
        for (int j = 0; j < kRegs; ++j) sum[r][j] = Units::multiply_add(x, row[j], sum[r][j]);
      }
    };
    auto ask_for_row = [&](const float* row) __attribute__((always_inline)) {
      KERNEL_UNROLL
      for (int j = 0; j < kRegs * kLanes; j += 16) __builtin_prefetch(row + j, 1);
    };
    if constexpr (kRows) {
      KERNEL_UNROLL
      for (int r = 0; r < R; ++r) ask_for_row(c + r * c_row);
    }
    // A gradient may come from memory: its next block is asked for row by row, since all of it at once would keep A and B waiting.
    const float* c_ahead = i + 1 < blocks.count || !blocks.c_later ? c + R * c_row : blocks.c_later;
    const int steps_a_row = blocks.k / (4 * R);
    int left = steps_a_row;
    if constexpr (!kRows) {
      if (lines_left <= 0) line_step = 0;
      lines_left -= blocks.k / 4;
    }
    int k = blocks.k;
    KERNEL_ROLLED
    for (; k >= 4; k -= 4) {
      __builtin_prefetch(line, 0, 2);
      line += line_step;
      if (!kRows && --left <= 0) {
        ask_for_row(c_ahead);
        c_ahead += c_row;
        left = steps_a_row;
      }
      KERNEL_UNROLL
      for (int u = 0; u < 4; ++u) step(u);
      a += 4 * a_step;
      b += 4 * kPanel;
    }
    KERNEL_ROLLED
    for (; k > 0; --k) {
      step(0);
      a += a_step;
      b += kPanel;
    }
    if (blocks.columns == P * kPanel) {
      KERNEL_UNROLL
      for (int r = 0; r < R; ++r) {
        if (kLeft != Left::kCopied || r < blocks.rows) {
          KERNEL_UNROLL
          for (int j = 0; j < kRegs; ++j) {
            float* p = c + r * c_row + j * kLanes;
            store(p, blocks.add ? load<vf>(p) + sum[r][j] : sum[r][j]);
          }
        }
      }
    } else {
      float edge[R][P * kPanel];
      KERNEL_UNROLL
      for (int r = 0; r < R; ++r) {
        KERNEL_UNROLL
        for (int j = 0; j < kRegs; ++j) store(edge[r] + j * kLanes, sum[r][j]);
      }
      const int rows = min(R, blocks.rows);
      KERNEL_ROLLED
      for (int r = 0; r < rows; ++r) {
        KERNEL_ROLLED
        for (int n = 0; n < blocks.columns; ++n) {
          float& out = c[r * c_row + n];
          out = blocks.add ? out + edge[r][n] : edge[r][n];
        }
      }
    }
  }
}

/// What a piece of a product shares; a, b, c are at its first element.
struct Piece {
  int k;
  const float* a;
  long a_row;
  const float* b;
  long b_panel;
  float* c;
  long c_row;
  bool add;
  const float* ahead = nullptr;  // a panel that is asked for after the last
  Blocks blocks() const {
    Blocks out;
    out.fetch.at = reinterpret_cast<const char*>(b);
    out.k = k, out.a = a, out.a_row = a_row, out.b = b, out.b_panel = b_panel, out.c = c, out.c_row = c_row, out.add = add;
    return out;
  }
};

/// `large` blocks of kBlock rows and `small` ones of four, below each other, against every panel.  a_copy: between the blocks of a copied
/// A; rows: of the last block of it, others are whole.  next: the A that is copied after this piece, or nothing.
template <class Units, Left kLeft>
KERNEL_OUTER void multiply_panels(int large, int small, int rows, const Piece& piece, int N, long a_copy = 0, const LinesOfA& next = {}) {
  auto next_block = [&](int size) { return kLeft == Left::kCopied ? a_copy : kLeft == Left::kColumns ? size : size * piece.a_row; };
  Blocks blocks = piece.blocks();
  const Lines nothing = blocks.fetch;
  for (int n = 0; n < N; n += kPanel, blocks.b += blocks.b_panel) {
    const bool last = n + kPanel >= N;
    blocks.columns = min(kPanel, N - n);
    const float* const following = last ? piece.ahead : blocks.b + blocks.b_panel;
    blocks.fetch = n / kPanel < next.columns ? next.column(n / kPanel) : following ? Lines{reinterpret_cast<const char*>(following), kLineBytes, blocks.k * kPanel / 16} : nothing;
    blocks.a = piece.a;
    blocks.c = piece.c + n;
    float* const c_later = last ? piece.c + (large * kBlock + small * 4) * piece.c_row : blocks.c + kPanel;
    auto run = [&](int count, int size, long a_next, bool with_last) {
      // All but the last block are whole.
      const int whole = count - (with_last && rows < size);
      for (int part = 0; part < 2; ++part) {
        blocks.count = part == 0 ? whole : count - whole;
        if (blocks.count == 0) continue;
        blocks.rows = part == 0 ? size : rows;
        blocks.a_next = a_next;
        blocks.c_later = with_last && (part == 1 || whole == count) ? c_later : nullptr;
        if (kBlock == 4 || size == kBlock) multiply_blocks<Units, kBlock, 1, kLeft>(blocks);
        if (kBlock != 4 && size == 4) multiply_blocks<Units, 4, 1, kLeft>(blocks);
        blocks.fetch.pass(blocks.count * (blocks.k / 4));
        blocks.a += blocks.count * a_next;
        blocks.c += static_cast<long>(blocks.count) * size * blocks.c_row;
      }
    };
    if (large > 0) run(large, kBlock, next_block(kBlock), small == 0);
    if (small > 0) run(small, 4, next_block(4), true);
  }
}

/// One or two rows: several panels at once keep the multipliers busy.
template <class Units>
KERNEL_OUTER void multiply_few(int m, const Piece& piece, int N) {
  Blocks blocks = piece.blocks();
  blocks.rows = m;
  int n = 0;
  for (int panels = m == 1 ? 4 : 2; panels > 1; panels /= 2) {
    for (; n + panels * kPanel <= N; n += panels * kPanel) {
      blocks.columns = panels * kPanel;
      if (m == 1 && panels == 4) multiply_blocks<Units, 1, 4, Left::kRows>(blocks);
      if (m == 1 && panels == 2) multiply_blocks<Units, 1, 2, Left::kRows>(blocks);
      if (m == 2) multiply_blocks<Units, 2, 2, Left::kRows>(blocks);
      blocks.b += panels * blocks.b_panel;
      blocks.c += panels * kPanel;
    }
  }
  for (; n < N; n += kPanel) {
    blocks.columns = min(kPanel, N - n);
    for (int i = 0; i < m; ++i) {
      blocks.a = piece.a + i * piece.a_row;
      multiply_blocks<Units, 1, 1, Left::kRows>(blocks);
      blocks.c += blocks.c_row;
    }
    blocks.b += blocks.b_panel;
    blocks.c += kPanel - m * blocks.c_row;
  }
}

/// m rows: as many large blocks as fit, then small ones, then few rows.
template <class Units>
KERNEL_OUTER void multiply_rows(int m, Piece piece, int N) {
  int large = m / kBlock, rest = m % kBlock;
  if (kBlock == 6 && large > 0 && (rest == 2 || rest == 3)) --large, rest += kBlock;  // 8 = 4 + 4
  const int small = kBlock == 4 ? 0 : rest / 4;
  rest -= 4 * small;
  if (large + small > 0) multiply_panels<Units, Left::kRows>(large, small, kBlock, piece, N);
  for (int row = m - rest; row < m;) {
    const int few = min(2, m - row);
    Piece part = piece;
    part.a += row * piece.a_row;
    part.c += row * piece.c_row;
    multiply_few<Units>(few, part, N);
    row += few;
  }
}

/// product() with sizes known at run time.
KERNEL_OUTER void multiply(int m, int N, int K, bool add, const float* a, long a_row, const float* b, long b_panel, float* c, long c_row) {
  for (long first = 0; first < m; first += kCached) {
    for (int k = 0; k < K; k += kDepth) {
      multiply_rows<Singles>(min(kCached, static_cast<int>(m - first)),
                             {min(kDepth, K - k), a + first * a_row + k, a_row, b + static_cast<long>(k) * kPanel,
                              b_panel, c + first * c_row, c_row, add || k > 0},
                             N);
    }
  }
}

/// c[i * c_row + n] (+)= sum over k of a[i * a_row + k] * B[k][n], i < m, n < N; b is packed.
template <int N, int K, bool kAdd>
KERNEL_INLINE void product(int m, const float* a, long a_row, const float* b, float* c, long c_row) {
  multiply(m, N, K, kAdd, a, a_row, b, static_cast<long>(K) * kPanel, c, c_row);
}

constexpr int kBlockRows = 64;  // rows of a product whose blocks of columns are used one after the other

/// use(row, first, columns, c): c[i] = sum over k of a[row * a_row + k] * B[k][first + i], for the columns of a panel at a time and each of m rows.
template <int N, int K, class Use>
KERNEL_OUTER void product_in_blocks(int m, const float* a, long a_row, const float* b, const Use& use) {
  alignas(64) float block[kBlockRows * kPanel];
  constexpr long panel = static_cast<long>(K) * kPanel;
  for (int top = 0; top < m; top += kBlockRows) {
    const int rows = min(kBlockRows, m - top);
    const float* from = b;
    for (int n = 0; n < N; n += kPanel, from += panel) {
      const int columns = min(kPanel, N - n);
      for (int k = 0; k < K; k += kDepth) {
        Piece piece = {min(kDepth, K - k), a + top * a_row + k, a_row, from + static_cast<long>(k) * kPanel, panel, block, kPanel, k > 0};
        piece.ahead = piece.b + (n + kPanel < N ? panel : 0);
        multiply_rows<Singles>(rows, piece, columns);
      }
      for (int row = 0; row < rows; ++row) use(top + row, n, columns, block + row * kPanel);
    }
  }
}

constexpr int kColumnStep = 4 * kPanel;  // what one row reads at once
/// Columns that are a quarter of a megabyte, at least a step.
constexpr int columns_at_once(long floats_of_panel) {
  const long steps = (1L << 16) / (4 * floats_of_panel);
  return steps > 1 ? static_cast<int>(steps) * kColumnStep : kColumnStep;
}

constexpr long kWorthMeeting = 1 << 14;  // floats of a matrix that take longer to read than threads to come together

/// How threads share what `prepare` and `finish` do.
struct Team {
  void (*fork)(void* team, void (*body)(void* context, int part, int parts), void* context);  // runs body for every part at once and waits for all; null: there is one thread
  void* team;

  /// work(first, columns) for columns 0 .. N - 1 of a matrix of so many floats, by all threads where that pays.
  template <class Work>
  KERNEL_INLINE void columns(long floats, int N, const Work& work) const {
    if (!fork || floats < kWorthMeeting) return work(0, N);
    spread((N + kPanel - 1) / kPanel, [=](int first, int last) __attribute__((always_inline)) { work(first * kPanel, min(N, last * kPanel) - first * kPanel); });
  }
  /// body(layer) for every layer, of which each thread takes some that follow each other.
  template <class Body>
  KERNEL_INLINE void each_layer(int layers, const Body& body) const {
    spread(layers, [&](int first, int last) __attribute__((always_inline)) {
      for (int layer = first; layer < last; ++layer) body(layer);
    });
  }
  /// body(first, last) on each thread that there is something for, of 0 .. count - 1; what is done with each is the same whoever does it.
  /// A thread waits for each cache line that another has written: what it must know is a copy on one, where body holds values, not references.
  template <class Body>
  void spread(int count, const Body& body) const {
    struct alignas(64) Work {
      int count;
      Body body;
    } work = {count, body};
    const auto run = [](void* context, int part, int parts) {
      const FlushToZero flush;
      const Work& w = *static_cast<const Work*>(context);
      const int first = w.count * part / parts, last = w.count * (part + 1) / parts;
      if (first < last) w.body(first, last);
    };
    if (fork) fork(team, run, &work);
    else run(&work, 0, 1);
  }
};

/// This thread among those that continue one text together.  All compute the same; of a row that takes long to read for, each computes some columns.
struct Partner {
  int part, parts;
  void (*pass_on)(void* partner, float* row, int first, int last, int columns);
  void* partner;
  bool backwards;  // from the last columns to the first: what was read last in the call before is still in the second cache

  /// multiply(first, columns) for columns first .. last - 1, so many at a time where their order matters.
  template <class Multiply>
  KERNEL_INLINE void in_order(int first, int last, int columns, const Multiply& multiply) const {
    if (!backwards) return multiply(first, last - first);
    for (int n = first + (last - first - 1) / columns * columns; n >= first; n -= columns) multiply(n, min(columns, last - n));
  }
  /// The same for columns 0 .. N - 1 of the m rows of c: by all partners where there is one row.
  template <class Multiply>
  KERNEL_INLINE void all(int m, int N, int columns, float* c, const Multiply& multiply) const {
    if (parts <= 1 || m > 1) return in_order(0, N, columns, multiply);
    const int panels = (N + kPanel - 1) / kPanel, first = min(N, panels * part / parts * kPanel), last = min(N, panels * (part + 1) / parts * kPanel);
    if (first < last) in_order(first, last, columns, multiply);
    pass_on(partner, c, first, last, N);
  }
};

/// product() where rows may be those of several streams; each is the same numbers as when it is alone.
template <int N, int K, bool kAdd>
inline void product_of_streams(const Partner& self, int m, const float* a, long a_row, const float* b, float* c, long c_row) {
  constexpr long panel = static_cast<long>(K) * kPanel;
  auto multiply_columns = [=](int n, int columns) { multiply(m, columns, K, kAdd, a, a_row, b + n / kPanel * panel, panel, c + n, c_row); };
  self.all(m, N, columns_at_once(panel), c, multiply_columns);
}

/// From the first up to the last, without it.
struct Part {
  int first, last;
};

/// The same with the inner steps of a part only, for the columns of a part and those that stand before it in its first panel.
template <bool kAdd>
KERNEL_INLINE void product_part(Part inner, Part columns, int m, int K, const float* a, long a_row, const float* b, float* c, long c_row) {
  const long n = columns.first / kPanel * kPanel, b_panel = static_cast<long>(K) * kPanel;
  multiply(m, columns.last - static_cast<int>(n), inner.last - inner.first, kAdd, a + inner.first, a_row, b + n * K + inner.first * kPanel, b_panel, c + n, c_row);
}

/// Distance of the blocks of a copied A: an odd number of cache lines, so that they do not compete for the same places of the cache.
constexpr long copy_stride(int k) { return static_cast<long>(k + 31) / 32 * 32 * kBlock + 16; }

/// Copies m columns (of all that can be read: `readable`) of an inner step in the order in which blocks read them, of which the first are large, the
/// others hold four columns; missing columns are 0.
KERNEL_INLINE void spread_over_blocks(int m, int readable, int large, const float* a, float* to, long stride) {
  typedef float Row __attribute__((vector_size(kLanes == 4 ? 16 : 32)));  // at least kBlock; what is too much is overwritten
  constexpr int kRow = sizeof(Row) / sizeof(float);
  int i = 0;
  for (; i < large * kBlock && i + kRow <= readable; i += kBlock, to += stride) store(to, load<Row>(a + i));
  for (; i < m; to += stride) {
    const int columns = i < large * kBlock ? kBlock : 4;
    for (int r = 0; r < columns; ++r) to[r] = i + r < m ? a[i + r] : 0.0f;
    i += columns;
  }
}

/// Copies k rows to [block][k][kBlock].
KERNEL_INLINE void copy_blocks(Singles, int m, int readable, int large, int k, const float* a, long a_k, float* out) {
  for (int j = 0; j < k; ++j, a += a_k) spread_over_blocks(m, readable, large, a, out + j * kBlock, copy_stride(k));
}

/// multiply_transposed() of columns that are copied first.
template <class Units, class A>
KERNEL_OUTER void multiply_copied(int m, int N, int K, bool add, const A* a, long a_k, const float* b, long b_panel, float* c, long c_row) {
  constexpr int kPiece = kDepth * Units::kNumbers;
  alignas(64) float copied[copy_stride(kDepth) * (kCopied / kBlock + 1) + 16];
  for (int first = 0; first < m; first += kCopied) {
    const int rows = min(kCopied, m - first);
    int large = rows / kBlock, rest = rows % kBlock;
    if (kBlock == 6 && large > 0 && rest == 2) --large, rest += kBlock;  // 8 = 4 + 4
    if (rest > 4 && rest < kBlock) ++large, rest = 0;
    const int small = (rest + 3) / 4, last = small > 0 ? rest - 4 * (small - 1) : rows - kBlock * (large - 1);
    for (int k = 0; k < K; k += kPiece) {
      const int depth = min(kPiece, K - k), units = (depth + Units::kNumbers - 1) / Units::kNumbers;
      const A* const from = a + k * a_k + first;
      LinesOfA next;
      if (k + kPiece < K) next = lines_of(from + kPiece * a_k, a_k, min(kPiece, K - k - kPiece), rows);
      else if (first + kCopied < m) next = lines_of(a + first + kCopied, a_k, min(kPiece, K), min(kCopied, m - first - kCopied));
      copy_blocks(Units(), rows, m - first, large, depth, from, a_k, copied);
      multiply_panels<Units, Left::kCopied>(
          large, small, last,
          {units, copied, 0, b + static_cast<long>(k / Units::kNumbers) * kPanel, b_panel, c + first * c_row, c_row, add || k > 0}, N,
          copy_stride(units), next);
    }
  }
}

constexpr long kNear = 512;  // floats between reads that a core follows by itself; beyond, reading costs more than a copy

/// product_t() with sizes known at run time.
KERNEL_OUTER void multiply_transposed(int m, int N, int K, bool add, const float* a, long a_k, const float* b, long b_panel, float* c, long c_row) {
  const int in_place = a_k <= kNear ? m / kBlock * kBlock : 0;
  for (int first = 0; first < in_place; first += kCached) {
    for (int k = 0; k < K; k += kDepth) {
      multiply_panels<Singles, Left::kColumns>(min(kCached, in_place - first) / kBlock, 0, kBlock,
                                               {min(kDepth, K - k), a + k * a_k + first, a_k, b + static_cast<long>(k) * kPanel, b_panel,
                                                c + first * c_row, c_row, add || k > 0},
                                               N);
    }
  }
  if (in_place < m) multiply_copied<Singles>(m - in_place, N, K, add, a + in_place, a_k, b, b_panel, c + in_place * c_row, c_row);
}

/// A summand of add_products_t(): a[j * a_k + i], j < K, and the packed B.
template <int kInner, class A>
struct Term {
  static constexpr int K = kInner;
  const A* a;
  long a_k;
  const float* b;
};
template <int K, class A>
KERNEL_INLINE Term<K, A> term(const A* a, long a_k, const float* b) {
  return {a, a_k, b};
}

/// c[i * c_row + n] += the sum over all terms, and over j < K, of a[j * a_k + i] * B[j][n], i < m, n < N.
template <int N, class... Terms>
KERNEL_OUTER void add_products_t(int m, float* c, long c_row, const Terms&... terms) {
  for (int first = 0; first < m; first += kCopied) {
    const int rows = min(kCopied, m - first);
    (multiply_transposed(rows, N, Terms::K, true, terms.a + first, terms.a_k, terms.b, static_cast<long>(Terms::K) * kPanel, c + first * c_row, c_row), ...);
  }
}

/// c[i * c_row + n] (+)= sum over j < k of a[j * a_k + i] * B[j][n], i < m, n < N; b is packed.
template <int N, bool kAdd>
KERNEL_INLINE void product_t(int m, int k, const float* a, long a_k, const float* b, float* c, long c_row) {
  multiply_transposed(m, N, k, kAdd, a, a_k, b, static_cast<long>(k) * kPanel, c, c_row);
}
template <bool kAdd>
KERNEL_INLINE void product_t_part(Part inner, Part columns, int m, int K, const float* a, long a_k, const float* b, float* c, long c_row) {
  const long n = columns.first / kPanel * kPanel, b_panel = static_cast<long>(K) * kPanel;
  multiply_transposed(m, columns.last - static_cast<int>(n), inner.last - inner.first, kAdd, a + inner.first * a_k, a_k, b + n * K + inner.first * kPanel, b_panel, c + n, c_row);
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

/// Packs the columns n = first .. last - 1 of B[k][n] = src[k * stride_k + n * stride_n], which has K rows; the others stay as they are.
inline void pack_columns(const float* src, long stride_k, long stride_n, int K, int first, int last, float* dst) {
  for (int n = first; n < last; ++n) {
    float* const column = dst + static_cast<long>(n / kPanel) * K * kPanel + n % kPanel;
    for (int k = 0; k < K; ++k) column[static_cast<long>(k) * kPanel] = src[k * stride_k + n * stride_n];
  }
}

/// Packs the rows k = first .. last - 1 of B[k][n], which has K rows and N columns; the others stay as they are.
inline void pack_rows(const float* src, long stride_k, long stride_n, int K, int N, int first, int last, float* dst) {
  for (int k = first; k < last; ++k) {
    for (int n = 0; n < N; ++n) dst[(static_cast<long>(n / kPanel) * K + k) * kPanel + n % kPanel] = src[k * stride_k + n * stride_n];
  }
}

/// Packs B[k][n] = src[k * stride_k + n * stride_n] into packed_floats(K, N) floats.
inline void pack(const float* src, long stride_k, long stride_n, int K, int N, float* dst) {
  const int whole = stride_n == 1 ? K : 0;  // row by row: a core reads ahead by itself
  for (int k = 0; k < whole; ++k) {
    const float* row = src + k * stride_k;
    float* to = dst + k * kPanel;
    for (int n = 0; n + kPanel <= N; n += kPanel, to += static_cast<long>(K) * kPanel) {
      store(to, load<vf>(row + n));
      store(to + kLanes, load<vf>(row + n + kLanes));
    }
  }
  for (int n = 0; n < N; n += kPanel, dst += static_cast<long>(K) * kPanel) {
    const int columns = min(kPanel, N - n);
    const float* from = src + n * stride_n;
    int k = columns == kPanel ? whole : 0;
    if (columns == kPanel && stride_k == 1) {
      for (; k + kLanes <= K; k += kLanes) {
        KERNEL_ROLLED
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

/// The same by all threads, where the matrix is large.
inline void pack(const Team& team, const float* src, long stride_k, long stride_n, int K, int N, float* dst) {
  team.columns(packed_floats(K, N), N, [=](int n, int columns) { pack(src + n * stride_n, stride_k, stride_n, K, columns, dst + packed_floats(K, n)); });
}

// ---- measuring the machine -------------------------------------------------------------------------------------------------------

constexpr int kPeakChains = kLanes == 4 ? 10 : 12;
[[maybe_unused]] constexpr long kPeakFlops = 2L * kLanes * kPeakChains;  // of one iteration of fma_peak

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
