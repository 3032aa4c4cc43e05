#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tensor_file.h"

namespace cpuflow::rt {

/// A safetensors file, mapped into memory.  Every throw is a FileError that names the file, the tensor and what is wrong.
class SafetensorsFile : public TensorFile {
 public:
  /// Checks the whole header: sizes against types and shapes, no holes, no overlaps, no key twice.
  explicit SafetensorsFile(std::string path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::span<const std::byte> bytes(std::string_view name) const;

 protected:
  std::span<const std::byte> data(const TensorInfo& tensor, std::vector<std::byte>& scratch) const override;

 private:
  void parse_header(std::string_view header);

  std::shared_ptr<const std::byte> data_;  // the mapping
  uint64_t size_ = 0;                      // of the file
  uint64_t data_start_ = 0;                // end of the header
  std::map<std::string, std::string> metadata_;
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

}  // namespace cpuflow::rt
