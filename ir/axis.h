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

/// Position axes from this ordinal on count chunks of positions, and the positions within a chunk.
inline constexpr uint16_t kSplitOrdinal = 0xc000;

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
inline bool is_batch(const Axis& axis) { return axis.kind == AxisKind::Batch; }
bool has_batch(const Axes& axes);

}  // namespace cpuflow::ir
