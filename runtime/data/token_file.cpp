#include <fmt/format.h>

#include <cstring>

#include "runtime/atomic_file.h"
#include "runtime/data/dataset.h"

namespace cpuflow::rt {
namespace {

constexpr uint32_t kLlmcMagic = 20240520;
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
  if (data.size() >= kLlmcHeader && word_at(data, 0) == kLlmcMagic) {
    const uint32_t version = word_at(data, 4);
    if (version != 1 && version != 2) {
      throw DataError(
          fmt::format("{}: version {} of the token file format with magic {} is not known (1 and 2 are)", path, version, kLlmcMagic));
    }
    const Layout out{kLlmcHeader, version == 1 ? size_t{2} : size_t{4}};
    const uint64_t count = (data.size() - kLlmcHeader) / out.width;
    if (word_at(data, 8) != count) {
      throw DataError(fmt::format("{}: its header says {} ids, and {} are there; it may be cut off", path, word_at(data, 8), count));
    }
    return out;
  }
  return {0, wide ? size_t{4} : size_t{2}};
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
