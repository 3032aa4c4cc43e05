#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/cli/command.h"
#include "runtime/data/dataset.h"
#include "runtime/data/tokenizer.h"

namespace cpuflow::cli {

/// How text becomes documents and ids.
struct TextOptions {
  std::string separator{rt::kDefaultSeparator};
  bool allow_special = false;
};

std::shared_ptr<TextOptions> add_text_options(CLI::App& app);

/// rt::read_documents for a use ("to train on"), with a warning about each file that holds NUL bytes (compressed files and UTF-16 do) or
/// what is not UTF-8, at its first place.
rt::Documents read_text(const std::vector<std::string>& files, const TextOptions& options, std::string_view use);

/// The id that ends a document.  Throws rt::DataError when the tokenizer has none.
uint32_t end_id(const rt::Tokenizer& tokenizer, const std::string& name);

/// encode_documents, with warnings about bytes that the tokenizer has no token for.
rt::TokenData encode_and_warn(const std::vector<std::string_view>& texts, const rt::Tokenizer& tokenizer, const std::string& tokenizer_name,
                              const std::string& data_name, const TextOptions& options);

/// "a.txt", "a.txt and 2 more files".
std::string files_name(const std::vector<std::string>& files);

}  // namespace cpuflow::cli
