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
/// Reports phases, as the file says them, whose learning rate would rise where it should fall.
void check_phases(const ModelFile& file, ir::Diagnostics& diagnostics);
/// Reports settings that do not fit each other, after --set: a batch that does not divide into micro-batches, a learning rate that would rise.
void check_train(const ModelFile& file, ir::Diagnostics& diagnostics);
/// Reports groups and frozen parameters that do not exist, a phase that trains none, and a group's rate where there is none that it could be a multiple of.
void check_patterns(const ModelFile& file, const std::vector<codegen::ParamInfo>& params, ir::Diagnostics& diagnostics);
/// `--set train.key=value`; `at` is the key's place, `text` the value's.
void override_train(ModelFile& file, const std::string& key, const ir::SourceLoc& at, const ir::SourceLoc& text,
                    ir::Diagnostics& diagnostics);

}  // namespace cpuflow::frontend
