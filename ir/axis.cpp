#include "ir/axis.h"

#include "ir/diagnostics.h"

#include <algorithm>

namespace cpuflow::ir {

std::string Axis::str() const {
  static constexpr char kLetters[] = {'b', 'l', 't', 'f'};
  return kLetters[static_cast<size_t>(kind)] + std::to_string(ordinal) + ":" + std::to_string(size);
}

constexpr unsigned kParts = 4;  // of each split

bool can_be_split(const Axis& t) { return t.kind == AxisKind::Position && t.ordinal < (ordinals::kChunkSums - ordinals::kSplit) / kParts; }

Axis split_axis(uint16_t base, const Axis& t, unsigned part, uint32_t size) {
  if (!can_be_split(t)) throw InternalError("no ordinals are left for parts of " + t.str());
  return {AxisKind::Position, static_cast<uint16_t>(base + kParts * t.ordinal + part), size};
}

bool contains(const Axes& axes, const Axis& axis) { return std::find(axes.begin(), axes.end(), axis) != axes.end(); }

int index_of(const Axes& axes, const Axis& axis) {
  auto it = std::find(axes.begin(), axes.end(), axis);
  return it == axes.end() ? -1 : static_cast<int>(it - axes.begin());
}

uint64_t element_count(const Axes& axes) {
  uint64_t count = 1;
  for (const Axis& a : axes) count *= a.size;
  return count;
}

Axes union_of(const Axes& a, const Axes& b) {
  Axes all = a;
  all.insert(all.end(), b.begin(), b.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

Axes without(const Axes& axes, const Axes& removed) {
  Axes kept;
  for (const Axis& a : axes) {
    if (!contains(removed, a)) kept.push_back(a);
  }
  return kept;
}

bool subset(const Axes& a, const Axes& b) {
  return std::all_of(a.begin(), a.end(), [&](const Axis& x) { return contains(b, x); });
}

bool meets(const Axes& a, const Axes& b) {
  return std::any_of(a.begin(), a.end(), [&](const Axis& x) { return contains(b, x); });
}

bool has_batch(const Axes& axes) { return std::any_of(axes.begin(), axes.end(), is_batch); }

}  // namespace cpuflow::ir
