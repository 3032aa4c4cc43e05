// Products whose operands are rounded to bf16 and whose sums are float32: by vectors, or by tiles.  Appended to tiles.h in generated code.
#ifndef CPUFLOW_KERNEL_BF16_PRODUCTS_H
#define CPUFLOW_KERNEL_BF16_PRODUCTS_H

namespace CPUFLOW_KERNEL_NAMESPACE {

// ---- products by vectors -----------------------------------------------------------------------------------------------------------

/// Whether rows of K numbers are units as they lie there, and a multiple of `units` of them.
KERNEL_INLINE bool lie_in_units(const float*, long, int, int) { return false; }
KERNEL_INLINE bool lie_in_units(const bf16* a, long a_row, int K, int units) { return K % (2 * units) == 0 && a_row % 2 == 0 && reinterpret_cast<unsigned long>(a) % 4 == 0; }

/// product_bf16() in vector registers.
template <class A>
KERNEL_OUTER void multiply_pairs(int m, int N, int K, bool add, const A* a, long a_row, const float* b, long panel, float* c, long c_row) {
  constexpr int kRow = kDepth + 16;
  alignas(64) float copied[kCached * kRow];
  const bool in_place = lie_in_units(a, a_row, K, 1);
  for (long first = 0; first < m; first += kCached) {
    const int rows = min(kCached, static_cast<int>(m - first));
    for (int k = 0; k < K; k += 2 * kDepth) {
      const int depth = min(2 * kDepth, K - k), units = units_of(depth);
      const A* const from = a + first * a_row + k;
      for (int i = 0; i < rows && !in_place; ++i) copy_row_units(from + i * a_row, depth, units, copied + i * kRow);
      multiply_rows<Pairs>(rows,
                           {units, in_place ? reinterpret_cast<const float*>(from) : copied, in_place ? a_row / 2 : kRow,
                            b + static_cast<long>(k / 2) * kPanel, panel, c + first * c_row, c_row, add || k > 0},
                           N);
    }
  }
}

constexpr int kRowsOfPairs = 2 * kBlockRows;  // they take as much space

// ---- products by tiles -------------------------------------------------------------------------------------------------------------

#if defined(KERNEL_TILE_LOAD)
constexpr int kTileRows = 16 * kTile;   // rows of A that meet each panel of B
constexpr int kTileSteps = 16;          // tiles along the inner axis of a piece: a panel's share fills two thirds of the first cache, A comes from the second
constexpr int kTurnedRows = 8 * kTile;  // the same where A is transposed while it is copied: what is multiplied soon after is still near
constexpr int kTurnedSteps = 8;
constexpr int kLongSteps = 32;          // where A is not copied and C, which each piece loads and stores, has more than kLargeC floats
constexpr long kLargeC = 1 << 18;       // half of the second cache
constexpr long kKept = 1 << 16;         // floats of packed B that the second cache keeps beside all else; of larger ones the next panel is asked for

/// Tiles of A: floats between those that follow each other along the inner axis, between their rows, and between those below each other.
struct TilesOfA {
  const float* at;
  long step, row, below;
};

/// Lines of memory, row by row: so many of each row, then those of the next one.
struct LinesInRows {
  const char* at = nullptr;
  long next_row = 0;  // bytes from the last line of a row to the first of the next
  int of_row = 1, left = 1;
  KERNEL_INLINE void ask(int count) {
    KERNEL_ROLLED
    for (; count > 0; --count) {
      __builtin_prefetch(at, 0, 2);
      const bool last = --left == 0;
      at += last ? next_row : kLineBytes;
      left = last ? of_row : left;
    }
  }
};

/// Memory that is asked for meanwhile: in each step so many lines of B, and of A; and a block of C that comes later, or null.
struct Ahead {
  const float* b = nullptr;
  int lines_of_b = 0;
  LinesInRows a = {};
  int lines_of_a = 0;
  const float* c = nullptr;
};

/// So many tiles of a panel, of the products that are added up.
struct PartOfB {
  const float* at;
  int steps;
};

/// c (R x C tiles) (+)= `steps` tiles of A by those of one panel after the other.  The tiles of a step are loaded between the products of the step before it.
template <int R, int C>
__attribute__((noinline)) void multiply_tiles(int steps, const TilesOfA& tiles, const Ahead& ahead, const PartOfB* part, float* c, long c_row, bool add) {
  KERNEL_TILE_REGISTERS;
  const float* b = part->at;
  int left = part->steps;
  const float* a = tiles.at;
  const long row = tiles.row, step = tiles.step, below = tiles.below;
  const float *line = ahead.b, *c_line = ahead.c;
  LinesInRows of_a = ahead.a;
  const int c_rows = c_line ? (R * kTile + steps - 1) / steps : 0;
  auto ask = [&] {
    KERNEL_ROLLED
    for (int i = 0; i < ahead.lines_of_b; ++i, line += kTile) __builtin_prefetch(line, 0, 2);
    of_a.ask(ahead.lines_of_a);
    KERNEL_ROLLED
    for (int i = 0; i < c_rows; ++i, c_line += c_row) {
      __builtin_prefetch(c_line, 0, 2);
      if constexpr (C == 2) __builtin_prefetch(c_line + kTile, 0, 2);
    }
  };
  if (add) {
    KERNEL_TILE_LOAD(0, c, c_row);
    if constexpr (C == 2) KERNEL_TILE_LOAD(1, c + kTile, c_row);
    if constexpr (R == 2) KERNEL_TILE_LOAD(2, c + kTile * c_row, c_row);
    if constexpr (R == 2 && C == 2) KERNEL_TILE_LOAD(3, c + kTile * c_row + kTile, c_row);
  } else {
    KERNEL_TILE_ZERO(0);
    if constexpr (C == 2) KERNEL_TILE_ZERO(1);
    if constexpr (R == 2) KERNEL_TILE_ZERO(2);
    if constexpr (R == 2 && C == 2) KERNEL_TILE_ZERO(3);
  }
  KERNEL_TILE_STREAM(4, a, row);
  KERNEL_TILE_LOAD(6, b, long{kPanel});
  if constexpr (C == 2) KERNEL_TILE_LOAD(7, b + kTile, long{kPanel});
  if constexpr (R == 2) KERNEL_TILE_STREAM(5, a + below, row);
  KERNEL_ROLLED
  for (int i = 1; i < steps; ++i) {
    a += step;
    b += kTile * kPanel;
    if (--left == 0) ++part, b = part->at, left = part->steps;
    KERNEL_TILE_DOT(0, 4, 6);
    if constexpr (C == 2) KERNEL_TILE_DOT(1, 4, 7);
    KERNEL_TILE_STREAM(4, a, row);
    ask();
    if constexpr (R == 2) KERNEL_TILE_DOT(2, 5, 6);
    KERNEL_TILE_LOAD(6, b, long{kPanel});
    if constexpr (R == 2 && C == 2) KERNEL_TILE_DOT(3, 5, 7);
    if constexpr (C == 2) KERNEL_TILE_LOAD(7, b + kTile, long{kPanel});
    if constexpr (R == 2) KERNEL_TILE_STREAM(5, a + below, row);
  }
  ask();
  KERNEL_TILE_DOT(0, 4, 6);
  if constexpr (C == 2) KERNEL_TILE_DOT(1, 4, 7);
  if constexpr (R == 2) KERNEL_TILE_DOT(2, 5, 6);
  if constexpr (R == 2 && C == 2) KERNEL_TILE_DOT(3, 5, 7);
  KERNEL_TILE_STORE(0, c, c_row);
  if constexpr (C == 2) KERNEL_TILE_STORE(1, c + kTile, c_row);
  if constexpr (R == 2) KERNEL_TILE_STORE(2, c + kTile * c_row, c_row);
  if constexpr (R == 2 && C == 2) KERNEL_TILE_STORE(3, c + kTile * c_row + kTile, c_row);
}

/// One block of up to 32 rows and columns; what is not whole goes by way of a block that is.
inline void multiply_tile_block(int rows, int columns, int steps, const TilesOfA& a, const Ahead& ahead, const PartOfB* b, float* c, long c_row, bool add) {
  alignas(64) float whole[2 * kTile * kPanel];
  const int R = rows > kTile ? 2 : 1, C = columns > kTile ? 2 : 1;
  const bool edge = rows != R * kTile || columns != C * kTile;
  float* const out = edge ? whole : c;
  const long out_row = edge ? kPanel : c_row;
  if (edge && add) {
    for (int i = 0; i < rows; ++i) __builtin_memcpy(whole + i * kPanel, c + i * c_row, static_cast<unsigned long>(columns) * sizeof(float));
  }
  if (R == 2 && C == 2) multiply_tiles<2, 2>(steps, a, ahead, b, out, out_row, add);
  if (R == 2 && C == 1) multiply_tiles<2, 1>(steps, a, ahead, b, out, out_row, add);
  if (R == 1 && C == 2) multiply_tiles<1, 2>(steps, a, ahead, b, out, out_row, add);
  if (R == 1 && C == 1) multiply_tiles<1, 1>(steps, a, ahead, b, out, out_row, add);
  if (edge) {
    for (int i = 0; i < rows; ++i) __builtin_memcpy(c + i * c_row, whole + i * kPanel, static_cast<unsigned long>(columns) * sizeof(float));
  }
}

/// 32 rows of 32 numbers become two tiles of 16 columns each: two rows are made units a whole line at a time, which leaves the columns in the order of
/// kColumn.
KERNEL_INLINE void copy_two_tiles(const bf16* a, long a_k, float* left, float* right) {
  typedef unsigned short line __attribute__((vector_size(kLineBytes), aligned(2), may_alias));
  vf low[kLanes], high[kLanes];
  KERNEL_UNROLL
  for (int j = 0; j < kLanes; ++j, a += 2 * a_k) {
    const line x = *reinterpret_cast<const line*>(a), y = *reinterpret_cast<const line*>(a + a_k);
    low[j] = bits_as<vf>(__builtin_shufflevector(x, y, 0, 32, 1, 33, 2, 34, 3, 35, 8, 40, 9, 41, 10, 42, 11, 43, 16, 48, 17, 49, 18, 50, 19, 51, 24, 56, 25, 57, 26, 58, 27, 59));
    high[j] = bits_as<vf>(__builtin_shufflevector(x, y, 4, 36, 5, 37, 6, 38, 7, 39, 12, 44, 13, 45, 14, 46, 15, 47, 20, 52, 21, 53, 22, 54, 23, 55, 28, 60, 29, 61, 30, 62, 31, 63));
  }
  constexpr int kColumn[kLanes] = {0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27};  // of `low`; those of `high` are 4 further on
  auto store_columns = [&](vf(&x)[kLanes], int further) __attribute__((always_inline)) {
    transpose(x);
    KERNEL_UNROLL
    for (int j = 0; j < kLanes; ++j) {
      const int column = kColumn[j] + further;
      store((column < kTile ? left : right) + column % kTile * kTile, x[j]);
    }
  };
  store_columns(low, 0);
  store_columns(high, 4);
}

/// Copies rows x k of A into tiles: [rows / 16][steps][16][16].
template <bool kTransposed, class A>
KERNEL_INLINE void copy_tiles(int rows, int k, int steps, const A* a, long a_stride, float* out) {
  const long below = long{steps} * kTileFloats;
  if constexpr (kTransposed) {
    for (int i = 0; i < rows; i += 2 * kTile, out += 2 * below) {
      for (int j = 0; j < k; j += 2 * kTile) {
        const A* const from = a + j * a_stride + i;
        float* const tile = out + j / (2 * kTile) * kTileFloats;
        if constexpr (sizeof(A) == sizeof(bf16)) {
          if (rows - i >= 2 * kTile && k - j >= 2 * kTile) {
            copy_two_tiles(from, a_stride, tile, tile + below);
            continue;
          }
        }
        copy_column_units(from, a_stride, k - j, rows - i, tile, kTile);
        if (rows - i > kTile) copy_column_units(from + kTile, a_stride, k - j, rows - i - kTile, tile + below, kTile);
      }
    }
  } else {
    for (int i = 0; i < rows; ++i, a += a_stride) {
      float* const row = out + i / kTile * below + i % kTile * kTile;
      for (int j = 0; j < k; j += 2 * kTile) copy_row_units(a + j, k - j, kTile, row + j / (2 * kTile) * kTileFloats);
    }
  }
}

template <bool kTransposed, class A>
KERNEL_OUTER void multiply_by_tiles(int m, int N, int K, bool add, const A* a, long a_stride, const float* b, long panel, float* c, long c_row) {
  constexpr int kHeight = kTransposed ? kTurnedRows : kTileRows, kSteps = kTransposed ? kTurnedSteps : kTileSteps;
  alignas(64) float copied[kHeight * kSteps * kTile];
  const int panels = (N + kPanel - 1) / kPanel;
  const bool large = panel * panels > kKept;
  const bool in_place = !kTransposed && m % kTile == 0 && lie_in_units(a, a_stride, K, kTile);
  const int per_piece = (in_place && static_cast<long>(min(kHeight, m)) * N > kLargeC ? kLongSteps : kSteps) * 2 * kTile;
  auto corner_of = [&](int row, int k) { return kTransposed ? a + k * a_stride + row : a + row * a_stride + k; };
  auto panel_of = [&](int k, int n) { return b + n / kPanel * panel + static_cast<long>(k / 2) * kPanel; };
  for (int first = 0; first < m; first += kHeight) {
    const int rows = min(kHeight, m - first), blocks = (rows + 2 * kTile - 1) / (2 * kTile);
    auto block_of_c = [&](int row, int i) { return c + (row + i % blocks * 2 * kTile) * c_row + i / blocks * kPanel; };
    for (int k = 0; k < K; k += per_piece) {
      const int depth = min(per_piece, K - k), steps = (depth + 2 * kTile - 1) / (2 * kTile);
      TilesOfA tiles = {copied, kTileFloats, kTile, long{steps} * kTileFloats};
      if (in_place) tiles = {reinterpret_cast<const float*>(corner_of(first, k)), kTile, a_stride / 2, kTile * a_stride / 2};
      else copy_tiles<kTransposed>(rows, depth, steps, corner_of(first, k), a_stride, copied);
      const bool last_piece = k + per_piece >= K, last = last_piece && first + kHeight >= m;
      const int later_row = last_piece ? first + kHeight : first, later_k = last_piece ? 0 : k + per_piece;
      // A of the next piece, some of its rows with each block
      const int rows_of_a = kTransposed ? min(per_piece, K - later_k) : min(kHeight, m - later_row), row_of_a = kTransposed ? min(kHeight, m - later_row) : min(per_piece, K - later_k);
      const int rows_a_block = (rows_of_a + panels * blocks - 1) / (panels * blocks), lines = (row_of_a * static_cast<int>(sizeof(A)) + kLineBytes - 1) / kLineBytes;
      for (int n = 0; n < N; n += kPanel) {
        const float* const from = panel_of(k, n);
        TilesOfA block = tiles;
        Ahead ahead;
        ahead.b = n + kPanel < N ? from + panel : panel_of(later_k, 0);
        ahead.lines_of_b = large ? (kPanel + blocks - 1) / blocks : 0;
        for (int i = 0; i < rows; i += 2 * kTile, block.at += 2 * block.below, ahead.b += steps * ahead.lines_of_b * kTile) {
          float* const out = c + (first + i) * c_row + n;
          const int here = n / kPanel * blocks + i / (2 * kTile);
          if (!last) {
            const A* const at = corner_of(later_row, later_k) + static_cast<long>(here) * rows_a_block * a_stride;
            ahead.a = {reinterpret_cast<const char*>(at), a_stride * static_cast<long>(sizeof(A)) - (lines - 1) * kLineBytes, lines, lines};
            ahead.lines_of_a = (rows_a_block * lines + steps - 1) / steps;
          }
          if (add) {  // two blocks ahead: one is too short for the third cache
            const int later = here + 2, all = panels * blocks;
            ahead.c = later < all ? block_of_c(first, later) : block_of_c(first + kHeight, later - all);
          }
          const PartOfB part = {from, steps};
          multiply_tile_block(min(2 * kTile, rows - i), min(kPanel, N - n), steps, block, ahead, &part, out, c_row, add || k > 0);
        }
      }
    }
  }
}

/// c (+)= a row of units by some panels, by vectors and with the bits that tiles give: for each tile along the inner axis, products of first
/// numbers are added up from zero, and those of second ones; then both to what is there.  (But tiles take numbers below 2^-126 for 0.)
template <int kPanels>
__attribute__((noinline)) void multiply_row_by_panels(int steps, const float* a, const float* b, long panel, float* c, bool add) {
  constexpr int kVectors = kPanels * kPanel / kLanes;
  const vi upper = splati<vf>(int32_t(0xffff0000));
  vf sums[kVectors];
  for (int v = 0; v < kVectors; ++v) sums[v] = add ? load<vf>(c + v * kLanes) : vf{};
  KERNEL_ROLLED
  for (int i = 0; i < steps; ++i) {
    vf first[kVectors] = {}, second[kVectors] = {};
    KERNEL_ROLLED
    for (int u = 0; u < kTile; ++u, ++a, b += kPanel) {
      const vi x = bits_as<vi>(Pairs::splat_at(a));
      const vf x_first = bits_as<vf>(x << 16), x_second = bits_as<vf>(x & upper);
      KERNEL_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        const vi y = bits_as<vi>(load<vf>(b + v * kLanes / kPanel * panel + v * kLanes % kPanel));
        first[v] = fma(x_first, bits_as<vf>(y << 16), first[v]);
        second[v] = fma(x_second, bits_as<vf>(y & upper), second[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) sums[v] += first[v] + second[v];
  }
  for (int v = 0; v < kVectors; ++v) store(c + v * kLanes, sums[v]);
}

/// multiply_by_tiles() of one row, as fast as B is read.
template <class A>
KERNEL_OUTER void multiply_row_as_tiles(int N, int K, bool add, const A* a, const float* b, long panel, float* c) {
  alignas(64) float copied[kDepth], rest[kPanel];
  for (int k = 0; k < K; k += 2 * kDepth) {
    const int depth = min(2 * kDepth, K - k), steps = padded_units(depth) / kTile;
    const bool sum = add || k > 0;
    copy_row_units(a + k, depth, steps * kTile, copied);
    const float* from = b + static_cast<long>(k / 2) * kPanel;
    int n = 0;
    for (; n + 4 * kPanel <= N; n += 4 * kPanel, from += 4 * panel) multiply_row_by_panels<4>(steps, copied, from, panel, c + n, sum);
    for (; n + 2 * kPanel <= N; n += 2 * kPanel, from += 2 * panel) multiply_row_by_panels<2>(steps, copied, from, panel, c + n, sum);
    for (; n < N; n += kPanel, from += panel) {
      const unsigned long bytes = static_cast<unsigned long>(min(kPanel, N - n)) * sizeof(float);
      if (sum) __builtin_memcpy(rest, c + n, bytes);
      multiply_row_by_panels<1>(steps, copied, from, panel, rest, sum);
      __builtin_memcpy(c + n, rest, bytes);
    }
  }
}

/// add_products_t_bf16() by tiles: a block of c is loaded once, and stored once.
template <int N, class... Terms>
KERNEL_OUTER void add_products_by_tiles(int m, float* c, long c_row, const Terms&... terms) {
  constexpr int kSteps = (0 + ... + (padded_units(Terms::K) / kTile)), kCount = sizeof...(Terms);
  constexpr int kHeight = kSteps <= 16 ? kTurnedRows : 2 * kTile;
  alignas(64) float copied[static_cast<long>(kHeight) * kSteps * kTile];
  for (int first = 0; first < m; first += kHeight) {
    const int rows = min(kHeight, m - first);
    float* to = copied;
    ((copy_tiles<true>(rows, Terms::K, kSteps, terms.a + first, terms.a_k, to), to += padded_units(Terms::K) / kTile * kTileFloats), ...);
    for (int n = 0; n < N; n += kPanel) {
      const PartOfB parts[kCount] = {{terms.b + static_cast<long>(n) * padded_units(Terms::K), padded_units(Terms::K) / kTile}...};
      for (int i = 0; i < rows; i += 2 * kTile) {
        const bool below = i + 4 * kTile < rows;
        float* const out = c + (first + i) * c_row + n;
        Ahead ahead;
        ahead.c = below ? out + 4 * kTile * c_row : c + (first + i + 4 * kTile - rows) * c_row + n + kPanel;  // two blocks on
        multiply_tile_block(min(2 * kTile, rows - i), min(kPanel, N - n), kSteps, {copied + i / kTile * kSteps * kTileFloats, kTileFloats, kTile, kSteps * kTileFloats}, ahead, parts, out, c_row, true);
      }
    }
  }
}

/// 32 x 32 of the result: c = tiles of A by a panel; use_row is called for one row after the other of what was made before, while the tiles are multiplied.
template <int kAhead, class UseRow>
KERNEL_INLINE void multiply_tiles_while(int steps, const TilesOfA& tiles, const float* ahead, const float* b, float* c, int rows, const UseRow& use_row) {
  KERNEL_TILE_REGISTERS;
  const float* a = tiles.at;
  const long row = tiles.row, step = tiles.step, below = tiles.below;
  KERNEL_TILE_ZERO(0);
  KERNEL_TILE_ZERO(1);
  KERNEL_TILE_ZERO(2);
  KERNEL_TILE_ZERO(3);
  int used = 0;
  KERNEL_ROLLED
  for (int i = 0; i < steps; ++i, a += step, b += kTile * kPanel) {
    KERNEL_TILE_STREAM(4, a, row);
    KERNEL_TILE_LOAD(6, b, long{kPanel});
    KERNEL_TILE_LOAD(7, b + kTile, long{kPanel});
    KERNEL_TILE_DOT(0, 4, 6);
    KERNEL_TILE_DOT(1, 4, 7);
    KERNEL_TILE_STREAM(5, a + below, row);
    KERNEL_TILE_DOT(2, 5, 6);
    KERNEL_TILE_DOT(3, 5, 7);
    const int until = rows * (i + 1) / steps;
    KERNEL_ROLLED
    for (; used < until; ++used) {
      KERNEL_UNROLL
      for (int line = 0; line < kAhead; ++line, ahead += kTile) __builtin_prefetch(ahead, 0, 2);
      use_row(used);
    }
  }
  KERNEL_TILE_STORE(0, c, long{kPanel});
  KERNEL_TILE_STORE(1, c + kTile, long{kPanel});
  KERNEL_TILE_STORE(2, c + kTile * kPanel, long{kPanel});
  KERNEL_TILE_STORE(3, c + kTile * kPanel + kTile, long{kPanel});
}

/// product_in_blocks_bf16() by tiles.
template <int N, int K, class A, class Use>
KERNEL_OUTER void blocks_by_tiles(int m, const A* a, long a_row, const float* b, const Use& use) {
  constexpr int kRow = padded_units(K), kHeight = 2 * kTile, kSteps = kRow / kTile;
  constexpr long panel = static_cast<long>(kRow) * kPanel;
  constexpr int kAhead = panel / kTile / kRowsOfPairs;  // lines of the next panel that are asked for with each row
  alignas(64) float copied[kRowsOfPairs * kRow], made[2][kHeight * kPanel];
  for (int top = 0; top < m; top += kRowsOfPairs) {
    const int rows = min(kRowsOfPairs, m - top), blocks = (rows + kHeight - 1) / kHeight;
    const A* const corner = a + top * a_row;
    copy_tiles<false>(rows, K, kSteps, corner, a_row, copied);
    const TilesOfA tiles = {copied, kTileFloats, kTile, kSteps * kTileFloats};
    struct {
      int row = 0, n = 0, rows = 0;
    } last;  // what was made before
    int turn = 0;
    const Use own = use;  // that its members are in registers
    auto use_row = [&](int i) __attribute__((always_inline)) { own(top + last.row + i, last.n, min(kPanel, N - last.n), made[turn ^ 1] + i * kPanel); };
    for (int n = 0; n < N; n += kPanel) {
      const float* const from = b + n / kPanel * panel;
      for (int i = 0; i < blocks; ++i, turn ^= 1) {
        TilesOfA block = tiles;
        block.at += 2 * i * tiles.below;
        const float* const ahead = from + (n + kPanel < N ? panel : 0) + i * kHeight * kAhead * kTile;
        multiply_tiles_while<kAhead>(kSteps, block, ahead, from, made[turn], last.rows, use_row);
        last = {i * kHeight, n, min(kHeight, rows - i * kHeight)};
      }
    }
    for (int i = 0; i < last.rows; ++i) use_row(i);
  }
}

[[maybe_unused]] constexpr long kBf16PeakFlops = 4L * 2 * kTile * kTile * 2 * kTile;  // of one iteration of bf16_peak

/// n iterations of independent products of tiles on numbers of every kind.
__attribute__((noinline)) inline float bf16_peak(long n) {
  const Tiles tiles;
  KERNEL_TILE_REGISTERS;
  alignas(64) float operands[4 * kTileFloats];
  uint32_t state = 1;
  for (float& unit : operands) {  // bf16 between 1/2 and 2, of both signs
    state = state * 1664525u + 1013904223u;
    unit = bits_as<float>((state & 0x80ff80ffu) | 0x3f003f00u);
  }
  KERNEL_TILE_LOAD(4, operands, long{kTile});
  KERNEL_TILE_LOAD(5, operands + kTileFloats, long{kTile});
  KERNEL_TILE_LOAD(6, operands + 2 * kTileFloats, long{kTile});
  KERNEL_TILE_LOAD(7, operands + 3 * kTileFloats, long{kTile});
  KERNEL_TILE_ZERO(0);
  KERNEL_TILE_ZERO(1);
  KERNEL_TILE_ZERO(2);
  KERNEL_TILE_ZERO(3);
  KERNEL_ROLLED
  for (long i = 0; i < n; ++i) {
    KERNEL_TILE_DOT(0, 4, 6);
    KERNEL_TILE_DOT(1, 4, 7);
    KERNEL_TILE_DOT(2, 5, 6);
    KERNEL_TILE_DOT(3, 5, 7);
  }
  KERNEL_TILE_STORE(0, operands, long{kTile});
  return operands[0];
}
#else
template <class A>
KERNEL_INLINE void multiply_row_as_tiles(int, int, bool, const A*, const float*, long, float*) {}
template <bool kTransposed, class A>
KERNEL_INLINE void multiply_by_tiles(int, int, int, bool, const A*, long, const float*, long, float*, long) {}
template <int N, int K, class A, class Use>
KERNEL_INLINE void blocks_by_tiles(int, const A*, long, const float*, const Use&) {}
template <int N, class... Terms>
KERNEL_INLINE void add_products_by_tiles(int, float*, long, const Terms&...) {}

[[maybe_unused]] constexpr long kBf16PeakFlops = 2 * kPeakFlops;

/// n iterations of independent dot products.
__attribute__((noinline)) inline float bf16_peak(long n) {
  vf x[kPeakChains] = {};
  const vf units = bits_as<vf>(splati<vf>(0x3f813f91));
  KERNEL_ROLLED
  for (long i = 0; i < n; ++i) {
    KERNEL_UNROLL
    for (int j = 0; j < kPeakChains; ++j) x[j] = dot_units(units, units, x[j]);
  }
  vf total = x[0];
  for (int i = 1; i < kPeakChains; ++i) total += x[i];
  return hsum(total);
}
#endif

/// multiply() with operands in bf16.
template <class A>
KERNEL_OUTER void multiply_bf16(int m, int N, int K, bool add, const A* a, long a_row, const float* b, long panel, float* c, long c_row) {
  if (kTiles && m == 1) multiply_row_as_tiles(N, K, add, a, b, panel, c);
  else if (kTiles) multiply_by_tiles<false>(m, N, K, add, a, a_row, b, panel, c, c_row);
  else multiply_pairs(m, N, K, add, a, a_row, b, panel, c, c_row);
}

/// multiply_transposed() with operands in bf16.
template <class A>
KERNEL_OUTER void multiply_transposed_bf16(int m, int N, int K, bool add, const A* a, long a_k, const float* b, long panel, float* c, long c_row) {
  if (kTiles) multiply_by_tiles<true>(m, N, K, add, a, a_k, b, panel, c, c_row);
  else multiply_copied<Pairs>(m, N, K, add, a, a_k, b, panel, c, c_row);
}

/// product() with operands in bf16; b is packed by pack_bf16, and Tiles are alive.
template <int N, int K, bool kAdd, class A>
KERNEL_INLINE void product_bf16(int m, const A* a, long a_row, const float* b, float* c, long c_row) {
  multiply_bf16(m, N, K, kAdd, a, a_row, b, panel_of_bf16(K), c, c_row);
}

/// product_part() with operands in bf16; the part of the inner axis begins with a whole number of panels' width, and ends so or with the axis.
template <bool kAdd, class A>
KERNEL_INLINE void product_part_bf16(Part inner, Part columns, int m, int K, const A* a, long a_row, const float* b, float* c, long c_row) {
  const long n = columns.first / kPanel * kPanel, panel = panel_of_bf16(K);
  multiply_bf16(m, columns.last - static_cast<int>(n), inner.last - inner.first, kAdd, a + inner.first, a_row, b + n / kPanel * panel + inner.first / 2 * kPanel, panel, c + n, c_row);
}

/// product_of_streams() with operands in bf16.
template <int N, int K, bool kAdd, class A>
inline void product_of_streams_bf16(const Partner& self, int m, const A* a, long a_row, const float* b, float* c, long c_row) {
  constexpr long panel = panel_of_bf16(K);
  auto multiply_columns = [=](int n, int columns) { multiply_bf16(m, columns, K, kAdd, a, a_row, b + n / kPanel * panel, panel, c + n, c_row); };
  self.all(m, N, columns_at_once(panel), c, multiply_columns);
}

/// add_products_t() with operands in bf16.
template <int N, class... Terms>
KERNEL_OUTER void add_products_t_bf16(int m, float* c, long c_row, const Terms&... terms) {
  if (kTiles) return add_products_by_tiles<N>(m, c, c_row, terms...);
  for (int first = 0; first < m; first += kCopied) {
    const int rows = min(kCopied, m - first);
    (multiply_copied<Pairs>(rows, N, Terms::K, true, terms.a + first, terms.a_k, terms.b, panel_of_bf16(Terms::K), c + first * c_row, c_row), ...);
  }
}

/// product_in_blocks() with operands in bf16.
template <int N, int K, class A, class Use>
KERNEL_OUTER void product_in_blocks_bf16(int m, const A* a, long a_row, const float* b, const Use& use) {
  if (kTiles) return blocks_by_tiles<N, K>(m, a, a_row, b, use);
  constexpr int kRow = padded_units(K) + 16;
  constexpr long panel = panel_of_bf16(K);
  alignas(64) float copied[kRowsOfPairs * kRow], block[kRowsOfPairs * kPanel];
  for (int top = 0; top < m; top += kRowsOfPairs) {
    const int rows = min(kRowsOfPairs, m - top);
    for (int i = 0; i < rows; ++i) copy_row_units(a + (top + i) * a_row, K, padded_units(K), copied + i * kRow);
    const float* from = b;
    for (int n = 0; n < N; n += kPanel, from += panel) {
      const int columns = min(kPanel, N - n);
      for (int u = 0; u < padded_units(K); u += kDepth) {
        Piece piece = {min(kDepth, padded_units(K) - u), copied + u, kRow, from + static_cast<long>(u) * kPanel, panel, block, kPanel, u > 0};
        piece.ahead = piece.b + (n + kPanel < N ? panel : 0);
        multiply_rows<Pairs>(rows, piece, columns);
      }
      for (int row = 0; row < rows; ++row) use(top + row, n, columns, block + row * kPanel);
    }
  }
}

/// product_t() with operands in bf16.
template <int N, bool kAdd, class A>
KERNEL_INLINE void product_t_bf16(int m, int k, const A* a, long a_k, const float* b, float* c, long c_row) {
  multiply_transposed_bf16(m, N, k, kAdd, a, a_k, b, panel_of_bf16(k), c, c_row);
}
template <bool kAdd, class A>
KERNEL_INLINE void product_t_part_bf16(Part inner, Part columns, int m, int K, const A* a, long a_k, const float* b, float* c, long c_row) {
  const long n = columns.first / kPanel * kPanel, panel = panel_of_bf16(K);
  multiply_transposed_bf16(m, columns.last - static_cast<int>(n), inner.last - inner.first, kAdd, a + inner.first * a_k, a_k, b + n / kPanel * panel + inner.first / 2 * kPanel, panel, c + n, c_row);
}

}  // namespace CPUFLOW_KERNEL_NAMESPACE
#endif
