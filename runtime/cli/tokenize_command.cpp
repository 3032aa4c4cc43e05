#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "runtime/cli/text_data.h"

namespace cpuflow::cli {
namespace {

struct TokenizeOptions {
  std::string tokenizer, in, out;
  bool json = false;
  std::shared_ptr<TextOptions> text;
};

void tokenize(const TokenizeOptions& options) {
  check_output(options.out, {{"--tokenizer", options.tokenizer}, {"IN", options.in}});
  const rt::Tokenizer tokenizer = rt::Tokenizer::load(options.tokenizer);
  const rt::Documents documents = read_text({options.in}, *options.text, "to tokenize");
  const rt::TokenData data = encode_and_warn(documents.texts, tokenizer, options.tokenizer, options.in, *options.text);
  rt::write_token_file(options.out, data.ids, tokenizer.vocab_size());
  const char* format = rt::has_wide_ids(tokenizer.vocab_size()) ? "uint32" : "uint16";
  if (options.json) {
    const nlohmann::ordered_json result{{"ids", data.ids.size()},
                                        {"documents", data.documents},
                                        {"bytes", data.bytes},
                                        {"dropped_bytes", data.dropped_bytes},
                                        {"vocab", tokenizer.vocab_size()},
                                        {"format", format},
                                        {"out", options.out}};
    print_out(result.dump(2) + "\n");
  } else {
    print_out(fmt::format("{}: {} ids ({}, little endian) of {} documents, {:.2f} bytes of text an id\n", options.out,
                          with_commas(static_cast<double>(data.ids.size())), format, with_commas(static_cast<double>(data.documents)),
                          static_cast<double>(data.bytes) / static_cast<double>(data.ids.size())));
  }
}

}  // namespace

void add_tokenize(CLI::App& app, Status&) {
  CLI::App* sub = app.add_subcommand("tokenize", "Writes the ids of a text file, each document followed by the id that ends a document.");
  sub->footer(
      "Example:\n  cpuflowc tokenize --tokenizer runs/v5ln/tokenizer.json stories.txt stories.bin\n  cpuflowc train v5ln --ids stories.bin "
      "...\n");
  auto options = std::make_shared<TokenizeOptions>();
  sub->add_option("--tokenizer", options->tokenizer, "a tokenizer.json (byte-level BPE)")->required();
  sub->add_option("IN", options->in, "text")->required();
  sub->add_option("OUT", options->out, "file of ids: uint16, or uint32 where the vocabulary needs it")->required();
  sub->add_flag("--json", options->json, "the counts as JSON");
  options->text = add_text_options(*sub);
  sub->callback([options] { tokenize(*options); });
}

}  // namespace cpuflow::cli
