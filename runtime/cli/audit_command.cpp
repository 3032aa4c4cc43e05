#include "modeldefs/frontend/build_graph.h"
#include "runtime/cli/audit.h"
#include "runtime/cli/command.h"
#include "runtime/cli/model_options.h"

namespace cpuflow::cli {

void add_audit(CLI::App& app, Status& status) {
  CLI::App* sub = app.add_subcommand("audit", "Proves, or refutes with numbers, that a model is an honest causal language model.");
  sub->footer(
      "causality     logits depend on tokens up to their position only\n"
      "horizon       losses compare them with the next token\n"
      "sequence_end  logits are the same in a longer sequence\n"
      "gradient      every loss term reaches a parameter, and every parameter is reached\n"
      "range         no division by zero, logarithm or root outside of its domain, overflow of exp\n"
      "position      positions beyond T exist\n\n"
      "The status is 1 if causality or horizon is refuted and the model file does not allow it.\n\n"
      "Example:\n  cpuflowc audit my.toml\n");
  struct Options {
    std::string model;
    std::vector<std::string> settings;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  sub->add_option("MODEL", options->model, "a model file, or the name of one that comes with cpuflowc (v5ln)")->required();
  sub->add_option("--set", options->settings, "sizes and constants of the model file: --set d=32")->type_name("NAME=VALUE")->allow_extra_args(false);
  sub->add_flag("--json", options->json, "the findings as JSON");
  sub->callback([options, &status] {
    const AuditReport report = audit_model(frontend::find_model(options->model), parse_settings(options->settings));
    if (!report.warnings.empty()) log_line(report.warnings);
    print_out(options->json ? audit_json(report).dump(2) + "\n" : audit_text(report));
    if (!audit_refusal(report).empty()) status.code = kFailed;
  });
}

}  // namespace cpuflow::cli
