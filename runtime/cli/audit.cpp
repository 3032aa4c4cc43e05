#include "runtime/cli/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "ir/diagnostics.h"
#include "modeldefs/frontend/build_graph.h"
#include "passes/rewrite.h"
#include "passes/separate_evaluation.h"

namespace cpuflow::cli {
namespace {

using frontend::Model;
using passes::audit::Finding;
using passes::audit::Verdict;
using Overrides = std::map<std::string, std::string>;

constexpr int64_t kFewPositions = 24;

/// The model as it is evaluated: audits ask about the text that it writes.
Model load_evaluated(const std::string& path, const Overrides& overrides, ir::Diagnostics& diagnostics, bool other_sizes = false) {
  frontend::LoadOptions options;
  options.other_sizes = other_sizes;
  Model model = frontend::load_model(path, overrides, diagnostics, options);
  model.graph = passes::separate_evaluation(model.graph, false);
  return model;
}

/// The model at other sizes, or nothing where it does not exist at these.
std::optional<Model> try_load(const std::string& path, const Overrides& overrides) {
  ir::Diagnostics diagnostics;
  try {
    Model model = load_evaluated(path, overrides, diagnostics, true);
    if (diagnostics.has_errors()) return std::nullopt;
    return model;
  } catch (const ir::ModelError&) {
    return std::nullopt;
  }
}

Overrides with(Overrides overrides, const std::string& name, int64_t value) {
  overrides[name] = std::to_string(value);
  return overrides;
}

/// Whole numbers in equations, whatever T is, and how many positions show what they do.
using Reach = std::map<int64_t, int64_t>;

Reach reach_of(const ir::Graph& g) {
  Reach out;
  for (ir::NodeId id = 0; id < g.size(); ++id) {
    const ir::Node& n = g[id];
    for (ir::NodeId i : n.inputs) {
      if (g[i].op != ir::Op::Constant || g[i].dtype != ir::DType::Int) continue;
      const int64_t value = static_cast<int64_t>(g[i].value);
      const bool chunks = n.op == ir::Op::FloorDiv || n.op == ir::Op::Mod;
      out[value] = std::max(out[value], chunks ? 2 * value + 3 : value + 8);
    }
  }
  return out;
}

/// Positions that show every chunk and window that does not depend on T.
int64_t enough_positions(const Model& a, const Model& b) {
  const Reach left = reach_of(a.graph), right = reach_of(b.graph);
  int64_t enough = kFewPositions;
  for (const auto& [value, positions] : left) {
    if (right.count(value)) enough = std::max(enough, positions);
  }
  return enough;
}

/// The next number that is no size of the model: an axis of another meaning would be the same axis.
int64_t free_size(const Model& model, int64_t size) {
  std::set<int64_t> taken;
  for (ir::NodeId id = 0; id < model.graph.size(); ++id) {
    for (const ir::Axis& a : model.graph[id].axes) {
      if (a.kind != ir::AxisKind::Position) taken.insert(a.size);
    }
  }
  while (taken.count(size)) ++size;
  return size;
}

/// The models that the audits look at.
struct Sizes {
  Model full;                                      // as the file says
  std::optional<Model> loss;                     // few positions, as losses need them
  std::optional<Model> model, longer;              // few positions, as logits need them
  std::optional<Model> numbers, longer_numbers;    // the same at sizes that are quick to evaluate
};

/// The equations of the logits alone.
Model logits_of(Model model) {
  std::erase_if(model.graph.outputs, [](const ir::Output& o) { return o.name != "logits"; });
  model.graph = passes::rewrite(model.graph, [](ir::Graph&, const ir::Node&, ir::NodeId, const std::vector<ir::NodeId>&) { return ir::kNoNode; });
  return model;
}

/// Sizes of 32 and more divided, as far as the model file allows it.
Overrides quick_sizes(const std::string& path, const Overrides& overrides, const Model& model) {
  for (const int64_t divisor : {16, 8, 4, 2}) {
    for (const bool few_tokens : {true, false}) {
      Overrides quick = overrides;
      for (const auto& [name, size] : model.dims) {
        if (name == "T" || name == "B" || name == "V") continue;
        if (size >= 32 && size % divisor == 0) quick[name] = std::to_string(size / divisor);
      }
      if (few_tokens && model.V > 32) quick["V"] = "32";
      if (try_load(path, quick)) return quick;
    }
  }
  return overrides;
}

Sizes load_sizes(const std::string& path, const Overrides& overrides) {
  ir::Diagnostics diagnostics;
  Sizes out{load_evaluated(path, overrides, diagnostics), {}, {}, {}, {}, {}};
  std::optional<Model> unused;
  diagnostics.stop_if_errors();
  const int64_t T = out.full.T;
  const Overrides pair = with(overrides, "B", 2);
  const Overrides sized = try_load(path, pair) ? pair : overrides;
  auto at = [&](const Overrides& sizes, int64_t positions) { return try_load(path, with(sizes, "T", positions)); };
  // what does not change with T
  std::optional<Model> a = at(sized, T), b = at(sized, T + 1);
  if (!a || !b) a = at(sized, kFewPositions), b = at(sized, kFewPositions + 1);
  auto choose = [&](int64_t enough, std::optional<Model>& model, std::optional<Model>& longer, int64_t& few, int64_t& more) {
    few = free_size(*a, std::min(T, enough));
    more = free_size(*a, few + enough / 2 + 1);
    model = at(sized, few);
    if (!model) model = at(sized, few = T), more = T + enough / 2 + 1;
    longer = at(sized, more);
  };
  if (!a || !b) {
    out.loss = out.model = out.full;
    return out;
  }
  int64_t few = T, more = T + 1;
  choose(enough_positions(*a, *b), out.loss, unused, few, more);
  choose(enough_positions(logits_of(*a), logits_of(*b)), out.model, out.longer, few, more);
  if (!out.model || !out.loss) out.loss = out.model = out.full;
  const Overrides quick = quick_sizes(path, with(sized, "T", few), *out.model);
  out.numbers = at(quick, few);
  out.longer_numbers = at(quick, more);
  for (std::optional<Model>* m : {&out.model, &out.longer}) {
    if (*m) *m = logits_of(std::move(**m));
  }
  return out;
}

/// The name in `allow` that lets an audit be refuted.
std::string allowance(const std::string& audit) {
  return audit == "causality" ? "future" : audit == "sequence_end" ? "end" : audit;
}

bool allowed(const AuditReport& report, const std::string& audit) {
  return std::find(report.allow.begin(), report.allow.end(), allowance(audit)) != report.allow.end();
}

bool forbids_training(const std::string& audit) { return audit == "causality" || audit == "horizon"; }

std::string link_text(const passes::audit::Link& link) {
  return fmt::format("{}: {}{}", link.at.str(), link.position >= 0 ? fmt::format("at position {}: ", link.position) : "",
                     passes::audit::statement_text(link.at));
}

}  // namespace

AuditReport audit_model(const std::string& path, const Overrides& overrides) {
  const Sizes sizes = load_sizes(path, overrides);
  const ir::Graph* numbers = sizes.numbers ? &sizes.numbers->graph : nullptr;
  AuditReport out;
  out.path = path;
  out.allow = sizes.full.allow;
  out.positions = sizes.model->T;
  std::vector<std::string> trained;
  for (const codegen::ParamInfo& p : sizes.full.params) {
    if (p.trainable) trained.push_back(p.name);
  }
  auto add = [&](const std::string& name, auto&& find) {
    Finding finding;
    try {
      finding = find();
    } catch (const ir::ModelError& e) {
      finding.reason = e.what();
    }
    out.findings.push_back({name, std::move(finding)});
  };
  add("causality", [&] { return passes::audit::causality(sizes.model->graph, numbers); });
  add("horizon", [&] { return passes::audit::horizon(sizes.loss->graph); });
  add("sequence_end", [&] {
    if (sizes.longer) return passes::audit::sequence_end(sizes.model->graph, sizes.longer->graph, numbers, sizes.longer_numbers ? &sizes.longer_numbers->graph : nullptr);
    Finding unknown;
    unknown.reason = "the model does not exist with more positions";
    return unknown;
  });
  add("gradient", [&] { return passes::audit::gradient_paths(sizes.full.graph, trained); });
  add("range", [&] { return passes::audit::numeric_range(sizes.full.graph, numbers); });
  add("position", [&] {
    if (sizes.longer) return passes::audit::position_range(sizes.model->graph, sizes.longer->graph);
    Finding unknown;
    unknown.reason = "the model does not exist with more positions";
    return unknown;
  });
  return out;
}

Verdict verdict_of(const AuditReport& report, std::string_view name) {
  for (const auto& [audit, finding] : report.findings) {
    if (audit == name) return finding.verdict;
  }
  return Verdict::Unknown;
}

std::string audit_text(const AuditReport& report) {
  std::string out = fmt::format("Audits ({} positions)\n", report.positions);
  for (const auto& [name, finding] : report.findings) {
    const bool refuted = finding.verdict == Verdict::Refuted;
    out += fmt::format("  {:13} {:8}{}{}\n", name, passes::audit::verdict_name(finding.verdict), finding.reason.empty() ? "" : " " + finding.reason,
                       refuted && allowed(report, name) ? " (allowed by the model file)" : "");
    if (finding.details.size() > 1) {
      for (const std::string& detail : finding.details) out += fmt::format("      {}\n", detail);
    } else {
      for (const passes::audit::Link& link : finding.chain) out += fmt::format("      {}\n", link_text(link));
    }
    if (!finding.witness.empty()) out += fmt::format("      numbers: {}\n", finding.witness);
  }
  return out;
}

nlohmann::ordered_json audit_json(const AuditReport& report) {
  nlohmann::ordered_json out;
  for (const auto& [name, finding] : report.findings) {
    nlohmann::ordered_json& f = out[name];
    f["verdict"] = passes::audit::verdict_name(finding.verdict);
    if (!finding.reason.empty()) f["reason"] = finding.reason;
    if (finding.verdict == Verdict::Refuted) f["allowed"] = allowed(report, name);
    for (const passes::audit::Link& link : finding.chain) {
      nlohmann::ordered_json l{{"file", link.at.known() ? link.at.source->path : ""},
                               {"line", link.at.known() ? link.at.line() : 0},
                               {"column", link.at.known() ? link.at.column() : 0},
                               {"text", passes::audit::statement_text(link.at)}};
      if (link.position >= 0) l["position"] = link.position;
      f["chain"].push_back(std::move(l));
    }
    if (!finding.details.empty()) f["details"] = finding.details;
    if (!finding.witness.empty()) f["witness"] = finding.witness;
  }
  return out;
}

std::string audit_refusal(const AuditReport& report) {
  std::string out;
  for (const auto& [name, finding] : report.findings) {
    if (finding.verdict != Verdict::Refuted || !forbids_training(name) || allowed(report, name)) continue;
    out += fmt::format("{}: error: the audit of {} is refuted: {}\n", report.path, name, finding.reason);
    for (const passes::audit::Link& link : finding.chain) out += fmt::format("    {}\n", link_text(link));
    out += fmt::format("    numbers: {}\n", finding.witness);
    out += fmt::format("    repair the equations, or write allow = [\"{}\"] at the top of the file to train it all the same\n", allowance(name));
  }
  if (!out.empty()) out.pop_back();
  return out;
}

std::string audit_warning(const AuditReport& report) {
  std::string out;
  for (const auto& [name, finding] : report.findings) {
    if (finding.verdict != Verdict::Refuted || !forbids_training(name) || !allowed(report, name)) continue;
    out += fmt::format("{}warning: {} is refuted ({}): losses and perplexities are not those of a language model", out.empty() ? "" : "\n", name,
                       finding.reason);
  }
  return out;
}

std::string audit_notes(const AuditReport& report) {
  std::string out;
  auto note = [&](const std::string& text) { out += (out.empty() ? "note: " : "\nnote: ") + text; };
  for (const auto& [name, finding] : report.findings) {
    if (allowed(report, name)) continue;
    if (finding.verdict == Verdict::Unknown && forbids_training(name)) {
      note(fmt::format("{} is not proved, and no numbers refute it: a model that reads what it is to predict has losses that are too good", name));
      for (const passes::audit::Link& link : finding.chain) out += fmt::format("\n    {}", link_text(link));
    }
    if (finding.verdict == Verdict::Refuted && (name == "gradient" || name == "range")) note(fmt::format("the audit of {} is refuted: {} (cpuflowc audit shows where)", name, finding.reason));
  }
  return out;
}

}  // namespace cpuflow::cli
