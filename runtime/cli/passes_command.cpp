#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "passes/pipeline.h"
#include "runtime/cli/command.h"

namespace cpuflow::cli {

namespace {

/// Why the pass stands where it stands, and which programs it is for, if not for all.
std::string place_of(const passes::Pass& pass) {
  const char* programs = pass.programs == passes::For::Bf16 ? "bf16: " : pass.programs == passes::For::Float32 ? "float32: " : "";
  return std::string(programs) + pass.why;
}

}  // namespace

void add_passes(CLI::App& app, Status&) {
  CLI::App* sub = app.add_subcommand("passes", "Lists the passes of the compiler in order, with the reason for the place of each.");
  sub->footer("Example:\n  cpuflowc passes\n  cpuflowc compile v5ln --skip solve_scatters --stop-after differentiate\n");
  auto json = std::make_shared<bool>(false);
  sub->add_flag("--json", *json, "the list as JSON");
  sub->callback([json] {
    if (*json) {
      nlohmann::ordered_json list = nlohmann::ordered_json::array();
      for (const passes::Pass& pass : passes::graph_pipeline()) list.push_back({{"name", pass.name}, {"why", place_of(pass)}});
      print_out(list.dump(2) + "\n");
      return;
    }
    size_t width = 0;
    for (const passes::Pass& pass : passes::graph_pipeline()) width = std::max(width, std::string(pass.name).size());
    int number = 0;
    for (const passes::Pass& pass : passes::graph_pipeline())
      print_out(fmt::format("{:2}  {:{}}  {}\n", ++number, pass.name, width, place_of(pass)));
    print_out(fmt::format("    {:{}}  {}\n", "lower_to_loops", width,
                          "Graph -> LoopProgram: regions, tiles, storage; then C++, which clang compiles"));
  });
}

}  // namespace cpuflow::cli
