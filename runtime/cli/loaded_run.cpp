#include "runtime/cli/loaded_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/train/init.h"

namespace cpuflow::cli {

void add_weight_options(CLI::App& app, WeightOptions& options) {
  app.add_option("DIR", options.where, "the folder of a run; or, with --weights, a model")->required();
  app.add_option("--weights", options.weights, "weights for a model: safetensors, or what torch.save wrote (.pt)")->type_name("FILE");
  app.add_option("--set", options.settings, "sizes and settings of the model, with --weights")->type_name("NAME=VALUE")->allow_extra_args(false);
  app.add_option("--tokenizer", options.tokenizer, "a tokenizer.json; default: the run's")->type_name("FILE");
  app.add_option("--precision", options.precision, "of the operands of products: fp32 | bf16; default: the run's")->check(CLI::IsMember({"fp32", "bf16"}));
  add_code_options(app, options);
}

namespace {

std::string shown(const rt::Tokenizer& tokenizer, uint32_t id) {
  return nlohmann::json(tokenizer.token_bytes(id)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// A model knows the ids that it was trained on: text in others is another text to it.
void warn_of_other_ids(const std::string& given, const std::string& own) {
  const std::string difference = id_difference(rt::Tokenizer::load(given), own);
  if (!difference.empty()) warn(fmt::format("{}: this is not the run's own tokenizer ({}): {}; without --tokenizer the run's is used", given, own, difference));
}

}  // namespace

std::string id_difference(const rt::Tokenizer& now, const std::string& other) {
  try {
    const rt::Tokenizer then = rt::Tokenizer::load(other);
    const uint32_t ids = std::min(now.vocab_size(), then.vocab_size());
    for (uint32_t id = 0; id < ids; ++id) {
      if (now.token_bytes(id) != then.token_bytes(id)) return fmt::format("id {} is {} in it, and {} in the other", id, shown(now, id), shown(then, id));
    }
    return now.vocab_size() == then.vocab_size() ? "" : fmt::format("it has {} ids, and the other has {}", now.vocab_size(), then.vocab_size());
  } catch (const std::runtime_error& e) {
    return fmt::format("they cannot be compared: {}", e.what());
  }
}

TrainedModel::TrainedModel(const WeightOptions& options, const std::string& command) : tokenizer(options.tokenizer), options_(options) {
  options.choose(compile, command);
  if (!options.weights.empty()) {
    compile.model = options.where;
    compile.overrides = parse_settings(options.settings);
  } else {
    if (!options.settings.empty()) throw UsageError("--set: a run keeps the settings that it was trained with; --set goes with --weights FILE");
    record = read_run(options.where);
    compile.model = model_path(options.where);
    compile.overrides = record.settings;
  }
  if (!options.precision.empty()) compile.overrides[kPrecisionSetting] = options.precision;
  if (!options.weights.empty() || !record.has_tokenizer) return;
  if (tokenizer.empty()) {
    tokenizer = tokenizer_path(options.where);
  } else {
    warn_of_other_ids(tokenizer, tokenizer_path(options.where));
  }
}

std::string TrainedModel::load(const codegen::Manifest& manifest, float* params) {
  if (!options_.weights.empty()) {
    std::string left;
    rt::load_params(*rt::open_tensor_file(options_.weights), manifest, params, &left);
    if (!left.empty()) warn(left);
    return fmt::format("{} with {}", manifest.model, options_.weights);
  }
  const rt::Checkpoint checkpoint = rt::CheckpointFolder(options_.where).open(false);
  for (const std::string& warning : checkpoint.warnings) warn(warning);
  checkpoint.load_params(manifest, params);
  steps_ = checkpoint.state.step;
  return fmt::format("{} after {} steps", manifest.model, with_commas(static_cast<double>(steps_)));
}

rt::TokenData read_all(const DataSources& sources, const std::vector<std::string>& files, const std::string& ids, int64_t V) {
  std::optional<rt::Tokenizer> tokenizer;
  if (!sources.tokenizer.empty()) tokenizer = rt::Tokenizer::load(sources.tokenizer);
  if (!ids.empty()) return read_ids(ids, tokenizer, V);
  if (!tokenizer) throw UsageError("--data: the run has no tokenizer of its own (it was trained on ids); give --tokenizer FILE");
  rt::check_vocabulary(*tokenizer, sources.tokenizer, static_cast<uint32_t>(V));
  const rt::Documents documents = read_text(files, sources.text, "to evaluate on");
  return encode_and_warn(documents.texts, *tokenizer, sources.tokenizer, files_name(files), sources.text);
}

}  // namespace cpuflow::cli
