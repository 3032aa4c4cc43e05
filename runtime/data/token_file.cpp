#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "runtime/atomic_file.h"
#include "runtime/data/dataset.h"

namespace cpuflow::rt {
namespace {

/// Of llm.c's files (dev/data/data_common.py): what their header of 1024 bytes begins with.
struct LlmcKind {
  uint32_t magic, version;
  size_t width;
};
constexpr LlmcKind kLlmcKinds[] = {{20240520, 1, 2}, {20240520, 2, 4}, {20240801, 7, 4}};
constexpr size_t kLlmcHeader = 1024;

struct Layout {
  size_t start = 0;
  size_t width = 2;
};

uint32_t word_at(const std::string& data, size_t at) {
  uint32_t value;
  std::memcpy(&value, data.data() + at, sizeof value);
  return value;
}

/// The value of `'key': value` in the header of a .npy file, up to `stop`.
std::string_view npy_field(std::string_view header, std::string_view key, char stop) {
  const size_t at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) return {};
  const size_t begin = header.find_first_not_of(' ', at + key.size() + 3);
  const size_t end = header.find(stop, begin == std::string_view::npos ? header.size() : begin);
  return end == std::string_view::npos ? std::string_view{} : header.substr(begin, end - begin + 1);
}

Layout npy_layout(const std::string& data, const std::string& path) {
  const auto fail = [&](const std::string& what) -> DataError { return DataError(fmt::format("{}: {}", path, what)); };
  if (data.size() < 12) throw fail("damaged .npy file: its header is cut off");
  const bool first_version = data[6] == 1;
  const size_t prefix = first_version ? 10 : 12;
  const size_t length = first_version ? static_cast<unsigned char>(data[8]) | static_cast<size_t>(static_cast<unsigned char>(data[9])) << 8
                                      : word_at(data, 8);
  if (length > data.size() - prefix) throw fail("damaged .npy file: its header is cut off");
  const std::string_view header = std::string_view(data).substr(prefix, length);
  const std::string_view type = npy_field(header, "descr", ',');
  Layout out{prefix + length, 0};
  if (type == "'<u2',") out.width = 2;
  if (type == "'<u4',") out.width = 4;
  if (out.width == 0) throw fail(fmt::format("the .npy file holds {}, and token ids must be '<u2' or '<u4' (numpy uint16, uint32)", type));
  const std::string_view shape = npy_field(header, "shape", ')');
  const uint64_t count = (data.size() - out.start) / out.width;
  if (shape != fmt::format("({},)", count) || (data.size() - out.start) % out.width != 0) {
    throw fail(fmt::format("the .npy file says shape {}, and one dimension of the {} ids that it holds is expected", shape, count));
  }
  return out;
}

Layout layout_of(const std::string& data, const std::string& path, bool wide) {
  if (data.compare(0, 6, "\x93NUMPY") == 0) return npy_layout(data, path);
  const uint32_t magic = data.size() >= kLlmcHeader ? word_at(data, 0) : 0;
  if (std::any_of(std::begin(kLlmcKinds), std::end(kLlmcKinds), [&](const LlmcKind& k) { return k.magic == magic; })) {
    const uint32_t version = word_at(data, 4);
    const auto kind = std::find_if(std::begin(kLlmcKinds), std::end(kLlmcKinds), [&](const LlmcKind& k) { return k.magic == magic && k.version == version; });
    if (kind == std::end(kLlmcKinds)) {
      throw DataError(fmt::format("{}: version {} of the token file format with magic {} is not known (1 and 2 of 20240520 and 7 of 20240801 are)", path, version, magic));
    }
    const Layout out{kLlmcHeader, kind->width};
    const uint64_t count = (data.size() - kLlmcHeader) / out.width;
    if (word_at(data, 8) != count) {
      throw DataError(fmt::format("{}: its header says {} ids, and {} are there; it may be cut off", path, word_at(data, 8), count));
    }
    return out;
  }
  return {0, wide ? size_t{4} : size_t{2}};
}

/// Whether numbers of two bytes are the halves of larger ones: every second is 0, and not all are.
bool seems_wide(const std::string& data) {
  constexpr size_t kEnough = 128;  // bytes
  if (data.size() < kEnough || data.size() % 4 != 0) return false;
  bool any = false;
  for (size_t i = 0; i < data.size(); i += 4) {
    if (data[i + 2] != 0 || data[i + 3] != 0) return false;
    any = any || data[i] != 0 || data[i + 1] != 0;
  }
  return any;
}

}  // namespace

TokenData read_token_file(const std::string& path, uint32_t vocab, bool wide) {
  const std::string data = read_file(path);
  const Layout layout = layout_of(data, path, wide);
  const size_t payload = data.size() - layout.start;
  if (payload == 0) throw DataError(fmt::format("{}: there are no token ids in it", path));
  if (payload % layout.width != 0) {
    throw DataError(fmt::format("{}: {} bytes of ids are no multiple of {}: it is cut off, or no file of uint{} ids", path, payload,
                                layout.width, 8 * layout.width));
  }
  if (layout.start == 0 && layout.width == 2 && seems_wide(data)) {
    throw DataError(fmt::format("{}: every second id is 0, as in a file of uint32 ids, and raw ids are uint16 where V is at most 65,536; save them as a .npy file, or as uint16", path));
  }
  TokenData out;
  out.name = path;
  const uint64_t count = payload / layout.width;
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t id = 0;
    std::memcpy(&id, data.data() + layout.start + i * layout.width, layout.width);
    if (vocab > 0 ? id >= vocab : id > 0x7fffffff) {
      throw DataError(
          fmt::format("{}: token {} at position {} is out of range: the model's vocabulary V is {} (ids 0 to {}); was the file made with "
                      "another tokenizer, or is it uint{}?",
                      path, id, i, vocab, vocab == 0 ? 0x7fffffff : vocab - 1, layout.width == 2 ? 32 : 16));
    }
    out.ids.append(id);
  }
  return out;
}

void write_token_file(const std::string& path, const TokenIds& ids, uint32_t vocab) {
  const size_t width = has_wide_ids(vocab) ? 4 : 2;
  AtomicFile file(path, ids.size() * width);
  std::string block;
  for (uint64_t i = 0; i < ids.size(); ++i) {
    const uint32_t id = ids[i];
    if (vocab > 0 && id >= vocab) throw DataError(fmt::format("{}: id {} at position {} is not below {}", path, id, i, vocab));
    if (vocab == 0 && id > 0xffff) throw DataError(fmt::format("{}: id {} at position {} does not fit into 16 bits", path, id, i));
    block.append(reinterpret_cast<const char*>(&id), width);
    if (block.size() >= (size_t{1} << 20)) {
      file.write(block);
      block.clear();
    }
  }
  file.write(block);
  file.commit();
}

}  // namespace cpuflow::rt
