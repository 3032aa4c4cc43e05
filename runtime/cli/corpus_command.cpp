#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/atomic_file.h"
#include "runtime/cli/model_options.h"
#include "runtime/data/corpus.h"

namespace cpuflow::cli {

void add_corpus(CLI::App& app, Status&) {
  struct Options {
    std::string out;
    uint64_t stories = 20000, seed = 1;
    bool json = false;
  };
  CLI::App* sub = app.add_subcommand("corpus", "Writes children's stories from the built-in grammar: text to try a model on.");
  sub->footer("Example:\n  cpuflowc corpus stories.txt --stories 20000\n");
  auto options = std::make_shared<Options>();
  sub->add_option("OUT", options->out, "text file; stories are separated by <|endoftext|>")->required();
  sub->add_option("--stories", options->stories, "how many")->capture_default_str()->check(whole_number(1, 100'000'000));
  sub->add_option("--seed", options->seed, "the same seed gives the same text")->capture_default_str()->check(whole_number());
  sub->add_flag("--json", options->json, "the result as JSON");
  sub->callback([options] {
    rt::write_corpus(options->out, options->stories, options->seed);
    const uint64_t bytes = std::filesystem::is_regular_file(options->out) ? std::filesystem::file_size(options->out) : 0;
    if (options->json) {
      print_out(
          nlohmann::ordered_json{{"out", options->out}, {"stories", options->stories}, {"seed", options->seed}, {"bytes", bytes}}.dump(2) +
          "\n");
    } else {
      print_out(
          fmt::format("{}: {} stories, {}\n", options->out, with_commas(static_cast<double>(options->stories)), rt::format_bytes(bytes)));
    }
  });
}

}  // namespace cpuflow::cli
