#include "runtime/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/data/strict_json.h"

static_assert(std::endian::native == std::endian::little, "safetensors data is little endian and is read in place");

namespace cpuflow::rt {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the limit of the format
constexpr uint64_t kDataAlignment = 64;

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::string path) : TensorFile(std::move(path)) {
  const int descriptor = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno == ENOENT) fail(why_missing(path_));
    if (errno == EACCES) fail("no permission to read this file");
    fail(fmt::format("cannot read: {}", std::strerror(errno)));
  }
  struct stat info;
  const bool known = fstat(descriptor, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    close(descriptor);
    fail(known && S_ISDIR(info.st_mode) ? "this is a folder, and a safetensors file is needed" : "not a regular file");
  }
  size_ = static_cast<uint64_t>(info.st_size);
  if (size_ < 8) {
    close(descriptor);
    fail(fmt::format("damaged safetensors file: it has {} bytes, and the length of the header alone takes 8", size_));
  }
  void* mapping = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const int error = errno;
  close(descriptor);
  if (mapping == MAP_FAILED) fail(fmt::format("cannot map {} into memory: {}", format_bytes(size_), std::strerror(error)));
  data_ = std::shared_ptr<const std::byte>(static_cast<const std::byte*>(mapping),
                                           [size = size_](const std::byte* at) { munmap(const_cast<std::byte*>(at), size); });
  const uint64_t header = load<uint64_t>(data_.get());
  if (header > kMaxHeader)
    fail(fmt::format("not a safetensors file: its header would have {} bytes, at most {} are allowed", header, kMaxHeader));
  if (header > size_ - 8) fail(fmt::format("damaged safetensors file: the header needs {} bytes, {} are there", header, size_ - 8));
  data_start_ = 8 + header;
  parse_header({reinterpret_cast<const char*>(data_.get()) + 8, header});
}

void SafetensorsFile::parse_header(std::string_view header) {
  if (header.empty() || header[0] != '{') fail("damaged safetensors file: the header does not begin with '{'");
  nlohmann::json json;
  try {
    json = parse_strict_json(header, 8);
  } catch (const std::runtime_error& error) {
    fail(fmt::format("damaged safetensors header: {}", error.what()));
  }
  const uint64_t available = size_ - data_start_;
  for (const auto& [name, entry] : json.items()) {
    if (!entry.is_object()) fail(fmt::format("damaged safetensors header: '{}' is not an object", name));
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) fail(fmt::format("damaged safetensors header: __metadata__.{} is not a string", key));
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    TensorInfo tensor;
    tensor.name = name;
    for (const auto& [key, value] : entry.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets")
        fail(fmt::format("tensor '{}': unknown key \"{}\" in the header", name, key));
    }
    if (!entry.contains("dtype") || !entry["dtype"].is_string()) fail(fmt::format("tensor '{}': no \"dtype\" in the header", name));
    const std::string& type = entry["dtype"].get_ref<const std::string&>();
    if (!tensor_type_by_name(type, tensor.type)) fail(fmt::format("tensor '{}': type {} is not supported (known: {})", name, type, tensor_type_names()));
    if (!entry.contains("shape") || !entry["shape"].is_array()) fail(fmt::format("tensor '{}': no \"shape\" in the header", name));
    for (const auto& size : entry["shape"]) {
      if (!size.is_number_unsigned() || size.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        fail(fmt::format("tensor '{}': the shape holds {}, and sizes are whole numbers from 0", name, size.dump()));
      }
      tensor.shape.push_back(size.get<int64_t>());
    }
    uint64_t needed = 0;
    if (!tensor_bytes(tensor.type, tensor.shape, needed))
      fail(fmt::format("tensor '{}': shape {} is too large", name, shape_text(tensor.shape)));
    const auto range = entry.find("data_offsets");
    if (range == entry.end() || !range->is_array() || range->size() != 2 || !(*range)[0].is_number_unsigned() ||
        !(*range)[1].is_number_unsigned()) {
      fail(fmt::format("tensor '{}': \"data_offsets\" must be two whole numbers", name));
    }
    const uint64_t begin = (*range)[0].get<uint64_t>();
    const uint64_t end = (*range)[1].get<uint64_t>();
    if (begin > end || end > available) {
      fail(fmt::format("tensor '{}': its bytes are {}..{}, and the file has {} bytes of data; it may be cut off", name, begin, end,
                       available));
    }
    tensor.bytes = end - begin;
    tensor.offset = data_start_ + begin;
    if (tensor.bytes != needed) {
      fail(fmt::format("tensor '{}': {} {} needs {} bytes, its entry has {}", name, type, shape_text(tensor.shape), needed, tensor.bytes));
    }
    tensors_.push_back(std::move(tensor));
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes); });
  uint64_t position = data_start_;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorInfo& tensor = tensors_[i];
    if (tensor.offset < position) fail(fmt::format("tensors '{}' and '{}' overlap", tensors_[i - 1].name, tensor.name));
    if (tensor.offset > position)
      fail(fmt::format("{} bytes before tensor '{}' belong to no tensor", tensor.offset - position, tensor.name));
    position += tensor.bytes;
  }
  if (position != size_) fail(fmt::format("{} bytes at the end belong to no tensor", size_ - position));
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
}

std::span<const std::byte> SafetensorsFile::bytes(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  return {data_.get() + tensor.offset, tensor.bytes};
}

std::span<const std::byte> SafetensorsFile::data(const TensorInfo& tensor, std::vector<std::byte>&) const {
  return {data_.get() + tensor.offset, tensor.bytes};
}

void write_safetensors(const std::string& path, std::vector<TensorView> tensors, const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) {
    const size_t left = tensor_type_bytes(a.type), right = tensor_type_bytes(b.type);
    return left != right ? left > right : a.name < b.name;
  });
  // An ordered_json keeps this order in the header, too.
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t end = 0;
  std::vector<uint64_t> sizes;
  std::map<std::string_view, int> seen;
  for (const TensorView& tensor : tensors) {
    uint64_t bytes = 0;
    if (tensor.name == "__metadata__" || seen[tensor.name]++ > 0) {
      throw FileError(fmt::format("{}: cannot write two tensors named '{}'", path, tensor.name));
    }
    if (!tensor_bytes(tensor.type, tensor.shape, bytes) || __builtin_add_overflow(end, bytes, &end)) {
      throw FileError(fmt::format("{}: tensor '{}': shape {} is too large", path, tensor.name, shape_text(tensor.shape)));
    }
    header[tensor.name] = {{"dtype", tensor_type_name(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {end - bytes, end}}};
    sizes.push_back(bytes);
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    throw FileError(fmt::format("{}: a tensor name or a metadata value is not valid UTF-8", path));
  }
  text.resize((text.size() + 8 + kDataAlignment - 1) / kDataAlignment * kDataAlignment - 8, ' ');
  if (text.size() > kMaxHeader)
    throw FileError(fmt::format("{}: the header has {} bytes, at most {} are allowed", path, text.size(), kMaxHeader));
  AtomicFile file(path, 8 + text.size() + end);
  const uint64_t length = text.size();
  file.write(&length, sizeof length);
  file.write(text);
  for (size_t i = 0; i < tensors.size(); ++i) file.write(tensors[i].data, sizes[i]);
  file.commit();
}

}  // namespace cpuflow::rt
