#include "runtime/train/optimizer.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "codegen/abi/name_pattern.h"
#include "runtime/train/optimizer_kernels.h"

namespace cpuflow::rt {
namespace {

constexpr uint64_t kBlock = 16384;  // floats: three streams of a block fit into a core's second-level cache

/// While it lives, what this thread computes below 2^-126 is 0: moments of a word that no longer comes would end there, each a hundred times as slow as others.
class [[maybe_unused]] FlushToZero {
#if defined(__SSE__)
 public:
  FlushToZero() { _mm_setcsr(before_ | _MM_FLUSH_ZERO_ON); }
  FlushToZero(const FlushToZero&) = delete;
  FlushToZero& operator=(const FlushToZero&) = delete;
  ~FlushToZero() { _mm_setcsr(before_); }

 private:
  const unsigned before_ = _mm_getcsr();
#endif
};

}  // namespace

std::vector<ParamGroup> param_groups(const codegen::Manifest& m) {
  std::vector<ParamGroup> out(m.params.size(), ParamGroup{1, m.train.weight_decay});
  for (const auto& [pattern, settings] : m.train.groups) {
    bool used = false;
    for (size_t i = 0; i < out.size(); ++i) {
      if (!codegen::matches_pattern(m.params[i].name, pattern)) continue;
      used = true;
      if (const auto it = settings.find("weight_decay"); it != settings.end()) out[i].weight_decay = it->second;
      if (const auto it = settings.find("lr"); it != settings.end()) {
        if (m.train.lr == 0) throw std::invalid_argument("the group '" + pattern + "' sets lr, but train.lr is 0");
        out[i].lr_scale = it->second / m.train.lr;
      }
    }
    if (!used) throw std::invalid_argument("the group '" + pattern + "' matches no parameter");
  }
  return out;
}

bool GradientNorm::finite() const { return std::isfinite(norm); }

AdamW::AdamW(const codegen::Manifest& manifest, float* first, float* second)
    : params_(manifest.params), groups_(param_groups(manifest)), train_(manifest.train), first_(first), second_(second) {
  for (size_t i = 0; i < params_.size(); ++i) {
    if (!params_[i].trainable) continue;
    const uint64_t end = params_[i].offset + params_[i].count;
    for (uint64_t begin = params_[i].offset; begin < end; begin += kBlock) blocks_.push_back({i, begin, std::min(end, begin + kBlock)});
  }
}

void AdamW::sum_lanes(ThreadPool& pool, const std::vector<float*>& lanes, uint64_t count) {
  pool.parallel_for((count + kBlock - 1) / kBlock, [&](size_t block, int) {
    const uint64_t begin = block * kBlock, length = std::min(kBlock, count - begin);
    for (size_t stride = 1; stride < lanes.size(); stride *= 2) {
      for (size_t i = 0; i + stride < lanes.size(); i += 2 * stride) add_block(lanes[i] + begin, lanes[i + stride] + begin, length);
    }
    for (size_t i = 1; i < lanes.size(); ++i) std::fill_n(lanes[i] + begin, length, 0.0f);
  });
}

void AdamW::clear(ThreadPool& pool, float* grads, uint64_t count) {
  pool.parallel_for((count + kBlock - 1) / kBlock, [&](size_t block, int) { std::fill_n(grads + block * kBlock, std::min(kBlock, count - block * kBlock), 0.0f); });
}

GradientNorm AdamW::norm(ThreadPool& pool, const float* grads, double scale) const {
  std::vector<double> squares(blocks_.size());
  pool.parallel_for(blocks_.size(),
                    [&](size_t i, int) { squares[i] = sum_of_squares(grads + blocks_[i].begin, blocks_[i].end - blocks_[i].begin); });
  double sum = 0;
  for (const double s : squares) sum += s;
  return {std::abs(scale) * std::sqrt(sum)};
}

void AdamW::step(ThreadPool& pool, float* params, const float* grads, double scale, const GradientNorm& norm, double lr,
                 int64_t update) const {
  std::vector<AdamWStep> steps(params_.size());
  const double clip = train_.clip > 0 ? std::min(1.0, train_.clip / (norm.norm + 1e-6)) : 1.0;
  const double bias1 = 1 - std::pow(train_.beta1, static_cast<double>(update)),
               bias2 = 1 - std::pow(train_.beta2, static_cast<double>(update));
  for (size_t i = 0; i < steps.size(); ++i) {
    const double rate = lr * groups_[i].lr_scale;
    steps[i] = {static_cast<float>(scale),
                static_cast<float>(clip),
                static_cast<float>(1 - rate * groups_[i].weight_decay),
                static_cast<float>(1 - train_.beta1),
                static_cast<float>(train_.beta2),
                static_cast<float>(1 - train_.beta2),
                static_cast<float>(rate / bias1),
                static_cast<float>(std::sqrt(bias2)),
                static_cast<float>(train_.eps)};
  }
  pool.parallel_for(blocks_.size(), [&](size_t i, int) {
    const Block& b = blocks_[i];
    const codegen::ParamInfo& info = params_[b.param];
    const FlushToZero flush;
    adamw_block(params + b.begin, first_ + b.begin, second_ + b.begin, grads + b.begin, b.end - b.begin, steps[b.param]);
    if (info.low <= -1e300 && info.high >= 1e300) return;
    const float low = static_cast<float>(std::max(info.low, -3.4e38)), high = static_cast<float>(std::min(info.high, 3.4e38));
    for (uint64_t j = b.begin; j < b.end; ++j) params[j] = std::clamp(params[j], low, high);
  });
}

}  // namespace cpuflow::rt
