#include "runtime/train/init.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "runtime/random.h"

namespace cpuflow::rt {
namespace {

constexpr uint64_t kBlock = 8192;  // elements; even, because normal values come in pairs

void fill(const codegen::ParamInfo& p, uint64_t seed, uint64_t begin, uint64_t end, float* out) {
  using Init = codegen::ParamInfo::Init;
  const uint64_t stream = XXH64(p.name.data(), p.name.size(), 0);
  for (uint64_t i = begin; i < end; i += 2) {
    double pair[2] = {p.init_a, p.init_a};
    if (p.init != Init::Constant) {
      const std::array<uint64_t, 2> words = random_words(seed, stream, i / 2);
      const double u = unit_interval(words[0]), v = unit_interval(words[1]);
      if (p.init == Init::Uniform) {
        pair[0] = p.init_a + (p.init_b - p.init_a) * u;
        pair[1] = p.init_a + (p.init_b - p.init_a) * v;
      } else {
        const double radius = std::sqrt(-2 * std::log1p(-u)), angle = 2 * std::numbers::pi * v;
        pair[0] = p.init_a + p.init_b * radius * std::cos(angle);
        pair[1] = p.init_a + p.init_b * radius * std::sin(angle);
      }
    }
    for (uint64_t j = i; j < std::min(end, i + 2); ++j) {
      out[j] = static_cast<float>(pair[j - i]);
      if (p.low > -1e300 || p.high < 1e300) out[j] = static_cast<float>(std::clamp(pair[j - i], p.low, p.high));
    }
  }
}

/// What is wrong with the numbers of a tensor, or "".
std::string not_finite(const std::string& name, const std::vector<float>& values) {
  const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  return bad == values.end() ? "" : fmt::format("'{}' holds {} at element {}", name, *bad, bad - values.begin());
}

/// A word where one shape is the other in reverse: some keep a linear map as [in, out].
std::string transposed(const std::vector<int64_t>& file, const std::vector<int64_t>& model) {
  return file.size() == 2 && model.size() == 2 && file[0] == model[1] && file[1] == model[0] ? " (the other way round: transpose it, and square ones of its kind)" : "";
}

}  // namespace

void init_params(ThreadPool& pool, const codegen::Manifest& manifest, uint64_t seed, float* params) {
  for (const codegen::ParamInfo& p : manifest.params) {
    pool.parallel_for((p.count + kBlock - 1) / kBlock, [&](size_t block, int) {
      const uint64_t begin = block * kBlock;
      fill(p, seed, begin, std::min(p.count, begin + kBlock), params + p.offset);
    });
  }
}

void load_params(const TensorFile& file, const codegen::Manifest& manifest, float* params, std::string* left) {
  std::vector<std::string> faults;
  std::set<std::string> known;
  for (const codegen::ParamInfo& p : manifest.params) {
    const std::string& name = p.name;
    known.insert(name);
    if (!file.contains(name)) {
      faults.push_back(fmt::format("'{}' {} is missing", name, shape_text(p.shape)));
      continue;
    }
    const TensorInfo& info = file.info(name);
    if (info.shape != p.shape) {
      faults.push_back(fmt::format("'{}' has shape {}, and the model has {}{}", name, shape_text(info.shape), shape_text(p.shape), transposed(info.shape, p.shape)));
      continue;
    }
    const std::vector<float> values = file.floats(name);
    if (std::string fault = not_finite(name, values); !fault.empty()) {
      faults.push_back(std::move(fault));
      continue;
    }
    std::copy(values.begin(), values.end(), params + p.offset);
  }
  std::vector<std::string> others;
  for (const TensorInfo& info : file.tensors()) {
    if (known.contains(info.name)) continue;
    if (left) others.push_back(fmt::format("{} {}", info.name, shape_text(info.shape)));
    else faults.push_back(fmt::format("'{}' {} is no parameter of the model", info.name, shape_text(info.shape)));
  }
  if (left && !others.empty()) *left = fmt::format("{}: left in the file, because the model has no such parameters: {}", file.path(), fmt::join(others, ", "));
  if (faults.empty()) return;
  throw FileError(
      fmt::format("{}: these tensors do not fit the model '{}':\n  {}\ngive a file of this model, or set the model's sizes to the file's; `train --warm-start` takes what has the same name and shape, and lists the rest",
                  file.path(), manifest.model, fmt::join(faults, "\n  ")));
}

std::string warm_start(const TensorFile& file, const codegen::Manifest& manifest, float* params) {
  std::vector<std::string> kept, left;
  std::set<std::string> taken;
  for (const codegen::ParamInfo& p : manifest.params) {
    if (!file.contains(p.name)) {
      kept.push_back(fmt::format("{} {}", p.name, shape_text(p.shape)));
    } else if (file.info(p.name).shape != p.shape) {
      kept.push_back(fmt::format("{} {}, which is {} in the file{}", p.name, shape_text(p.shape), shape_text(file.info(p.name).shape), transposed(file.info(p.name).shape, p.shape)));
    } else {
      const std::vector<float> values = file.floats(p.name);
      if (const std::string fault = not_finite(p.name, values); !fault.empty()) throw FileError(fmt::format("{}: {}; give weights that are numbers", file.path(), fault));
      std::copy(values.begin(), values.end(), params + p.offset);
      taken.insert(p.name);
    }
  }
  for (const TensorInfo& info : file.tensors()) {
    if (!taken.contains(info.name)) left.push_back(fmt::format("{} {}", info.name, shape_text(info.shape)));
  }
  if (taken.empty()) {
    throw FileError(fmt::format("{}: no tensor has the name and shape of a parameter of '{}', whose names look like '{}'", file.path(), manifest.model,
                                manifest.params.empty() ? "" : manifest.params.front().name));
  }
  std::string out = fmt::format("warm start: {} of {} parameters are taken from {}", taken.size(), manifest.params.size(), file.path());
  if (!kept.empty()) out += fmt::format("\n  begin as the model file says: {}", fmt::join(kept, ", "));
  if (!left.empty()) out += fmt::format("\n  left in the file: {}", fmt::join(left, ", "));
  return out;
}

}  // namespace cpuflow::rt
