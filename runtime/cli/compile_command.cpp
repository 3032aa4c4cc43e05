#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ir/diagnostics.h"
#include "ir/dot.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "passes/pipeline.h"
#include "passes/time_plan.h"
#include "runtime/atomic_file.h"
#include "runtime/cli/audit.h"
#include "runtime/cli/model_options.h"
#include "runtime/cli/report.h"

namespace cpuflow::cli {
namespace {

const std::vector<std::string> kStages{"parsed", "graph", "backward", "loops", "cpp", "llvm", "asm"};

struct CompileCommand {
  std::shared_ptr<ModelOptions> model;
  std::string emit, out, pass, dump, stop_after;
  std::vector<std::string> skip;
  bool check_each = false, explain = false, time_passes = false, dot = false;
};

/// `--pass NAME FILE.ir`: one pass on a Graph in its text form.
void run_one_pass(const CompileCommand& command) {
  std::vector<std::string> names;
  for (const passes::Pass& pass : passes::graph_pipeline()) {
    if (pass.name == command.pass) {
      if (!command.model->model.ends_with(".ir")) {
        throw UsageError(fmt::format("--pass: expected a Graph in its text form, NAME.ir, found '{}'; `cpuflowc compile {} --dump DIR` writes one for every pass, and --stop-after {} runs "
                                     "all passes up to this one", command.model->model, command.model->model, command.pass));
      }
      print_out(ir::print(pass.run(ir::parse(rt::read_file(command.model->model), command.model->model))));
      return;
    }
    names.push_back(pass.name);
  }
  throw UsageError(fmt::format("--pass: unknown pass '{}'{} (passes: {})", command.pass, ir::suggestion(command.pass, names), fmt::join(names, ", ")));
}

void print_stage(const CompileCommand& command, CompileOptions options) {
  const std::string& stage = command.emit;
  options.run = false;
  if (!options.stop_after.empty() && stage != "graph") {
    throw UsageError(fmt::format("--stop-after {} prints the Graph after that pass; there is no '{}' of it: leave out one of --stop-after and --emit", options.stop_after, stage));
  }
  // what comes later may fail, and is what the Graph is wanted for then
  if (stage == "parsed") options.stop_after = passes::graph_pipeline().front().name;
  if (stage == "backward") options.stop_after = "differentiate";
  if (stage == "graph" && options.stop_after.empty()) options.stop_after = passes::graph_pipeline().back().name;
  const CompiledModel model = compile_and_warn(options);
  const std::string& name = model.exe.manifest.model;
  if (command.dot && (stage == "loops" || stage == "cpp" || stage == "llvm" || stage == "asm")) {
    throw UsageError(fmt::format("--dot draws graphs: --emit parsed, backward or graph, not '{}'", stage));
  }
  if (stage == "parsed") {
    print_out(command.dot ? ir::to_dot(model.parsed) : ir::print(model.parsed));
  } else if (stage == "graph" || stage == "backward") {
    print_out(command.dot ? ir::to_dot(model.graph) : ir::print(model.graph));
  } else if (stage == "loops") {
    print_out(ir::print(model.program));
  } else if (stage == "cpp") {
    print_out(model.cpp);
  } else if (stage == "llvm") {
    print_out(codegen::compile_to_llvm(model.cpp, name, model.jit));
  } else {
    print_out(codegen::compile_to_assembly(model.cpp, name, model.jit));
  }
}

/// Writes the generated code and what a program that uses it must know.
std::vector<std::string> write_files(const CompiledModel& model, const std::string& folder) {
  make_folder(folder);
  const std::filesystem::path base(folder);
  const std::vector<std::pair<std::string, std::string>> files{{model.exe.manifest.model + ".cpp", model.cpp},
                                                               {"manifest.json", manifest_json(model).dump(2) + "\n"},
                                                               {"graph.ir", ir::print(model.graph)},
                                                               {"loops.ir", ir::print(model.program)}};
  std::vector<std::string> written;
  for (const auto& [name, text] : files) {
    written.push_back((base / name).string());
    refuse_overwrite(written.back(), {{"MODEL", model.path}});
  }
  for (size_t i = 0; i < files.size(); ++i) rt::write_file_atomically(written[i], files[i].second);
  return written;
}

constexpr size_t kStatementWidth = 90;  // where a terminal would break the line

std::vector<passes::StatementCost> time_costs(const CompiledModel& model) {
  passes::PipelineOptions options;
  options.stop_after = "canonicalise_sums";
  return passes::time_plan(passes::run_pipeline(model.parsed, options), model.exe.manifest.T);
}

void print_report(const CompileCommand& command, CompileOptions options) {
  if (options.target.empty())
    options.run = true;
  else
    options.run = ir::runs_here(ir::target_by_name(options.target));
  options.warn_of_unused = true;
  const bool elsewhere = !options.run;
  CompiledModel model = compile_and_warn(options);
  if (!options.stop_after.empty()) {
    print_out(command.dot ? ir::to_dot(model.graph) : ir::print(model.graph));
    return;
  }
  if (elsewhere) codegen::compile_to_assembly(model.cpp, model.exe.manifest.model, model.jit);  // it must at least compile
  std::vector<std::string> files;
  if (!command.out.empty()) files = write_files(model, command.out);
  if (command.model->json) {
    nlohmann::ordered_json report = compile_json(model, options.fuse);
    report["audits"] = audit_json(audit_model(model.path, options.overrides));
    report["files"] = files;
    if (command.explain) {
      report["explanation"] = model.explanation.lines;
      for (const passes::StatementCost& s : time_costs(model)) {
        report["time"].push_back({{"file", s.loc.source->path}, {"line", s.loc.line()}, {"statement", s.loc.first_line(kStatementWidth)}, {"how", s.how}, {"flops", s.flops}});
      }
    }
    print_out(report.dump(2) + "\n");
    return;
  }
  print_out(compile_report(model, options.fuse));
  print_out("\n" + audit_text(audit_model(model.path, options.overrides)));
  if (elsewhere) {
    print_out(fmt::format("\nThis machine cannot run code for {}: it was compiled, not loaded.\n", model.target.name));
  } else if (model.library) {
    const codegen::JitRecord& record = model.library->record();
    print_out(fmt::format("\n{}\n", record.cache_hit ? fmt::format("The compiled code was in the cache ({} bytes).",
                                                                   with_commas(static_cast<double>(record.object_bytes)))
                                                     : fmt::format("Compiled by {} in {:.0f} ms.", record.compiler, record.ms_compile)));
  }
  if (command.explain) {
    print_out("\nHow time is run (FLOP a token, forward, in all layers)\n");
    for (const passes::StatementCost& s : time_costs(model)) {
      const std::string path = s.loc.source->path;
      print_out(fmt::format("  {:>16} {:>12}  {}\n", fmt::format("{}:{}", path.substr(path.rfind('/') + 1), s.loc.line()), with_commas(s.flops), s.loc.first_line(kStatementWidth)));
      if (!s.how.empty()) print_out(fmt::format("  {:30} {}\n", "", s.how));
    }
    print_out("\nDecisions\n");
    for (const std::string& line : model.explanation.lines) print_out("  " + line + "\n");
  }
  if (command.time_passes) print_out("\n" + time_report(model));
  if (!files.empty()) print_out("\nWritten\n");
  for (const std::string& file : files) print_out("  " + file + "\n");
}

/// Refuses what belongs to the report where something else is printed in its place.
void check_together(const CompileCommand& command) {
  const char* alone = !command.pass.empty() ? "--pass" : !command.emit.empty() ? "--emit" : !command.stop_after.empty() ? "--stop-after" : command.dot ? "--dot" : nullptr;
  if (alone == nullptr) return;
  for (const auto& [option, given] : {std::pair{"--out", !command.out.empty()}, {"--json", command.model->json}, {"--explain", command.explain}, {"--time-passes", command.time_passes}}) {
    if (given) throw UsageError(fmt::format("{} prints in place of the report, which {} belongs to: leave out one of them", alone, option));
  }
}

void compile(const CompileCommand& command) {
  check_together(command);
  if (!command.emit.empty() && std::find(kStages.begin(), kStages.end(), command.emit) == kStages.end()) {
    throw UsageError(fmt::format("--emit: unknown stage '{}'{} (stages: {})", command.emit, ir::suggestion(command.emit, kStages), fmt::join(kStages, ", ")));
  }
  CompileOptions options = command.model->compile_options("compile");
  if (!command.pass.empty()) return run_one_pass(command);
  options.skip = {command.skip.begin(), command.skip.end()};
  options.stop_after = command.stop_after;
  options.check_each = command.check_each;
  options.dump_dir = command.dump;
  if (!command.dump.empty()) make_folder(command.dump);
  if (!command.emit.empty()) return print_stage(command, std::move(options));
  if (command.dot) {
    CompileCommand graph = command;
    graph.emit = "graph";
    return print_stage(graph, std::move(options));
  }
  print_report(command, std::move(options));
}

}  // namespace

void add_compile(CLI::App& app, Status&) {
  CLI::App* sub =
      app.add_subcommand("compile", "Says what was understood, checked and fused, and what a token costs; writes the generated C++.");
  sub->footer(
      "Examples:\n"
      "  cpuflowc compile v5ln --out build/v5ln --explain\n"
      "  cpuflowc compile my.toml --set d=64 --emit cpp --target avx512\n"
      "  cpuflowc compile my.toml --dump stages --check-each        every stage as a file; the interpreter checks every pass\n"
      "  cpuflowc compile --pass solve_scatters stages/04-x.ir      one pass alone\n");
  auto command = std::make_shared<CompileCommand>();
  command->model = add_model_options(*sub);
  sub->add_option("--emit", command->emit, fmt::format("print a stage instead of the report: {}", fmt::join(kStages, " | ")))
      ->type_name("STAGE");
  sub->add_option("--out", command->out, "folder for the generated C++, its manifest and both IRs")->type_name("DIR");
  sub->add_option("--dump", command->dump, "folder for the text of every stage, graph.dot, and the C++")
      ->type_name("DIR")
      ->envname("CPUFLOW_DUMP");
  sub->add_option("--pass", command->pass, "run this pass alone on MODEL, which is a .ir file, and print the result")->type_name("NAME");
  sub->add_option("--stop-after", command->stop_after, "print the Graph after this pass")->type_name("PASS");
  sub->add_option("--skip", command->skip, "leave a pass out (may be given several times)")->type_name("PASS")->allow_extra_args(false);
  sub->add_flag("--check-each", command->check_each, "evaluate the Graph after every pass: no pass may change a value")
      ->envname("CPUFLOW_CHECK_EACH");
  sub->add_flag("--explain", command->explain, "what lowering decided, and why");
  sub->add_flag("--time-passes", command->time_passes, "how long each stage took");
  sub->add_flag("--dot", command->dot, "the Graph for Graphviz (with --emit parsed, backward or graph)");
  sub->callback([command] { compile(*command); });
}

}  // namespace cpuflow::cli
