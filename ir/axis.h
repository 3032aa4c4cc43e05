#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace cpuflow::ir {

/// What an axis counts.  Batch: sequences of a micro-batch.  Position: positions of a sequence (`t` has ordinal 0; others, such
/// as the `s` of attention, have higher ordinals).  Layer: repetitions of a block.  Feature: everything else, chunks included.
enum class AxisKind : uint8_t { Batch, Layer, Position, Feature };

/// An axis is a value: two tensors share an axis when kind, ordinal and size agree, and are aligned on it.  Text form `b0:4`, `l0:6`, `t0:256`, `f1:64`.
struct Axis {
  AxisKind kind = AxisKind::Feature;
  uint16_t ordinal = 0;
  uint32_t size = 1;
  auto operator<=>(const Axis&) const = default;
  std::string str() const;
};

/// Where those who name axes begin to count: two that mean different things must not be one.
namespace ordinals {
inline constexpr uint16_t kBound = 16;        // bound indices, by depth; below them the axes of values, by place.  A function counts both from further on
inline constexpr uint16_t kChosen = 64;       // the positions that a condition leaves, by the ordinal of all (passes/restrict_rows)
inline constexpr uint16_t kHistory = 0x2000;  // earlier steps of a recurrence
inline constexpr uint16_t kAll = 0x4000;      // the sequences of a batch as a feature (passes/collect_sequences); layers as a bound index
inline constexpr uint16_t kDistance = 0x6000;  // from one position to another (passes/kit/distances)
inline constexpr uint16_t kTemporary = 0x8000;  // while a value is read
// Position axes that count chunks of positions, and positions within a chunk:
inline constexpr uint16_t kSplit = 0xc000;      // passes/split_chunks
inline constexpr uint16_t kChunkSums = 0xd000;  // passes/chunk_sums
inline constexpr uint16_t kBands = 0xe000;      // passes/band_windows
}  // namespace ordinals

/// Whether there are ordinals for the parts of positions `t`.
bool can_be_split(const Axis& t);
/// A part, counted from 0, of positions `t` that can be split: `base` is one of the last three.
Axis split_axis(uint16_t base, const Axis& t, unsigned part, uint32_t size);
/// Whether it is one of those.
inline bool is_split(const Axis& axis) { return axis.kind == AxisKind::Position && axis.ordinal >= ordinals::kSplit; }

/// The axes of a value, each at most once, in storage order (outermost first).
using Axes = std::vector<Axis>;

bool contains(const Axes& axes, const Axis& axis);
/// Position of `axis`, or -1.
int index_of(const Axes& axes, const Axis& axis);
/// Product of the sizes.
uint64_t element_count(const Axes& axes);
/// Batch, then layer, position and feature axes by ordinal: the order in which elementwise results store their axes.
Axes union_of(const Axes& a, const Axes& b);
Axes without(const Axes& axes, const Axes& removed);
/// Whether all axes of `a` are axes of `b`.
bool subset(const Axes& a, const Axes& b);
/// Whether two values share an axis.
bool meets(const Axes& a, const Axes& b);
/// Whether two axes have one name, whatever their sizes.
inline bool same_name(const Axis& a, const Axis& b) { return a.kind == b.kind && a.ordinal == b.ordinal; }
inline bool is_batch(const Axis& axis) { return axis.kind == AxisKind::Batch; }
bool has_batch(const Axes& axes);

}  // namespace cpuflow::ir
