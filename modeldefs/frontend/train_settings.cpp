#include "modeldefs/frontend/train_settings.h"

#include "codegen/abi/name_pattern.h"
#include "modeldefs/frontend/fault.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <cstdio>
#include <cstdlib>

namespace cpuflow::frontend {

namespace {

using codegen::TrainSettings;

/// A numeric setting: where it is kept and what it may be.
struct Setting {
  double TrainSettings::*real = nullptr;
  int64_t TrainSettings::*whole = nullptr;
  double least = 0, most = 1e300;
  bool below_most = false;
};

constexpr double kMostSteps = 1e9;  // and sequences: more is a slip of the keyboard

const std::map<std::string, Setting>& settings() {
  static const std::map<std::string, Setting> table = {
      {"batch", {nullptr, &TrainSettings::batch, 1, kMostSteps}},
      {"micro", {nullptr, &TrainSettings::micro, 0, kMostSteps}},
      {"lanes", {nullptr, &TrainSettings::lanes, 0, 1024}},
      {"lr", {&TrainSettings::lr, nullptr}},
      {"min_lr", {&TrainSettings::min_lr, nullptr}},
      {"warmup_steps", {nullptr, &TrainSettings::warmup_steps, 0, kMostSteps}},
      {"cosine_steps", {nullptr, &TrainSettings::cosine_steps, 0, kMostSteps}},
      {"warmup_share", {&TrainSettings::warmup_share, nullptr, 0, 1}},
      {"eps", {&TrainSettings::eps, nullptr, std::numeric_limits<float>::min()}},
      {"weight_decay", {&TrainSettings::weight_decay, nullptr}},
      {"clip", {&TrainSettings::clip, nullptr}},
      {"beta1", {&TrainSettings::beta1, nullptr, 0, 1, true}},
      {"beta2", {&TrainSettings::beta2, nullptr, 0, 1, true}},
  };
  return table;
}

/// The settings that a phase or a group of parameters may change.
const std::vector<std::string> kPhaseSettings = {"lr", "min_lr", "weight_decay", "clip", "warmup_steps"};
const std::vector<std::string> kGroupSettings = {"lr", "weight_decay"};

// Shares of the whole may be a rounding error more.
constexpr double kWhole = 1 + 1e-9;

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

/// Whether the setting may have this value; says so where it may not.
bool may_be(const std::string& key, double value, const ir::SourceLoc& at, ir::Diagnostics& diagnostics) {
  const Setting& s = settings().at(key);
  const bool small_enough = s.below_most ? value < s.most : value <= s.most;
  if (value >= s.least && small_enough && (!s.whole || value == std::floor(value))) return true;
  std::string range = " of at least " + text_of(s.least);
  if (s.most == 1) range = s.below_most ? " of at least 0 and below 1" : " between 0 and 1";
  if (s.whole && value > s.most) range = " of at most " + std::to_string(static_cast<int64_t>(s.most));
  diagnostics.error(at, "'" + key + "' must be a " + (s.whole ? "whole " : std::isfinite(value) ? "" : "finite ") + "number" + range);
  return false;
}

void set(TrainSettings& train, const std::string& key, double value, const ir::SourceLoc& at, ir::Diagnostics& diagnostics) {
  if (!may_be(key, value, at, diagnostics)) return;
  const Setting& s = settings().at(key);
  if (s.whole) {
    train.*s.whole = static_cast<int64_t>(value);
  } else {
    train.*s.real = value;
  }
}

using Places = std::map<std::string, ir::SourceLoc>;

void check_rates(const TrainSettings& train, const Places& at, ir::Diagnostics& diagnostics) {
  auto least = at.find("min_lr"), most = at.find("lr");
  if (least == at.end() || train.min_lr <= train.lr) return;
  diagnostics.error(least->second, "'min_lr' is " + text_of(train.min_lr) + ", above 'lr', " + text_of(train.lr) + ": the rate falls from lr to min_lr");
  if (most != at.end()) diagnostics.note(most->second, "'lr' stands here");
}

bool changes_rates(const Phase& phase) { return phase.settings.count("lr") > 0 || phase.settings.count("min_lr") > 0; }

void set_accumulate(TrainSettings& train, const std::string& value, const ir::SourceLoc& at, ir::Diagnostics& diagnostics) {
  if (value != "sum" && value != "mean") {
    diagnostics.error(at, "'accumulate' must be \"sum\" or \"mean\", not \"" + value + "\"");
    return;
  }
  train.accumulate_sum = value == "sum";
}

void set_precision(ModelFile& file, const std::string& value, const ir::SourceLoc& at, ir::Diagnostics& diagnostics) {
  if (value != "fp32" && value != "bf16" && value != "auto") {
    diagnostics.error(at, "'precision' must be \"fp32\", \"bf16\" or \"auto\", not \"" + value + "\"");
  } else {
    file.precision = value;
  }
}

void set_tile_rows(ModelFile& file, double value, const ir::SourceLoc& at, ir::Diagnostics& diagnostics) {
  constexpr double kMost = 1 << 20;
  if (!(value >= 0 && value <= kMost) || value != static_cast<double>(static_cast<int64_t>(value))) {
    diagnostics.error(at, "'tile_rows' must be a whole number: how many rows are computed at a time, or 0 for the compiler's choice");
  } else {
    file.tile_rows = static_cast<int64_t>(value);
  }
}

void set_optimizer(const std::string& value, const ir::SourceLoc& at, ir::Diagnostics& diagnostics) {
  if (value != "adamw") diagnostics.error(at, "'optimizer' must be \"adamw\", not \"" + value + "\"");
}

void read_group(const TomlReader& toml, const toml::node& node, ModelFile& file) {
  const toml::table* table = node.as_table();
  if (table == nullptr || !table->contains("match")) {
    toml.error(toml.at(node), "a group must be a table with 'match', as in { match = \"*.bias\", weight_decay = 0 }");
    return;
  }
  std::pair<std::string, std::map<std::string, double>> group;
  for (const auto& [key, value] : TomlReader::entries(*table)) {
    std::string name(key->str());
    if (name == "match") {
      group.first = toml.string(*key, *value);
    } else if (std::find(kGroupSettings.begin(), kGroupSettings.end(), name) != kGroupSettings.end()) {
      const double number = toml.number(*key, *value);
      if (may_be(name, number, toml.at(*value), toml.diagnostics())) group.second[name] = number;
    } else {
      toml.unknown(*key, "a group", {"match", "lr", "weight_decay"});
    }
  }
  file.train.groups.push_back(std::move(group));
  file.groups_at.push_back(toml.at(node));
}

void read_phase(const TomlReader& toml, const toml::table& table, Phase& phase) {
  for (const auto& [key, value] : TomlReader::entries(table)) {
    std::string name(key->str());
    phase.at[name] = toml.at(*value);
    if (name == "share") {
      phase.share = toml.number(*key, *value);
    } else if (name == "steps") {
      phase.steps = toml.integer(*key, *value, 1);
    } else if (name == "freeze") {
      phase.freeze = toml.strings(*key, *value);
    } else if (std::find(kPhaseSettings.begin(), kPhaseSettings.end(), name) != kPhaseSettings.end()) {
      const double number = toml.number(*key, *value);
      if (may_be(name, number, phase.at[name], toml.diagnostics())) phase.settings[name] = number;
    } else if (name == "constants") {
      const toml::table* constants = toml.table(*key, *value);
      if (constants == nullptr) continue;
      for (const auto& [constant, number] : TomlReader::entries(*constants)) {
        phase.constants[std::string(constant->str())] = toml.number(*constant, *number);
        phase.constants_at[std::string(constant->str())] = toml.at(*constant);
      }
    } else {
      toml.unknown(*key, "[[phase]]", {"share", "steps", "freeze", "constants", "lr", "min_lr", "weight_decay", "clip", "warmup_steps"});
    }
  }
}

}  // namespace

std::vector<std::string> train_keys() {
  std::vector<std::string> out = {"accumulate", "precision", "tile_rows", "optimizer", "betas"};
  for (const auto& [key, setting] : settings()) out.push_back(key);
  return out;
}

void read_train(const TomlReader& toml, const toml::table& table, ModelFile& file) {
  for (const auto& [key, node] : TomlReader::entries(table)) {
    std::string name(key->str());
    ir::SourceLoc at = toml.at(*node);
    file.train_at[name] = at;
    if (name == "accumulate") {
      set_accumulate(file.train, toml.string(*key, *node), at, toml.diagnostics());
    } else if (name == "precision") {
      set_precision(file, toml.string(*key, *node), at, toml.diagnostics());
    } else if (name == "tile_rows") {
      set_tile_rows(file, toml.number(*key, *node), at, toml.diagnostics());
    } else if (name == "optimizer") {
      set_optimizer(toml.string(*key, *node), at, toml.diagnostics());
    } else if (name == "betas") {
      const auto* list = node->as_array();
      if (list == nullptr || list->size() != 2) {
        toml.error(at, "'betas' must be two numbers, as in [0.9, 0.95]");
        continue;
      }
      set(file.train, "beta1", toml.number(*key, *list->get(0)), at, toml.diagnostics());
      set(file.train, "beta2", toml.number(*key, *list->get(1)), at, toml.diagnostics());
    } else if (name == "groups") {
      const auto* list = node->as_array();
      if (list == nullptr) toml.error(at, "'groups' must be a list of tables");
      for (size_t i = 0; list != nullptr && i < list->size(); ++i) read_group(toml, *list->get(i), file);
    } else if (settings().count(name) > 0 && name != "beta1" && name != "beta2") {
      set(file.train, name, toml.number(*key, *node), at, toml.diagnostics());
    } else {
      toml.unknown(*key, "[train]",
                   {"batch", "micro", "lanes", "accumulate", "optimizer", "lr", "min_lr", "warmup_steps", "cosine_steps", "warmup_share", "betas", "eps",
                    "weight_decay", "clip", "precision", "tile_rows", "groups"});
    }
  }
}

void read_phases(const TomlReader& toml, const toml::key& key, const toml::node& node, ModelFile& file) {
  const auto* list = node.as_array();
  if (list == nullptr) {
    toml.error(toml.at(key), "phases are written as [[phase]]");
    return;
  }
  double shares = 0;
  for (size_t i = 0; i < list->size(); ++i) {
    const toml::table* table = list->get(i)->as_table();
    Phase phase;
    if (table != nullptr) read_phase(toml, *table, phase);
    bool one = (phase.share > 0 && phase.share <= 1) != (phase.steps > 0);
    if (table == nullptr || !one) toml.error(toml.at(*list->get(i)), "a phase needs either 'share' (of the budget, 0 to 1) or 'steps'");
    bool fit = shares <= kWhole;
    shares += phase.share;
    if (one && fit && shares > kWhole) toml.error(phase.at["share"], "with this the shares of the phases are " + text_of(shares) + ", more than the whole");
    file.phases.push_back(std::move(phase));
  }
}

void check_phases(const ModelFile& file, ir::Diagnostics& diagnostics) {
  std::vector<std::string> constants;
  for (const SizeEntry& e : file.sizes) {
    if (e.constant) constants.push_back(e.name);
  }
  for (const Phase& phase : file.phases) {
    TrainSettings train = file.train;
    Places at = file.train_at;
    for (const auto& [key, value] : phase.settings) at[key] = phase.at.at(key);
    if (auto lr = phase.settings.find("lr"); lr != phase.settings.end()) train.lr = lr->second;
    if (auto min_lr = phase.settings.find("min_lr"); min_lr != phase.settings.end()) train.min_lr = min_lr->second;
    if (changes_rates(phase)) check_rates(train, at, diagnostics);
    for (const auto& [name, at_name] : phase.constants_at) {
      if (std::find(constants.begin(), constants.end(), name) == constants.end()) diagnostics.error(at_name, "[constants] has no '" + name + "'" + suggestion(name, constants));
    }
  }
}

void check_train(const ModelFile& file, ir::Diagnostics& diagnostics) {
  int64_t batch = file.train.batch, micro = file.train.micro;
  if (micro > 0 && batch % micro != 0) {
    bool said = file.train_at.count("batch") > 0;
    diagnostics.error(file.train_at.at(said ? "batch" : "micro"), "'batch' is " + std::to_string(batch) + ", no multiple of 'micro', " + std::to_string(micro) +
                                                                      "; the next is " + std::to_string((batch / micro + 1) * micro));
    if (said) diagnostics.note(file.train_at.at("micro"), "'micro' stands here");
  }
  if (const int64_t lanes = file.train.lanes, most = std::max(batch, codegen::kLeastLanes); lanes > most) {
    diagnostics.error(file.train_at.at("lanes"), "'lanes' is " + std::to_string(lanes) + ", and a step has " + std::to_string(batch) + " sequences; a lane without one does nothing: at most " + std::to_string(most));
  }
  // Rates that every phase replaces say nothing.
  bool used = file.phases.empty() || !std::all_of(file.phases.begin(), file.phases.end(), changes_rates);
  if (used) check_rates(file.train, file.train_at, diagnostics);
}

void check_patterns(const ModelFile& file, const std::vector<codegen::ParamInfo>& params, ir::Diagnostics& diagnostics) {
  std::vector<std::string> names;
  for (const codegen::ParamInfo& p : params) names.push_back(p.name);
  auto check = [&](const std::string& pattern, const ir::SourceLoc& at) {
    if (std::any_of(names.begin(), names.end(), [&](const std::string& name) { return codegen::matches_pattern(name, pattern); })) return;
    std::string remedy = suggestion(pattern, names);
    if (remedy.empty() && !names.empty()) remedy = "; names look like '" + names.front() + "'";
    diagnostics.error(at, "'" + pattern + "' matches no parameter" + remedy);
  };
  for (size_t i = 0; i < file.train.groups.size(); ++i) {
    const auto& [pattern, settings] = file.train.groups[i];
    check(pattern, file.groups_at[i]);
    if (settings.count("lr") && file.train.lr == 0) diagnostics.error(file.groups_at[i], "the group '" + pattern + "' sets lr, but train.lr is 0; give train.lr a value above 0");
  }
  for (const Phase& phase : file.phases) {
    for (const std::string& pattern : phase.freeze) check(pattern, phase.at.at("freeze"));
    const auto stays = [&](const codegen::ParamInfo& p) {
      return !p.trainable || std::any_of(phase.freeze.begin(), phase.freeze.end(), [&](const std::string& pattern) { return codegen::matches_pattern(p.name, pattern); });
    };
    if (!phase.freeze.empty() && std::all_of(params.begin(), params.end(), stays)) {
      diagnostics.error(phase.at.at("freeze"), "'freeze' leaves no parameter to train in this phase; take out the patterns of those that it trains");
    }
  }
}

void override_train(ModelFile& file, const std::string& key, const ir::SourceLoc& at, const ir::SourceLoc& text,
                    ir::Diagnostics& diagnostics) {
  std::string value = text.text();
  if (key == "accumulate") return set_accumulate(file.train, value, text, diagnostics);
  if (key == "precision") return set_precision(file, value, text, diagnostics);
  if (key == "optimizer") return set_optimizer(value, text, diagnostics);
  if (key == "betas") {
    double first = 0, second = 0;
    int read = 0;
    if (std::sscanf(value.c_str(), " [ %lf , %lf ]%n", &first, &second, &read) != 2 || read != static_cast<int>(value.size())) {
      diagnostics.error(text, "'train.betas' must be two numbers, as in [0.9,0.95]");
      return;
    }
    set(file.train, "beta1", first, text, diagnostics);
    set(file.train, "beta2", second, text, diagnostics);
    return;
  }
  if (settings().count(key) == 0 && key != "tile_rows") {
    diagnostics.error(at, "[train] has no key '" + key + "'" + key_suggestion(key, train_keys()));
    return;
  }
  char* end = nullptr;
  double number = std::strtod(value.c_str(), &end);
  if (value.empty() || *end != '\0') {
    diagnostics.error(text, "'train." + key + "' must be a number, not '" + value + "'");
    return;
  }
  file.train_at[key] = text;
  if (key == "tile_rows") return set_tile_rows(file, number, text, diagnostics);
  set(file.train, key, number, text, diagnostics);
}

}  // namespace cpuflow::frontend
