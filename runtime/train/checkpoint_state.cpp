#include <fmt/format.h>

#include "runtime/train/checkpoint.h"
#include "runtime/train/init.h"

namespace cpuflow::rt {

nlohmann::ordered_json model_signature(const codegen::Manifest& m) {
  nlohmann::ordered_json params = nlohmann::ordered_json::object();
  for (const codegen::ParamInfo& p : m.params) params[p.name] = p.shape;
  return {{"name", m.model},
          {"sizes", m.dims},
          {"B", m.B},
          {"T", m.T},
          {"V", m.V},
          {"lanes", m.lanes},
          {"batch", m.train.batch},
          {"micro", m.train.micro},
          {"accumulate", m.train.accumulate_sum ? "sum" : "mean"},
          {"losses", m.losses},
          {"parameters", params}};
}

nlohmann::ordered_json train_settings_json(const codegen::TrainSettings& t) {
  nlohmann::ordered_json groups = nlohmann::ordered_json::array();
  for (const auto& [pattern, settings] : t.groups) groups.push_back({{"match", pattern}, {"settings", settings}});
  return {{"lr", t.lr},
          {"min_lr", t.min_lr},
          {"warmup_steps", t.warmup_steps},
          {"cosine_steps", t.cosine_steps},
          {"warmup_share", t.warmup_share},
          {"beta1", t.beta1},
          {"beta2", t.beta2},
          {"eps", t.eps},
          {"weight_decay", t.weight_decay},
          {"clip", t.clip},
          {"groups", groups}};
}

void Checkpoint::load_params(const codegen::Manifest& manifest, float* params) const {
  rt::load_params(SafetensorsFile(file("model.safetensors")), manifest, params);
}

void Checkpoint::load_moments(const codegen::Manifest& manifest, float* first, float* second) const {
  const SafetensorsFile tensors(file("optimizer.safetensors"));
  for (const codegen::ParamInfo& p : manifest.params) {
    if (!p.trainable) continue;
    for (const auto& [kind, to] : {std::pair{"exp_avg.", first}, {"exp_avg_sq.", second}}) {
      tensors.expect(kind + p.name, p.shape);
      const std::vector<float> values = tensors.floats(kind + p.name);
      std::copy(values.begin(), values.end(), to + p.offset);
    }
  }
}

}  // namespace cpuflow::rt
