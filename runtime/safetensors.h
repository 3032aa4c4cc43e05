#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/atomic_file.h"

namespace cpuflow::rt {

/// Element types of the safetensors format that are read and written here.
enum class TensorType : uint8_t { F64, F32, F16, BF16, I64, U64, I32, U32, I16, U16, I8, U8, Bool };

/// The name in the format: "F64", "BF16", "BOOL", ...
std::string_view tensor_type_name(TensorType type);
size_t tensor_type_bytes(TensorType type);

struct TensorInfo {
  std::string name;
  TensorType type = TensorType::F32;
  std::vector<int64_t> shape;  // empty: a scalar
  uint64_t offset = 0;         // of the first byte, from the start of the file
  uint64_t bytes = 0;
  uint64_t elements() const { return bytes / tensor_type_bytes(type); }
};

/// "[64, 128]".
std::string shape_text(std::span<const int64_t> shape);

/// A safetensors file, mapped into memory.  Every throw is a FileError that names the file, the tensor and what is wrong.
class SafetensorsFile {
 public:
  /// Checks the whole header: sizes against types and shapes, no holes, no overlaps, no key twice.
  explicit SafetensorsFile(std::string path);

  const std::string& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// In the order of their names.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// Throws when there is no such tensor.
  const TensorInfo& info(std::string_view name) const;
  /// Throws when the tensor is missing or has another shape.
  const TensorInfo& expect(std::string_view name, std::span<const int64_t> shape) const;
  std::span<const std::byte> bytes(std::string_view name) const;
  /// Any type, converted; F64 and large integers are rounded to nearest.
  std::vector<float> floats(std::string_view name) const;
  std::vector<double> doubles(std::string_view name) const;
  /// Any integer type or BOOL; throws for real types and for values that do not fit.
  std::vector<int32_t> int32s(std::string_view name) const;

 private:
  const TensorInfo* find(std::string_view name) const;
  void parse_header(std::string_view header);
  [[noreturn]] void fail(const std::string& what) const;

  std::string path_;
  std::shared_ptr<const std::byte> data_;  // the mapping
  uint64_t size_ = 0;                      // of the file
  uint64_t data_start_ = 0;                // end of the header
  std::map<std::string, std::string> metadata_;
  std::vector<TensorInfo> tensors_;
};

/// A tensor to write; `data` must outlive the call.
struct TensorView {
  std::string name;
  TensorType type = TensorType::F32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

/// Writes a safetensors file with AtomicFile.  The same input gives the same bytes: wide types first, then by name, so that every
/// tensor is aligned to its element; the data starts at a multiple of 64 bytes.  Throws FileError, also for a name given twice.
void write_safetensors(const std::string& path, std::vector<TensorView> tensors, const std::map<std::string, std::string>& metadata = {});

/// float32 nearest to a bfloat16 or IEEE half bit pattern (exact).
float float_from_bf16(uint16_t bits);
float float_from_f16(uint16_t bits);

}  // namespace cpuflow::rt
