#include "runtime/cli/run_folder.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/atomic_file.h"
#include "runtime/cli/model_options.h"
#include "runtime/data/bpe_trainer.h"
#include "runtime/data/strict_json.h"
#include "runtime/train/checkpoint.h"

namespace cpuflow::cli {
namespace {

std::string in(const std::string& dir, const char* name) { return (std::filesystem::path(dir) / name).string(); }

rt::Tokenizer train_tokenizer(const std::vector<std::string_view>& documents, int64_t V, const std::string& separator) {
  rt::BpeTrainerOptions options;
  options.vocab_size = static_cast<uint32_t>(V);
  if (separator != rt::kDefaultSeparator)
    log_line(fmt::format("documents end with {} in ids, whatever the separator in text", rt::kDefaultSeparator));
  const int64_t least = rt::least_vocabulary(options);
  if (V < least) throw rt::DataError(fmt::format("V = {}: a tokenizer that is trained on the text has {} ids at least (bytes, and the end of a document); --set V=1024, or a V in the model file", V, least));
  return rt::train_bpe(documents, options);
}

[[noreturn]] void damaged(const std::string& dir, const std::string& what) {
  throw rt::FileError(fmt::format("{}: damaged: {}; restore it from a copy, or train again", in(dir, "run.json"), what));
}

constexpr std::array kOwnFiles{"run.json", "model.toml", "tokenizer.json"};

/// The weights of a checkpoint belong to the files that it took along: with others they would be another model, or read other text.
void check_own_files(const std::string& dir) {
  const rt::CheckpointFolder checkpoint(dir);
  for (const char* name : kOwnFiles) {
    const std::optional<std::string> copy = checkpoint.whole_file(name);
    const std::string path = in(dir, name), from = in(dir, "checkpoint/") + name;
    if (!copy || (rt::exists(path) && rt::read_file(path) == *copy)) continue;
    const char* what = rt::exists(path) ? "is not what the weights were trained with" : "is not there any more";
    const bool model = std::string_view(name) == "model.toml";
    throw rt::FileError(fmt::format("{}: this file {}; {} is a copy of the right one: put that in its place{}", path, what, from,
                                    model ? ", or train the other equations in another folder, from these weights: --out OTHER --warm-start " + shell_word(in(dir, "checkpoint/model.safetensors")) : ""));
  }
}

/// The value of a key of run.json; `expected` says for people what it must be.
template <typename T>
T value_of(const nlohmann::json& json, const char* key, const char* expected, const std::string& dir) {
  if (!json.contains(key)) damaged(dir, fmt::format("there is no \"{}\" in it", key));
  try {
    return json[key].get<T>();
  } catch (const nlohmann::json::exception&) {
    damaged(dir, fmt::format("\"{}\": expected {}, found {}", key, expected, json[key].dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  }
}

}  // namespace

std::string model_path(const std::string& dir) { return in(dir, "model.toml"); }
std::string tokenizer_path(const std::string& dir) { return in(dir, "tokenizer.json"); }
bool holds_run(const std::string& dir) { return rt::exists(in(dir, "run.json")) || rt::CheckpointFolder(dir).whole_file("run.json"); }

void write_run(const std::string& dir, const RunRecord& record, const rt::Tokenizer* tokenizer) {
  const nlohmann::ordered_json json{{"format", 1},
                                    {"settings", record.settings},
                                    {"has_tokenizer", tokenizer != nullptr},
                                    {"separator", record.text.separator},
                                    {"allow_special", record.text.allow_special}};
  const std::string text = json.dump(2) + "\n";
  make_folder(dir);
  rt::write_file_atomically(model_path(dir), record.model_text);
  if (tokenizer) tokenizer->save(tokenizer_path(dir));
  rt::write_file_atomically(in(dir, "run.json"), text);  // last: now the folder is a run
}

RunRecord read_run(const std::string& dir) {
  const std::string path = in(dir, "run.json");
  if (rt::exists(dir) && !rt::is_folder(dir)) throw rt::FileError(fmt::format("{}: a file; give the folder of a run (what `cpuflowc train MODEL --data FILE --out DIR` makes), or a model with --weights FILE", dir));
  if (!holds_run(dir))
    throw rt::FileError(
        fmt::format("{}: not a run: there is no run.json; `cpuflowc train MODEL --data FILE --out {}` makes one, and --weights FILE goes with "
                    "the name of a model", dir, shell_word(dir)));
  check_own_files(dir);
  const std::string text = rt::read_file(path);
  nlohmann::json json;
  try {
    json = rt::parse_strict_json(text);
  } catch (const std::runtime_error& e) {
    damaged(dir, e.what());
  }
  RunRecord record;
  record.settings = value_of<std::map<std::string, std::string>>(json, "settings", "an object of texts", dir);
  record.has_tokenizer = value_of<bool>(json, "has_tokenizer", "true or false", dir);
  record.text.separator = value_of<std::string>(json, "separator", "a text", dir);
  record.text.allow_special = value_of<bool>(json, "allow_special", "true or false", dir);
  record.model_text = rt::read_file(model_path(dir));
  return record;
}

rt::TokenData read_ids(const std::string& path, const std::optional<rt::Tokenizer>& tokenizer, int64_t V) {
  const bool wide = rt::has_wide_ids(tokenizer ? tokenizer->vocab_size() : static_cast<uint32_t>(V));
  rt::TokenData data = rt::read_token_file(path, static_cast<uint32_t>(V), wide);
  if (tokenizer) data.bytes = rt::count_text_bytes(data.ids, *tokenizer);
  return data;
}

std::map<std::string, std::string> run_files(const std::string& dir) {
  std::map<std::string, std::string> files;
  for (const char* name : kOwnFiles) {
    if (rt::exists(in(dir, name))) files[name] = rt::read_file(in(dir, name));
  }
  return files;
}

TrainingData read_training_data(const DataSources& sources, int64_t V, const std::string& in_run) {
  TrainingData out;
  if (!in_run.empty()) {
    out.tokenizer_name = in_run;
  } else {
    out.tokenizer_name = sources.tokenizer;
  }
  if (!out.tokenizer_name.empty()) out.tokenizer = rt::Tokenizer::load(out.tokenizer_name);

  if (!sources.ids.empty()) {
    out.train = read_ids(sources.ids, out.tokenizer, V);
    out.rule = sources.valid.empty() ? "nothing is held out of a file of ids; --valid FILE names what to evaluate on"
                                     : fmt::format("evaluated on {}", sources.valid);
  } else {
    const rt::Documents documents = read_text(sources.data, sources.text, "to train on");
    rt::HeldOut parts;
    if (sources.valid.empty()) {
      parts = rt::hold_out(documents);
    } else {
      parts.train = documents.texts;
      parts.rule = fmt::format("evaluated on {}; nothing is held out", sources.valid);
    }
    const std::string name = files_name(sources.data);
    if (!out.tokenizer) {
      log_line(fmt::format("tokenizer: training one of at most {} ids on {}", V, name));
      out.tokenizer = train_tokenizer(parts.train, V, sources.text.separator);
      out.tokenizer_name = "the new tokenizer";
    }
    out.train = encode_and_warn(parts.train, *out.tokenizer, out.tokenizer_name, name, sources.text);
    if (!parts.valid.empty())
      out.valid = encode_and_warn(parts.valid, *out.tokenizer, out.tokenizer_name, "held-out part of " + name, sources.text);
    out.rule = parts.rule;
  }
  if (!sources.valid.empty()) {
    if (sources.valid.ends_with(".bin") || sources.valid.ends_with(".npy")) {
      out.valid = read_ids(sources.valid, out.tokenizer, V);
    } else if (!out.tokenizer) {
      throw UsageError(fmt::format("--valid {}: text needs --tokenizer when --ids is given", sources.valid));
    } else {
      const rt::Documents documents = read_text({sources.valid}, sources.text, "to evaluate on");
      out.valid = encode_and_warn(documents.texts, *out.tokenizer, out.tokenizer_name, sources.valid, sources.text);
    }
  }
  return out;
}

}  // namespace cpuflow::cli
