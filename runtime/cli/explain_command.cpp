#include <fmt/format.h>

#include "ir/diagnostics.h"
#include "modeldefs/frontend/library.h"
#include "runtime/cli/command.h"

namespace cpuflow::cli {

void add_explain(CLI::App& app, Status&) {
  CLI::App* sub = app.add_subcommand("explain", "Shows a layer or function of the library: its equations, to read and to copy.");
  sub->footer("Example:\n  cpuflowc explain layernorm\n  cpuflowc explain            lists what there is\n");
  auto name = std::make_shared<std::string>();
  sub->add_option("NAME", *name, "of a layer or function");
  sub->callback([name] {
    const std::vector<std::string> names = frontend::library_names();
    if (name->empty()) return print_out(fmt::format("{}\n", fmt::join(names, "\n")));
    const std::string text = frontend::library_text(*name);
    if (!text.empty()) return print_out(text);
    throw UsageError(fmt::format("explain: the library has no '{}'{} (it has {})", *name, ir::suggestion(*name, names), fmt::join(names, ", ")));
  });
}

}  // namespace cpuflow::cli
