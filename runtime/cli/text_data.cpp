#include "runtime/cli/text_data.h"

#include <fmt/format.h>

#include "runtime/data/regex.h"

namespace cpuflow::cli {

std::shared_ptr<TextOptions> add_text_options(CLI::App& app) {
  auto options = std::make_shared<TextOptions>();
  app.add_option("--separator", options->separator, "what stands between documents in text")->capture_default_str()->check([](const std::string& text) {
    if (text.empty()) return std::string("a separator is some text");
    return rt::valid_utf8_prefix(text) < text.size() ? std::string("a separator is text in UTF-8") : std::string();
  });
  app.add_flag("--allow-special", options->allow_special, "special strings in text become their ids (otherwise they are plain text)");
  return options;
}

rt::Documents read_text(const std::vector<std::string>& files, const TextOptions& options, std::string_view use) {
  rt::Documents documents = rt::read_documents(files, options.separator, use);
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string& text = *documents.files[i];
    const size_t nul = text.find('\0'), valid = rt::valid_utf8_prefix(text);
    if (nul != std::string::npos) {
      warn(fmt::format("{}: byte {} is NUL, so this is hardly plain text (compressed? UTF-16?); its bytes are taken as they are", files[i], nul));
    } else if (valid < text.size()) {
      warn(fmt::format("{}: byte {} (0x{:02x}) is not UTF-8 (Latin-1? cut off?); its bytes are taken as they are; iconv -f LATIN1 -t UTF-8 converts a file", files[i], valid,
                       static_cast<unsigned char>(text[valid])));
    }
  }
  return documents;
}

uint32_t end_id(const rt::Tokenizer& tokenizer, const std::string& name) {
  const std::optional<uint32_t> id = tokenizer.end_of_document();
  if (!id)
    throw rt::DataError(fmt::format("{}: no token ends a document; expected an added token called <|endoftext|>, <eos> or </s>", name));
  return *id;
}

rt::TokenData encode_and_warn(const std::vector<std::string_view>& texts, const rt::Tokenizer& tokenizer, const std::string& tokenizer_name,
                              const std::string& data_name, const TextOptions& options) {
  rt::TokenData data = rt::encode_documents(texts, tokenizer, end_id(tokenizer, tokenizer_name), data_name, options.allow_special);
  if (data.dropped_bytes > 0) {
    warn(fmt::format("{}: {} of {} bytes have no token in {} and were dropped", data_name,
                     with_commas(static_cast<double>(data.dropped_bytes)), with_commas(static_cast<double>(data.bytes)), tokenizer_name));
  }
  return data;
}

std::string files_name(const std::vector<std::string>& files) {
  if (files.size() < 2) return files.empty() ? "" : files[0];
  return fmt::format("{} and {} more file{}", files[0], files.size() - 1, files.size() == 2 ? "" : "s");
}

}  // namespace cpuflow::cli
