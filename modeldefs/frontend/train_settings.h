#pragma once
#include "modeldefs/frontend/model_file.h"
#include "modeldefs/frontend/toml_reader.h"

namespace cpuflow::frontend {

/// The keys of [train] that hold numbers.
std::vector<std::string> train_keys();
/// Reads [train] into `file.train`.
void read_train(const TomlReader& toml, const toml::table& table, ModelFile& file);
/// Reads the [[phase]] tables.
void read_phases(const TomlReader& toml, const toml::key& key, const toml::node& node, ModelFile& file);
/// Reports learning rates that rise where they should fall: those of [train], and of the phases with what they change.
void check_rates(const ModelFile& file, ir::Diagnostics& diagnostics);
/// `--set train.key=value`; `at` is the key's place, `text` the value's.
void override_train(ModelFile& file, const std::string& key, const ir::SourceLoc& at, const ir::SourceLoc& text,
                    ir::Diagnostics& diagnostics);

}  // namespace cpuflow::frontend
