#include "runtime/tensor_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <type_traits>
#include <utility>

#include "runtime/safetensors.h"
#include "runtime/torch_file.h"

namespace cpuflow::rt {
namespace {

struct TypeRow {
  TensorType type;
  std::string_view name;
  size_t bytes;
};
constexpr TypeRow kTypes[] = {
    {TensorType::F64, "F64", 8},   {TensorType::F32, "F32", 4}, {TensorType::F16, "F16", 2}, {TensorType::BF16, "BF16", 2},
    {TensorType::I64, "I64", 8},   {TensorType::U64, "U64", 8}, {TensorType::I32, "I32", 4}, {TensorType::U32, "U32", 4},
    {TensorType::I16, "I16", 2},   {TensorType::U16, "U16", 2}, {TensorType::I8, "I8", 1},   {TensorType::U8, "U8", 1},
    {TensorType::Bool, "BOOL", 1},
};

struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// Calls `use` with each element in its own type.
template <class Use>
void for_each_element(TensorType type, const std::byte* data, uint64_t count, Use use) {
  const auto walk = [&]<class T>(T) {
    for (uint64_t i = 0; i < count; ++i) use(i, load<T>(data + i * sizeof(T)));
  };
  switch (type) {
    case TensorType::F64:
      return walk(double{});
    case TensorType::F32:
      return walk(float{});
    case TensorType::F16:
      return walk(Half{});
    case TensorType::BF16:
      return walk(BFloat{});
    case TensorType::I64:
      return walk(int64_t{});
    case TensorType::U64:
      return walk(uint64_t{});
    case TensorType::I32:
      return walk(int32_t{});
    case TensorType::U32:
      return walk(uint32_t{});
    case TensorType::I16:
      return walk(int16_t{});
    case TensorType::U16:
      return walk(uint16_t{});
    case TensorType::I8:
      return walk(int8_t{});
    case TensorType::U8:
    case TensorType::Bool:
      return walk(uint8_t{});
  }
}

template <class To, class From>
To real_from(From value) {
  if constexpr (std::is_same_v<From, Half>) {
    return float_from_f16(value.bits);
  } else if constexpr (std::is_same_v<From, BFloat>) {
    return float_from_bf16(value.bits);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace

std::string_view tensor_type_name(TensorType type) { return kTypes[static_cast<size_t>(type)].name; }
size_t tensor_type_bytes(TensorType type) { return kTypes[static_cast<size_t>(type)].bytes; }
std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

float float_from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

float float_from_f16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 31;
  const uint32_t fraction = bits & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | (fraction << 13));
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

bool tensor_type_by_name(std::string_view name, TensorType& type) {
  const auto* row = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeRow& r) { return r.name == name; });
  if (row == std::end(kTypes)) return false;
  type = row->type;
  return true;
}

std::string tensor_type_names() {
  std::string names;
  for (const TypeRow& known : kTypes) names += (names.empty() ? "" : ", ") + std::string(known.name);
  return names;
}

bool tensor_bytes(TensorType type, std::span<const int64_t> shape, uint64_t& bytes) {
  bool empty = false;
  bytes = tensor_type_bytes(type);
  for (const int64_t size : shape) {
    if (size < 0) return false;
    if (size == 0) empty = true;
  }
  if (empty) bytes = 0;
  for (const int64_t size : shape) {
    if (!empty && __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) return false;
  }
  return bytes <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
}

void TensorFile::fail(const std::string& what) const { throw FileError(fmt::format("{}: {}", path_, what)); }

const TensorInfo* TensorFile::find(std::string_view name) const {
  const auto at =
      std::lower_bound(tensors_.begin(), tensors_.end(), name, [](const TensorInfo& t, std::string_view n) { return t.name < n; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

const TensorInfo& TensorFile::info(std::string_view name) const {
  const TensorInfo* tensor = find(name);
  if (!tensor) {
    std::string names;
    for (size_t i = 0; i < std::min<size_t>(tensors_.size(), 8); ++i) names += (i ? ", " : "") + tensors_[i].name;
    if (tensors_.size() > 8) names += ", ...";
    fail(fmt::format("there is no tensor '{}' (there are {}: {})", name, tensors_.size(), names));
  }
  return *tensor;
}

const TensorInfo& TensorFile::expect(std::string_view name, std::span<const int64_t> shape) const {
  const TensorInfo& tensor = info(name);
  if (!std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end())) {
    fail(fmt::format("tensor '{}' is {}, and {} is needed", name, shape_text(tensor.shape), shape_text(shape)));
  }
  return tensor;
}

template <class To, class Convert>
std::vector<To> TensorFile::elements(std::string_view name, Convert convert) const {
  const TensorInfo& tensor = info(name);
  std::vector<std::byte> scratch;
  const std::span<const std::byte> bytes = data(tensor, scratch);
  std::vector<To> out(tensor.elements());
  for_each_element(tensor.type, bytes.data(), out.size(), [&](uint64_t i, auto value) { out[i] = convert(tensor, i, value); });
  return out;
}

std::vector<float> TensorFile::floats(std::string_view name) const {
  return elements<float>(name, [](const TensorInfo&, uint64_t, auto value) { return real_from<float>(value); });
}

std::vector<double> TensorFile::doubles(std::string_view name) const {
  return elements<double>(name, [](const TensorInfo&, uint64_t, auto value) { return real_from<double>(value); });
}

std::vector<int32_t> TensorFile::int32s(std::string_view name) const {
  return elements<int32_t>(name, [&](const TensorInfo& tensor, uint64_t i, auto value) -> int32_t {
    if constexpr (std::is_integral_v<decltype(value)>) {
      if (!std::in_range<int32_t>(value))
        fail(fmt::format("tensor '{}': element {} is {}, which does not fit into 32 bits", name, i, value));
      return static_cast<int32_t>(value);
    } else {
      fail(fmt::format("tensor '{}' is {}, and integers are needed", name, tensor_type_name(tensor.type)));
    }
  });
}

std::unique_ptr<TensorFile> open_tensor_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  char start[4] = {};
  in.read(start, sizeof start);
  if (in.gcount() == 4 && TorchFile::recognises({start, sizeof start})) return std::make_unique<TorchFile>(path);
  return std::make_unique<SafetensorsFile>(path);  // which says what is wrong with any other file
}

}  // namespace cpuflow::rt
