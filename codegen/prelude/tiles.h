// Tiles, registers of 16 rows of 16 units: AMX's, or in memory with the bits that AMX gives, where CPUFLOW_EMULATES_TILES is defined.  Appended to bf16.h in
// generated code, before bf16_products.h.
#ifndef CPUFLOW_KERNEL_TILES_H
#define CPUFLOW_KERNEL_TILES_H

namespace CPUFLOW_KERNEL_NAMESPACE {

[[maybe_unused]] constexpr int kTile = 16;  // rows, and units of a row
[[maybe_unused]] constexpr int kTileFloats = kTile * kTile;

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
constexpr bool kTiles = true;

/// While it lives, this thread's tiles have 16 rows of 16 units.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) {
      unsigned char palette = 1, start_row = 0, reserved[14] = {};
      unsigned short row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
  ~Tiles() { __asm__ volatile("tilerelease"); }
};

// The memory clobber keeps the stores of what a tile loads before the load.
#define KERNEL_TILE_REGISTERS
#define KERNEL_TILE_LOAD(tile, p, row) __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(p), "r"((row) * sizeof(float)) : "memory")
#define KERNEL_TILE_STREAM(tile, p, row) __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #tile : : "r"(p), "r"((row) * sizeof(float)) : "memory")
#define KERNEL_TILE_STORE(tile, p, row) __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(p), "r"((row) * sizeof(float)) : "memory")
#define KERNEL_TILE_ZERO(tile) __asm__ volatile("tilezero %tmm" #tile)
#define KERNEL_TILE_DOT(sum, a, b) __asm__ volatile("tdpbf16ps %tmm" #b ", %tmm" #a ", %tmm" #sum)

#else

struct Tiles {
  Tiles() {}
};

#if defined(CPUFLOW_EMULATES_TILES)
constexpr bool kTiles = true;

/// What a tile holds, a row in each vector.
struct EmulatedTile {
  vf rows[kTile];

  void zero() {
    for (vf& row : rows) row = vf{};
  }
  void load_rows(const float* p, long row) {
    for (int i = 0; i < kTile; ++i) rows[i] = load<vf>(p + i * row);
  }
  void store_rows(float* p, long row) const {
    for (int i = 0; i < kTile; ++i) store(p + i * row, rows[i]);
  }
  /// += a b as TDPBF16PS has it (Intel's Software Developer's Manual, volume 2): products of first numbers are added up from zero, and those of second
  /// ones; then both to what is there.
  void add_product(const EmulatedTile& a, const EmulatedTile& b) {
    static_assert(kLanes == kTile, "tiles are emulated by vectors of 512 bits");
    const vi upper = splati<vf>(int32_t(0xffff0000));
    constexpr int kTogether = 4;  // rows that take apart the units of b once
    KERNEL_ROLLED
    for (int i = 0; i < kTile; i += kTogether) {
      vf first[kTogether] = {}, second[kTogether] = {};
      KERNEL_ROLLED
      for (int u = 0; u < kTile; ++u) {
        const vi y = bits_as<vi>(b.rows[u]);
        const vf y_first = bits_as<vf>(y << 16), y_second = bits_as<vf>(y & upper);
        KERNEL_UNROLL
        for (int r = 0; r < kTogether; ++r) {
          const vi x = splati<vf>(bits_as<vi>(a.rows[i + r])[u]);
          first[r] = fma(bits_as<vf>(x << 16), y_first, first[r]);
          second[r] = fma(bits_as<vf>(x & upper), y_second, second[r]);
        }
      }
      for (int r = 0; r < kTogether; ++r) rows[i + r] += first[r] + second[r];
    }
  }
};

#define KERNEL_TILE_REGISTERS EmulatedTile emulated[8]
#define KERNEL_TILE_LOAD(tile, p, row) emulated[tile].load_rows(p, row)
#define KERNEL_TILE_STREAM(tile, p, row) emulated[tile].load_rows(p, row)
#define KERNEL_TILE_STORE(tile, p, row) emulated[tile].store_rows(p, row)
#define KERNEL_TILE_ZERO(tile) emulated[tile].zero()
#define KERNEL_TILE_DOT(sum, a, b) emulated[sum].add_product(emulated[a], emulated[b])
#else
constexpr bool kTiles = false;
#endif
#endif

}  // namespace CPUFLOW_KERNEL_NAMESPACE
#endif
