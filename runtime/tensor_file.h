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

/// Element types that are read and written here, by their names in the safetensors format.
enum class TensorType : uint8_t { F64, F32, F16, BF16, I64, U64, I32, U32, I16, U16, I8, U8, Bool };

/// "F64", "BF16", "BOOL", ...
std::string_view tensor_type_name(TensorType type);
size_t tensor_type_bytes(TensorType type);
/// Looks a name up; false if there is none.
bool tensor_type_by_name(std::string_view name, TensorType& type);
/// The names of all types, with commas.
std::string tensor_type_names();

struct TensorInfo {
  std::string name;
  TensorType type = TensorType::F32;
  std::vector<int64_t> shape;  // empty: a scalar
  uint64_t offset = 0;         // of the first byte, from the start of the file; 0 where the file does not hold it in one piece
  uint64_t bytes = 0;
  uint64_t elements() const { return bytes / tensor_type_bytes(type); }
};

/// "[64, 128]".
std::string shape_text(std::span<const int64_t> shape);
/// Product of type size and shape; false on overflow or a negative size.
bool tensor_bytes(TensorType type, std::span<const int64_t> shape, uint64_t& bytes);

/// Named tensors of a file.  Every throw is a FileError that names the file, the tensor and what is wrong.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  const std::string& path() const { return path_; }
  /// In the order of their names.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// Throws when there is no such tensor.
  const TensorInfo& info(std::string_view name) const;
  /// Throws when the tensor is missing or has another shape.
  const TensorInfo& expect(std::string_view name, std::span<const int64_t> shape) const;
  /// Any type, converted; F64 and large integers are rounded to nearest.
  std::vector<float> floats(std::string_view name) const;
  std::vector<double> doubles(std::string_view name) const;
  /// Any integer type or BOOL; throws for real types and for values that do not fit.
  std::vector<int32_t> int32s(std::string_view name) const;

 protected:
  explicit TensorFile(std::string path) : path_(std::move(path)) {}
  /// The elements, one after the other; `scratch` may hold them.
  virtual std::span<const std::byte> data(const TensorInfo& tensor, std::vector<std::byte>& scratch) const = 0;
  const TensorInfo* find(std::string_view name) const;
  [[noreturn]] void fail(const std::string& what) const;

  std::string path_;
  std::vector<TensorInfo> tensors_;

 private:
  /// All elements, each by `convert(tensor, index, value in the file's type)`.
  template <class To, class Convert>
  std::vector<To> elements(std::string_view name, Convert convert) const;
};

/// Opens a safetensors file, or a checkpoint of PyTorch (TorchFile), whatever its name is.
std::unique_ptr<TensorFile> open_tensor_file(const std::string& path);

/// float32 nearest to a bfloat16 or IEEE half bit pattern (exact).
float float_from_bf16(uint16_t bits);
float float_from_f16(uint16_t bits);

}  // namespace cpuflow::rt
