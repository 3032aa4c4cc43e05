#include "runtime/cli/compile.h"

#include "codegen/abi/cache_lines.h"
#include "codegen/abi/name_pattern.h"
#include "codegen/emit/emit_cpp.h"
#include "ir/diagnostics.h"
#include "ir/shared_rows.h"
#include "ir/verify.h"
#include "passes/kit/rewrite.h"
#include "passes/pipeline.h"
#include "passes/separate_evaluation.h"
#include "runtime/atomic_file.h"
#include "runtime/cli/check_each.h"
#include "runtime/cli/model_options.h"
#include "runtime/cli/probe_rows.h"
#include "runtime/memory.h"
#include "runtime/thread_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

namespace cpuflow::cli {
namespace {

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// Size of the array of all parameters.
uint64_t param_floats(const frontend::Model& model) {
  uint64_t floats = 0;
  for (const codegen::ParamInfo& p : model.params) floats = std::max(floats, codegen::whole_cache_lines(p.offset + p.count));
  return floats;
}

/// Where each parameter node lies: all layers of a block follow each other at one distance.
std::map<std::string, passes::ParamPlace> param_places(const frontend::Model& model) {
  std::map<std::string, uint64_t> offsets;
  for (const codegen::ParamInfo& p : model.params) offsets[p.name] = p.offset;
  std::map<std::string, passes::ParamPlace> places;
  for (ir::NodeId id = 0; id < model.graph.size(); ++id) {
    const ir::Node& n = model.graph[id];
    if (n.op != ir::Op::Param) continue;
    std::vector<int64_t> layers;
    for (const std::string& name : ir::checkpoint_names(n)) {
      auto it = offsets.find(name);
      if (it == offsets.end()) throw ir::InternalError("no parameter is called " + name);
      layers.push_back(static_cast<int64_t>(it->second));
    }
    const int64_t stride = layers.size() > 1 ? layers[1] - layers[0] : 0;
    for (size_t l = 0; l < layers.size(); ++l) {
      if (layers[l] != layers[0] + static_cast<int64_t>(l) * stride) throw ir::InternalError("the layers of " + n.text + " are not at equal distances");
    }
    places[n.text] = {static_cast<uint64_t>(layers[0]), stride};
  }
  return places;
}

/// Parameters that keep their values take no part in gradients; where only some layers of one are frozen, the others need them.
void freeze(frontend::Model& model, const std::vector<std::string>& patterns) {
  for (codegen::ParamInfo& p : model.params) {
    if (std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) { return codegen::matches_pattern(p.name, pattern); })) p.trainable = false;
  }
  if (patterns.empty()) return;
  std::set<std::string> trained;
  for (const codegen::ParamInfo& p : model.params) {
    if (p.trainable) trained.insert(p.name);
  }
  model.graph = passes::rewrite(model.graph, [&](ir::Graph& g, const ir::Node& n, ir::NodeId, const std::vector<ir::NodeId>&) -> ir::NodeId {
    if (n.op != ir::Op::Param) return ir::kNoNode;
    for (const std::string& name : ir::checkpoint_names(n)) {
      if (trained.count(name)) return ir::kNoNode;
    }
    return g.unary(ir::Op::Stop, g.add(n));
  });
}

void fill_manifest(CompiledModel& c, const frontend::Model& model) {
  codegen::Manifest& m = c.exe.manifest;
  m.model = model.name;
  m.dims = model.dims;
  m.B = model.B;
  m.T = model.T;
  m.V = model.V;
  m.params = model.params;
  m.losses = model.losses;
  m.cross_entropy = model.cross_entropy;
  m.watch = model.watch;
  m.train = model.train;
  m.lanes = rt::gradient_lanes(model.train, rt::available_cpus());
  m.param_floats = param_floats(model);
  m.shared_floats = static_cast<uint64_t>(c.program.shared_floats);
  m.grad_floats = static_cast<uint64_t>(std::max<int64_t>(c.program.grad_floats, static_cast<int64_t>(m.param_floats)));
  m.loss_floats = static_cast<uint64_t>(std::max<int64_t>(16, c.program.loss_floats));
  for (const ir::Function& f : c.program.functions) {
    if (f.name == "rows") {
      m.rows_lane_floats = static_cast<uint64_t>(f.lane_floats);
      m.kept_floats = static_cast<uint64_t>(f.state_floats);
      m.carried_floats = static_cast<uint64_t>(f.carried_floats);
    }
    m.lane_floats = std::max(m.lane_floats, static_cast<uint64_t>(f.lane_floats));
  }
  m.together = ir::sequences_together(c.program);
  m.row_floats = ir::widest_shared_row(c.program);
  m.lane_floats = std::max<uint64_t>(m.lane_floats, 16);
  m.rows_lane_floats = std::max<uint64_t>(m.rows_lane_floats, 16);
}

/// Model file -> Graph.
frontend::Model read_model(const CompileOptions& options, CompiledModel& c) {
  const auto start = std::chrono::steady_clock::now();
  ir::Diagnostics diagnostics;
  frontend::Model model = frontend::load_model_text(c.text, c.path, options.overrides, diagnostics, {.head = options.head, .warn_of_unused = options.warn_of_unused});
  diagnostics.stop_if_errors();
  if (!diagnostics.all().empty()) c.warnings.push_back(diagnostics.format());
  c.times.push_back({"front end", since(start), true});
  c.bf16 = model.precision == "bf16";
  if (c.bf16 && !c.target.fast_bf16 && (options.train || options.eval)) {  // sampling reads half as much
    c.warnings.push_back(fmt::format("note: {} has no instructions for bf16: products of rounded numbers are slower than float32 ones here", c.target.name));
  }
  return model;
}

/// Graph -> Graph, all passes.
void run_passes(frontend::Model& model, const CompileOptions& options, CompiledModel& c) {
  freeze(model, options.freeze);
  model.graph = passes::separate_evaluation(model.graph, options.train);
  c.parsed = model.graph;
  passes::PipelineOptions pipeline;
  pipeline.skip = options.skip;
  pipeline.stop_after = options.stop_after;
  pipeline.bf16 = c.bf16;
  GraphWatcher watcher(options, c);
  pipeline.after = [&](int number, const std::string& name, const ir::Graph& graph, double ms) { watcher.after(number, name, graph, ms); };
  c.graph = passes::run_pipeline(model.graph, pipeline);
}

/// Graph -> LoopProgram.
void lower_graph(const frontend::Model& model, const CompileOptions& options, CompiledModel& c) {
  const auto start = std::chrono::steady_clock::now();
  passes::LowerOptions lower;
  lower.fuse = options.fuse;
  lower.lanes = c.target.lanes;
  lower.bf16 = c.bf16;
  lower.second_cache_floats = static_cast<int64_t>(c.target.l2_bytes / sizeof(float)) / options.threshold_divisor;
  lower.wide = static_cast<uint32_t>(lower.wide / options.threshold_divisor);
  lower.terms_at_once = std::max<int64_t>(1, lower.terms_at_once / options.threshold_divisor);
  lower.large_floats /= options.threshold_divisor;
  lower.least_tile = std::max<int64_t>(1, lower.least_tile / options.threshold_divisor);
  if (model.tile_rows > 0) lower.tile = model.tile_rows;
  lower.vocabulary = model.V;
  lower.params = param_places(model);
  lower.param_floats = param_floats(model);
  lower.train = options.train;
  lower.eval = options.eval;
  lower.rows = options.rows;
  c.program = passes::lower_to_loops(c.graph, lower, &c.explanation);
  c.program.model = model.name;
  ir::verify(c.program);
  c.times.push_back({"lower_to_loops", since(start), true});
  c.costs = passes::count_costs(c.program);
}

/// LoopProgram -> C++ text.
void emit_program(const frontend::Model& model, const CompileOptions& options, CompiledModel& c) {
  const auto start = std::chrono::steady_clock::now();
  std::string sizes;
  for (const auto& [name, value] : model.dims) sizes += fmt::format(" {}={}", name, value);
  c.header = fmt::format("{} for {}, {}:{}", model.name, c.target.name, c.bf16 ? "bf16" : "fp32", sizes);
  codegen::EmitOptions emit;
  emit.header = {c.header, options.fuse ? "fused" : "unfused", "Compile on its own: clang++ -std=c++20 -O3 -ffp-contract=off -c, with the target's instruction sets."};
  emit.emulate_tiles = c.target.emulates_tiles;
  emit.profile = options.profile;
  c.cpp = codegen::emit_cpp(c.program, c.graph, emit);
  c.times.push_back({"emit_cpp", since(start), true});
}

/// Options of the C++ compiler; debuggers and its messages name the dump, if there is one.
void set_up_jit(const CompileOptions& options, CompiledModel& c) {
  c.jit.exec = options.exec;
  c.jit.opt_level = options.opt_level;
  c.jit.features = c.target.features;
  c.jit.vector_bits = c.target.lanes * 32;
  if (!options.dump_dir.empty() && !c.cpp.empty()) {
    make_folder(options.dump_dir);
    c.jit.source_path = (std::filesystem::path(options.dump_dir) / "model.cpp").string();
    rt::write_file_atomically(c.jit.source_path, c.cpp);
  }
}

/// C++ text -> a library in this process.
void load_library(const std::string& name, CompiledModel& c) {
  if (!ir::runs_here(c.target)) {
    const bool emulated = c.target.name == "amx" && ir::runs_here(ir::target_by_name("amx-emulated"));
    throw std::runtime_error(fmt::format("this machine cannot run code for '{}'; compile without running it: cpuflowc compile --target {} --out DIR{}", c.target.name, c.target.name,
                                         emulated ? "; --target amx-emulated gives the same numbers, slowly" : ""));
  }
  c.library = codegen::load_cpp(c.cpp, name, c.jit);
  const codegen::JitRecord& record = c.library->record();
  c.times.push_back({record.cache_hit ? "object cache" : "clang", record.ms_load + record.ms_compile + record.ms_link, true});
}

/// The library's kernels that were asked for.
void bind_kernels(const CompileOptions& options, CompiledModel& c) {
  auto kernel = [&](const char* name) { return reinterpret_cast<cpuflow_kernel*>(c.library->symbol(name)); };
  c.exe.prepare = kernel("prepare");
  for (const ir::Function& f : c.program.functions) {
    if (f.name.starts_with("batch_sums_")) c.exe.batch_sums.push_back(kernel(f.name.c_str()));
    if (f.name.starts_with("eval_sums_")) c.exe.eval_sums.push_back(kernel(f.name.c_str()));
    if (f.name == "eval_terms") c.exe.eval_terms = kernel("eval_terms");
  }
  if (options.train) {
    c.exe.train_sequence = kernel("train_sequence");
    c.exe.finish = kernel("finish");
  }
  if (options.eval) c.exe.eval_sequence = kernel("eval_sequence");
  if (options.eval || options.train) c.exe.loss_terms = kernel("loss_terms");
  if (options.eval && !c.exe.eval_terms) c.exe.eval_terms = c.exe.loss_terms;
  if (options.rows) {
    c.exe.rows = kernel("rows");
    // rounding to bf16 makes differences of its own when rows are multiplied one by one
    c.exe.manifest.causal = rows_agree(c.exe, c.library->record(), c.jit, c.bf16 ? 2e-2 : 1e-4);
    if (!c.exe.manifest.causal) {
      c.warnings.push_back("note: positions that are computed one by one give other logits than a whole sequence: sampling recomputes the whole text for every token");
    }
  }
}

}  // namespace

frontend::Model load(const CompileOptions& options) {
  ir::Diagnostics diagnostics;
  frontend::Model model = frontend::load_model(frontend::find_model(options.model), options.overrides, diagnostics);
  diagnostics.stop_if_errors();
  return model;
}

CompiledModel compile_model(const CompileOptions& options) {
  CompiledModel c;
  c.path = frontend::find_model(options.model);
  c.text = frontend::read_model_text(c.path);
  c.target = options.target.empty() ? ir::host_target() : ir::target_by_name(options.target);
  frontend::Model model = read_model(options, c);
  run_passes(model, options, c);
  if (options.stop_after.empty()) {
    lower_graph(model, options, c);
    emit_program(model, options, c);
  }
  fill_manifest(c, model);
  c.exe.manifest.head = !options.head.empty();
  set_up_jit(options, c);
  if (options.run && !c.cpp.empty()) {
    load_library(model.name, c);
    bind_kernels(options, c);
  }
  return c;
}

}  // namespace cpuflow::cli
