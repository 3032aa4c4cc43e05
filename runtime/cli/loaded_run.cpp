#include "runtime/cli/loaded_run.h"

#include <fmt/format.h>

namespace cpuflow::cli {

CompileOptions run_compile_options(const std::string& dir, const RunRecord& record) {
  CompileOptions options;
  options.model = model_path(dir);
  options.overrides = record.settings;
  return options;
}

rt::Checkpoint open_checkpoint(const std::string& dir, const codegen::Manifest& manifest, float* params) {
  rt::Checkpoint checkpoint = rt::CheckpointFolder(dir).open(false);
  for (const std::string& warning : checkpoint.warnings) warn(warning);
  checkpoint.load_params(manifest, params);
  return checkpoint;
}

rt::TokenData read_all(const DataSources& sources, const std::vector<std::string>& files, const std::string& ids, int64_t V) {
  std::optional<rt::Tokenizer> tokenizer;
  if (!sources.tokenizer.empty()) tokenizer = rt::Tokenizer::load(sources.tokenizer);
  if (!ids.empty()) return read_ids(ids, tokenizer, V);
  if (!tokenizer) throw UsageError("--data: the run has no tokenizer of its own (it was trained on ids); give --tokenizer FILE");
  rt::check_vocabulary(*tokenizer, sources.tokenizer, static_cast<uint32_t>(V));
  const rt::Documents documents = rt::read_documents(files, sources.text.separator);
  return encode_and_warn(documents.texts, *tokenizer, sources.tokenizer, files_name(files), sources.text);
}

}  // namespace cpuflow::cli
