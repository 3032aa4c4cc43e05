#include "runtime/cli/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "ir/diagnostics.h"
#include "runtime/atomic_file.h"
#include "runtime/cli/command.h"
#include "runtime/memory.h"
#include "runtime/thread_pool.h"
#include "runtime/train/progress.h"
#include "runtime/train/sampler.h"

namespace cpuflow::cli {
namespace {

uint64_t parameter_count(const codegen::Manifest& m) {
  uint64_t count = 0;
  for (const codegen::ParamInfo& p : m.params) count += p.count;
  return count;
}

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string init_text(const codegen::ParamInfo& p) {
  switch (p.init) {
    case codegen::ParamInfo::Init::Normal:
      return fmt::format("normal({}, {:.4g})", p.init_a, p.init_b);
    case codegen::ParamInfo::Init::Uniform:
      return fmt::format("uniform({:.4g}, {:.4g})", p.init_a, p.init_b);
    case codegen::ParamInfo::Init::Constant:
      return fmt::format("{}", p.init_a);
  }
  return "";
}

/// A parameter, or one parameter of several layers in a row of the same shape.
struct ParamRow {
  std::string name;
  const codegen::ParamInfo* first = nullptr;
  size_t layers = 1;
};

/// The name with its first number replaced by `*`, if there is one between dots.
std::string layer_pattern(const std::string& name) {
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    if (end > at && std::all_of(name.begin() + static_cast<ptrdiff_t>(at), name.begin() + static_cast<ptrdiff_t>(end), ::isdigit)) {
      return name.substr(0, at) + "*" + name.substr(end);
    }
    at = end + 1;
  }
  return name;
}

std::vector<ParamRow> param_rows(const codegen::Manifest& m) {
  std::vector<ParamRow> rows;
  std::map<std::string, size_t> at;
  for (const codegen::ParamInfo& p : m.params) {
    const std::string pattern = layer_pattern(p.name);
    const auto it = at.find(pattern);
    if (pattern != p.name && it != at.end() && rows[it->second].first->shape == p.shape) {
      ++rows[it->second].layers;
      rows[it->second].name = pattern;
      continue;
    }
    at[pattern] = rows.size();
    rows.push_back({p.name, &p, 1});
  }
  return rows;
}

std::string bytes_text(double bytes) { return rt::format_bytes(static_cast<uint64_t>(bytes)); }

nlohmann::ordered_json cost_json(const TokenCost& cost) {
  return {{"product_flops", cost.product_flops}, {"other_flops", cost.other_flops}, {"bytes", cost.bytes}};
}

/// Bytes that decoding one text on all threads takes beside the parameters.
uint64_t decoding_memory(const codegen::Manifest& m) { return rt::Sampler::bytes(m, 1, rt::Sampler::partners(m, 1, rt::available_threads())); }

}  // namespace

TokenCost token_cost(const CompiledModel& model, const std::string& function) {
  TokenCost cost;
  const double tokens = static_cast<double>(model.exe.manifest.T);
  for (const passes::RegionCosts& region : model.costs) {
    if (region.function != function) continue;
    cost.product_flops += region.product_flops / tokens;
    cost.other_flops += region.other_flops / tokens;
    cost.bytes += region.bytes / tokens;
  }
  return cost;
}

std::string compile_report(const CompiledModel& model, bool fused) {
  const codegen::Manifest& m = model.exe.manifest;
  std::string out = fmt::format("{} ({})\n\nSizes\n ", m.model, model.path);
  for (const auto& [name, value] : m.dims) out += fmt::format(" {} = {}", name, value);
  out += fmt::format("\n\nParameters: {} in {} tensors\n", with_commas(static_cast<double>(parameter_count(m))), m.params.size());
  const std::vector<ParamRow> rows = param_rows(m);
  size_t width = 0;
  for (const ParamRow& row : rows) width = std::max(width, row.name.size());
  for (const ParamRow& row : rows) {
    out += fmt::format("  {:{}}  {:14}{:>12}  {}{}\n", row.name, width, shape_text(row.first->shape),
                       with_commas(static_cast<double>(row.first->count * row.layers)),
                       row.layers > 1 ? fmt::format("{} x, ", row.layers) : "", init_text(*row.first));
  }
  out += "\nLoss terms\n ";
  for (size_t i = 0; i < m.losses.size(); ++i) {
    out += fmt::format(" {}{}{}", m.losses[i], m.losses[i] == "total" ? " (trained)" : "", static_cast<int64_t>(i) == m.cross_entropy ? " (perplexity)" : "");
  }

  out += fmt::format("\n\nRegions ({}, {})\n", fused ? "fused: one pass over tiles of rows each" : "unfused: one operation each",
                     model.target.name);
  std::map<std::string, std::vector<const passes::RegionCosts*>> functions;
  std::vector<std::string> order;
  for (const passes::RegionCosts& region : model.costs) {
    if (!functions.contains(region.function)) order.push_back(region.function);
    functions[region.function].push_back(&region);
  }
  for (const std::string& function : order) {
    const std::vector<const passes::RegionCosts*>& regions = functions[function];
    out += fmt::format("  {}: {} region{}\n", function, regions.size(), regions.size() == 1 ? "" : "s");
    if (!fused && regions.size() > 24) continue;
    size_t longest = 0;
    for (const passes::RegionCosts* region : regions) longest = std::max(longest, region->region.size());
    for (const passes::RegionCosts* region : regions) {
      out += fmt::format("    {:{}} {:>10}FLOP in products {:>10}FLOP beside {:>10}\n", region->region, longest,
                         rt::short_count(region->product_flops) + (region->product_flops < 1e3 ? " " : ""),
                         rt::short_count(region->other_flops) + (region->other_flops < 1e3 ? " " : ""), bytes_text(region->bytes));
    }
  }
  out += "\nCost of a token (products count 2 m n k, as the loops run them)\n";
  for (const auto& [function, text] :
       {std::pair{"rows", "forward"}, {"eval_sequence", "forward and losses"}, {"train_sequence", "forward and backward"}}) {
    const TokenCost cost = token_cost(model, function);
    out += fmt::format("  {:22} {:>9}FLOP in products, {}FLOP beside, {} moved\n", text, rt::short_count(cost.product_flops),
                       rt::short_count(cost.other_flops), bytes_text(cost.bytes));
  }
  out += fmt::format("\nMemory\n  training {}\n  decoding {} beside the parameters; the state carried from token to token is {}\n", rt::training_memory(m, rt::available_threads()).text(),
                     rt::format_bytes(decoding_memory(m)), rt::format_bytes(4 * m.carried_floats));
  out += fmt::format("\nGenerated C++: {} lines\n", std::count(model.cpp.begin(), model.cpp.end(), '\n'));
  return out;
}

nlohmann::ordered_json manifest_json(const CompiledModel& model) {
  const codegen::Manifest& m = model.exe.manifest;
  nlohmann::ordered_json params = nlohmann::ordered_json::array();
  for (const codegen::ParamInfo& p : m.params) {
    params.push_back({{"name", p.name},
                      {"shape", p.shape},
                      {"offset", p.offset},
                      {"count", p.count},
                      {"init", init_text(p)},
                      {"trainable", p.trainable}});
  }
  return {{"model", m.model},
          {"sizes", m.dims},
          {"target", model.target.name},
          {"precision", model.bf16 ? "bf16" : "fp32"},
          {"features", model.target.features},
          {"B", m.B},
          {"T", m.T},
          {"V", m.V},
          {"lanes", m.lanes},
          {"param_floats", m.param_floats},
          {"shared_floats", m.shared_floats},
          {"lane_floats", m.lane_floats},
          {"sequences_together", m.together},
          {"grad_floats", m.grad_floats},
          {"loss_floats", m.loss_floats},
          {"rows_lane_floats", m.rows_lane_floats},
          {"losses", m.losses},
          {"params", std::move(params)}};
}

nlohmann::ordered_json compile_json(const CompiledModel& model, bool fused) {
  const codegen::Manifest& m = model.exe.manifest;
  const rt::TrainingMemory memory = rt::training_memory(m, rt::available_threads());
  nlohmann::ordered_json regions = nlohmann::ordered_json::array(), times = nlohmann::ordered_json::array();
  for (const passes::RegionCosts& r : model.costs) {
    regions.push_back({{"function", r.function},
                       {"name", r.region},
                       {"product_flops", r.product_flops},
                       {"other_flops", r.other_flops},
                       {"bytes", r.bytes}});
  }
  for (const PassTime& t : model.times) times.push_back({{"name", t.name}, {"ms", t.milliseconds}, {"changed", t.changed}});
  nlohmann::ordered_json out{{"path", model.path},
                             {"fused", fused},
                             {"parameters", parameter_count(m)},
                             {"manifest", manifest_json(model)},
                             {"per_token",
                              {{"forward", cost_json(token_cost(model, "rows"))},
                               {"forward_and_losses", cost_json(token_cost(model, "eval_sequence"))},
                               {"forward_and_backward", cost_json(token_cost(model, "train_sequence"))}}},
                             {"memory_bytes",
                              {{"training", memory.total()},
                               {"parameters", memory.params},
                               {"optimizer", memory.moments},
                               {"gradients", memory.grads},
                               {"scratch", memory.scratch},
                               {"shared", memory.shared},
                               {"losses_and_tokens", memory.losses + memory.tokens},
                               {"decoding", decoding_memory(m)}}},
                             {"state_bytes", 4 * m.carried_floats},
                             {"regions", std::move(regions)},
                             {"stages", std::move(times)},
                             {"cpp_bytes", model.cpp.size()},
                             {"warnings", model.warnings}};
  if (model.library) {
    const codegen::JitRecord& r = model.library->record();
    out["jit"] = {{"hash", r.hash},       {"cache_hit", r.cache_hit},       {"ms_compile", r.ms_compile}, {"ms_load", r.ms_load},
                  {"ms_link", r.ms_link}, {"object_bytes", r.object_bytes}, {"compiler", r.compiler}};
  }
  return out;
}

std::string time_report(const CompiledModel& model) {
  std::string out = "Milliseconds\n";
  double total = 0;
  for (const PassTime& time : model.times) {
    out += fmt::format("  {:28} {:9.2f}{}\n", time.name, time.milliseconds, time.changed ? "" : "  (unchanged)");
    total += time.milliseconds;
  }
  return out + fmt::format("  {:28} {:9.2f}\n", "total", total);
}

}  // namespace cpuflow::cli
