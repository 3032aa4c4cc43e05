#pragma once
#include <map>
#include <memory>
#include <string_view>

#include "runtime/tensor_file.h"

namespace cpuflow::rt {

/// The tensors of a checkpoint that torch.save wrote (PyTorch 1.6 or later: a zip archive with a pickle and one record a storage).  The
/// state dict is the whole file, or lies under a key such as `model` or `state_dict`; `_orig_mod.` and `module.` before names are
/// taken away.  Nothing in the file is executed: what is no tensor, number, text or plain container is passed over.
class TorchFile : public TensorFile {
 public:
  /// Whether a file that begins so is a checkpoint of PyTorch, of any version.
  static bool recognises(std::string_view first_four_bytes);
  /// Throws FileError: no such file, damaged, of a version before 1.6, no state dict.
  explicit TorchFile(std::string path);
  ~TorchFile() override;

 protected:
  std::span<const std::byte> data(const TensorInfo& tensor, std::vector<std::byte>& scratch) const override;

 private:
  struct Archive;
  struct View {
    std::string record;            // name in the archive
    uint64_t storage_elements = 0;
    uint64_t first = 0;            // element of the storage
    std::vector<int64_t> strides;  // in elements
  };
  std::unique_ptr<Archive> archive_;
  std::map<std::string, View> views_;
};

}  // namespace cpuflow::rt
