#include "runtime/torch_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zip.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "runtime/pickle.h"

namespace cpuflow::rt {
namespace {

using Value = Pickle::Value;
using Kind = Value::Kind;

constexpr uint64_t kMostPickleBytes = 1u << 30;

/// What is called to make a tensor, and which of its arguments is what.
constexpr const char* kRebuildTensor = "torch._utils _rebuild_tensor_v2";
constexpr const char* kRebuildParameter = "torch._utils _rebuild_parameter";

const std::map<std::string, TensorType>& storage_types() {
  static const std::map<std::string, TensorType> types{
      {"DoubleStorage", TensorType::F64}, {"FloatStorage", TensorType::F32}, {"HalfStorage", TensorType::F16}, {"BFloat16Storage", TensorType::BF16},
      {"LongStorage", TensorType::I64},   {"IntStorage", TensorType::I32},   {"ShortStorage", TensorType::I16}, {"CharStorage", TensorType::I8},
      {"ByteStorage", TensorType::U8},    {"BoolStorage", TensorType::Bool}};
  return types;
}

bool is_call_of(const Value& v, const char* name) { return v.kind == Kind::Call && v.items[0]->kind == Kind::Global && v.items[0]->text == name; }

/// The tensor that a value is, or null: a parameter is a call around one.
const Value* tensor_of(const Value& v) {
  const Value* at = &v;
  for (int depth = 0; depth < 4 && is_call_of(*at, kRebuildParameter) && at->items.size() > 1; ++depth) at = at->items[1];
  return is_call_of(*at, kRebuildTensor) ? at : nullptr;
}

bool holds_tensors(const Value& v) {
  if (v.kind != Kind::Dict) return false;
  for (size_t i = 0; i + 1 < v.items.size(); i += 2) {
    if (v.items[i]->kind == Kind::Text && tensor_of(*v.items[i + 1])) return true;
  }
  return false;
}

const Value* value_at(const Value& dict, std::string_view key) {
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    if (dict.items[i]->kind == Kind::Text && dict.items[i]->text == key) return dict.items[i + 1];
  }
  return nullptr;
}

/// The state dict: the root, or a dictionary of tensors under one of its keys.  Null where there is none; `why` says what was found.
const Value* find_state(const Value& root, std::string& why) {
  if (holds_tensors(root)) return &root;
  if (root.kind != Kind::Dict) {
    why = "the file holds no dictionary of tensors; save model.state_dict()";
    return nullptr;
  }
  // the usual keys first: an optimiser's state, or averaged weights, may lie beside them
  for (const char* key : {"model", "model_state", "model_state_dict", "state_dict", "module", "net", "weights", "params"}) {
    if (const Value* v = value_at(root, key); v && holds_tensors(*v)) return v;
  }
  std::vector<std::string> keys, with_tensors;
  const Value* found = nullptr;
  for (size_t i = 0; i + 1 < root.items.size(); i += 2) {
    if (root.items[i]->kind != Kind::Text) continue;
    keys.push_back(root.items[i]->text);
    if (!holds_tensors(*root.items[i + 1])) continue;
    with_tensors.push_back(root.items[i]->text);
    found = root.items[i + 1];
  }
  if (with_tensors.size() == 1) return found;
  why = with_tensors.empty() ? fmt::format("no key of the file holds a dictionary of tensors (its keys: {})", fmt::join(keys, ", "))
                             : fmt::format("tensors lie under several keys ({}); save the one that is meant under 'model'", fmt::join(with_tensors, ", "));
  return nullptr;
}

std::string without_wrappers(std::string name) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view prefix : {"_orig_mod.", "module."}) {
      if (!name.starts_with(prefix)) continue;
      name.erase(0, prefix.size());
      again = true;
    }
  }
  return name;
}

std::optional<std::vector<int64_t>> whole_numbers(const Value& v) {
  const Value& list = v.kind == Kind::Call && v.items.size() == 2 ? *v.items[1] : v;  // torch.Size((2, 3))
  if (list.kind != Kind::Tuple && list.kind != Kind::List) return std::nullopt;
  std::vector<int64_t> out;
  for (const Value* i : list.items) {
    if (i->kind != Kind::Int || i->number < 0) return std::nullopt;
    out.push_back(i->number);
  }
  return out;
}

}  // namespace

struct TorchFile::Archive {
  zip_t* zip = nullptr;
  std::string prefix;  // of all names: the archive's own name and '/'
  ~Archive() {
    if (zip) zip_discard(zip);
  }

  /// The size of a record; nothing where there is none.
  std::optional<uint64_t> size(const std::string& name) const {
    zip_stat_t info;
    if (zip_stat(zip, name.c_str(), 0, &info) != 0 || !(info.valid & ZIP_STAT_SIZE)) return std::nullopt;
    return info.size;
  }

  /// "" or why the record cannot be read; libzip compares its check sum.
  std::string read(const std::string& name, uint64_t bytes, void* out) const {
    zip_file_t* file = zip_fopen(zip, name.c_str(), 0);
    if (!file) return zip_strerror(zip);
    const zip_int64_t got = zip_fread(file, out, bytes);
    char more = 0;
    const bool whole = got == static_cast<zip_int64_t>(bytes) && zip_fread(file, &more, 1) == 0;
    std::string why = whole ? "" : got < 0 || got == static_cast<zip_int64_t>(bytes) ? zip_file_strerror(file) : "it is cut off";
    zip_fclose(file);
    return why;
  }
};

bool TorchFile::recognises(std::string_view start) {
  return start.starts_with("PK\x03\x04") || start.starts_with("\x80\x02\x8a\x0a");
}

TorchFile::~TorchFile() = default;

TorchFile::TorchFile(std::string path) : TensorFile(std::move(path)), archive_(std::make_unique<Archive>()) {
  char start[2] = {};
  std::ifstream(path_, std::ios::binary).read(start, sizeof start);
  if (start[0] == '\x80') fail("it was saved by PyTorch before 1.6, or without its zip format; load it there and save it again with torch.save");
  int error = 0;
  archive_->zip = zip_open(path_.c_str(), ZIP_RDONLY, &error);
  if (!archive_->zip) {
    zip_error_t why;
    zip_error_init_with_code(&why, error);
    const std::string text = zip_error_strerror(&why);
    zip_error_fini(&why);
    fail(fmt::format("damaged checkpoint of PyTorch: {}", text));
  }
  std::string pickle_name;
  constexpr uint64_t kMostPacked = 1032;  // bytes that one of a zip file becomes at most (deflate)
  const uint64_t file_bytes = std::filesystem::file_size(path_);
  const zip_int64_t count = zip_get_num_entries(archive_->zip, 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char* name = zip_get_name(archive_->zip, static_cast<zip_uint64_t>(i), 0);
    zip_stat_t info;
    const bool stated = zip_stat_index(archive_->zip, static_cast<zip_uint64_t>(i), 0, &info) == 0 && (info.valid & ZIP_STAT_SIZE);
    if (stated && info.size / kMostPacked > file_bytes) fail(fmt::format("{} states {} bytes, more than a file of {} bytes holds", name ? name : "a record", info.size, file_bytes));
    if (name && std::string_view(name).ends_with("/data.pkl")) pickle_name = name;
  }
  if (pickle_name.empty()) fail("a zip archive without data.pkl: not a checkpoint of PyTorch");
  archive_->prefix = pickle_name.substr(0, pickle_name.size() - std::strlen("data.pkl"));
  const std::string order_name = archive_->prefix + "byteorder";
  if (const std::optional<uint64_t> bytes = archive_->size(order_name); bytes && *bytes <= 16) {
    std::string order(*bytes, ' ');
    if (archive_->read(order_name, *bytes, order.data()).empty() && order == "big") fail("its numbers are big endian; save it on a little-endian machine");
  }
  const std::optional<uint64_t> bytes = archive_->size(pickle_name);
  if (!bytes || *bytes > kMostPickleBytes) fail("damaged checkpoint of PyTorch: data.pkl has no sensible size");
  std::string text(*bytes, '\0');
  if (const std::string why = archive_->read(pickle_name, *bytes, text.data()); !why.empty()) fail(fmt::format("damaged checkpoint of PyTorch: data.pkl: {}", why));

  std::optional<Pickle> pickle;
  try {
    pickle.emplace(text);
  } catch (const PickleError& e) {
    fail(fmt::format("damaged checkpoint of PyTorch: {}", e.what()));
  }
  std::string why;
  const Value* state = find_state(pickle->root(), why);
  if (!state) fail(why);
  for (size_t i = 0; i + 1 < state->items.size(); i += 2) {
    const Value& key = *state->items[i];
    const Value* call = tensor_of(*state->items[i + 1]);
    if (key.kind != Kind::Text || !call) continue;
    TensorInfo tensor;
    tensor.name = without_wrappers(key.text);
    // storage, offset, size, stride, ..
    const bool complete = call->items.size() >= 5 && call->items[1]->kind == Kind::Persistent && call->items[2]->kind == Kind::Int && call->items[2]->number >= 0;
    const std::optional<std::vector<int64_t>> shape = complete ? whole_numbers(*call->items[3]) : std::nullopt, strides = complete ? whole_numbers(*call->items[4]) : std::nullopt;
    if (!shape || !strides || shape->size() != strides->size()) fail(fmt::format("tensor '{}': its description is damaged", tensor.name));
    // 'storage', its type, its key, the device, elements
    const std::vector<const Value*>& storage = call->items[1]->items;
    if (storage.size() < 5 || storage[1]->kind != Kind::Global || storage[2]->kind != Kind::Text || storage[4]->kind != Kind::Int || storage[4]->number < 0) {
      fail(fmt::format("tensor '{}': its storage is damaged", tensor.name));
    }
    const std::string& type_name = storage[1]->text;
    const auto type = storage_types().find(type_name.substr(type_name.find(' ') + 1));
    if (type == storage_types().end()) fail(fmt::format("tensor '{}': the type {} is not supported", tensor.name, type_name));
    tensor.type = type->second;
    tensor.shape = *shape;
    if (!tensor_bytes(tensor.type, tensor.shape, tensor.bytes)) fail(fmt::format("tensor '{}': shape {} is too large", tensor.name, shape_text(tensor.shape)));
    View view{archive_->prefix + "data/" + storage[2]->text, static_cast<uint64_t>(storage[4]->number), static_cast<uint64_t>(call->items[2]->number), *strides};
    const std::optional<uint64_t> record = archive_->size(view.record);
    if (!record) fail(fmt::format("tensor '{}': the record {} is missing", tensor.name, view.record));
    uint64_t storage_bytes = 0;
    const int64_t storage_shape[] = {storage[4]->number};
    if (!tensor_bytes(tensor.type, storage_shape, storage_bytes) || *record != storage_bytes) {
      fail(fmt::format("tensor '{}': its storage has {} bytes, and {} elements need {}", tensor.name, *record, storage[4]->number, storage_bytes));
    }
    uint64_t last = view.first;
    bool inside = tensor.bytes > 0 ? last < view.storage_elements : true;
    for (size_t d = 0; d < shape->size() && tensor.bytes > 0; ++d) {
      uint64_t reach = 0;
      inside = inside && !__builtin_mul_overflow(static_cast<uint64_t>((*shape)[d] - 1), static_cast<uint64_t>((*strides)[d]), &reach) &&
               !__builtin_add_overflow(last, reach, &last) && last < view.storage_elements;
    }
    // a view with stride 0 can be far larger than what the file holds
    if (!inside || tensor.bytes > storage_bytes) fail(fmt::format("tensor '{}' {} lies outside of its storage", tensor.name, shape_text(tensor.shape)));
    if (!views_.emplace(tensor.name, view).second) fail(fmt::format("two tensors are called '{}'", tensor.name));
    tensors_.push_back(std::move(tensor));
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
}

std::span<const std::byte> TorchFile::data(const TensorInfo& tensor, std::vector<std::byte>& scratch) const {
  const View& view = views_.at(tensor.name);
  const uint64_t width = tensor_type_bytes(tensor.type);
  std::vector<std::byte> storage(view.storage_elements * width);
  if (const std::string why = archive_->read(view.record, storage.size(), storage.data()); !why.empty()) {
    fail(fmt::format("tensor '{}': {}: {}", tensor.name, view.record, why));
  }
  scratch.resize(tensor.bytes);
  std::vector<int64_t> index(tensor.shape.size(), 0);
  uint64_t from = view.first;
  for (uint64_t to = 0; to < tensor.bytes; to += width) {
    std::memcpy(scratch.data() + to, storage.data() + from * width, width);
    for (size_t d = index.size(); d-- > 0;) {
      from += static_cast<uint64_t>(view.strides[d]);
      if (++index[d] < tensor.shape[d]) break;
      from -= static_cast<uint64_t>(view.strides[d] * tensor.shape[d]);
      index[d] = 0;
    }
  }
  return scratch;
}

}  // namespace cpuflow::rt
