#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/cli/text_data.h"

namespace cpuflow::cli {

/// What a run's folder says of itself beside its checkpoint: enough to compile the same model again and to read the same text.
/// DIR/model.toml is a copy of the model file, DIR/run.json the rest, DIR/tokenizer.json the tokenizer.
struct RunRecord {
  std::string model_text;
  std::map<std::string, std::string> settings;  // --set, and V where it followed from the tokenizer
  bool has_tokenizer = false;
  TextOptions text;
};

void write_run(const std::string& dir, const RunRecord& record, const rt::Tokenizer* tokenizer);
/// Throws rt::FileError for a folder that holds no run, or a damaged one.
RunRecord read_run(const std::string& dir);
bool holds_run(const std::string& dir);
std::string model_path(const std::string& dir);
std::string tokenizer_path(const std::string& dir);

/// The three files, as a checkpoint takes them along.
std::map<std::string, std::string> run_files(const std::string& dir);

/// Ids from a file, and how much text they stand for when there is a tokenizer.
rt::TokenData read_ids(const std::string& path, const std::optional<rt::Tokenizer>& tokenizer, int64_t V);

/// What `train` was given to read.
struct DataSources {
  std::vector<std::string> data;  // text
  std::string ids, valid, tokenizer;
  TextOptions text;
};

/// What it trains and evaluates on.
struct TrainingData {
  rt::TokenData train;
  std::optional<rt::TokenData> valid;
  std::optional<rt::Tokenizer> tokenizer;
  std::string tokenizer_name;
  std::string rule;  // which documents are held out, for people
};

/// Reads and encodes the data.  Text without a tokenizer gets one of at most `V` ids that is trained on the part that is trained on; with
/// `in_run`, the run's own.  Reports what it does on stderr.  Throws UsageError, rt::FileError, rt::DataError.
TrainingData read_training_data(const DataSources& sources, int64_t V, const std::string& in_run);

}  // namespace cpuflow::cli
