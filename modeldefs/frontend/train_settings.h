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
/// Reports settings that do not fit each other: a batch that does not divide into micro-batches, learning rates that rise where they should
/// fall, also with what phases change.
void check_train(const ModelFile& file, ir::Diagnostics& diagnostics);
/// `--set train.key=value`; `at` is the key's place, `text` the value's.
void override_train(ModelFile& file, const std::string& key, const ir::SourceLoc& at, const ir::SourceLoc& text,
                    ir::Diagnostics& diagnostics);

}  // namespace cpuflow::frontend
