#include "runtime/cli/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include "ir/diagnostics.h"
#include "modeldefs/frontend/build_graph.h"
#include "passes/audit/few_positions.h"
#include "passes/audit/numbers.h"
#include "passes/kit/rewrite.h"
#include "passes/separate_evaluation.h"

namespace cpuflow::cli {
namespace {

using frontend::Model;
using passes::audit::Finding;
using passes::audit::Verdict;
using Overrides = std::map<std::string, std::string>;

constexpr int64_t kFewPositions = 24;
constexpr int64_t kMostPositions = 512;  // more are not looked at, where fewer do not show everything

/// A model file as it is evaluated (audits ask about the text that it writes), or as it is trained.
struct Source {
  std::string path;
  bool trained = false;
  bool is_long = false;  // at its own size: it is written in the same way at others
};

/// `drops`: whether training drops what evaluations keep.
Model load(const Source& source, const Overrides& overrides, ir::Diagnostics& diagnostics, bool other_sizes = false, bool* drops = nullptr) {
  frontend::LoadOptions options;
  options.other_sizes = other_sizes;
  options.warn_of_unused = !other_sizes;
  options.as_if_long = source.is_long;
  Model model = frontend::load_model(source.path, overrides, diagnostics, options);
  if (drops) *drops = passes::has_dropout(model.graph);
  if (!source.trained) model.graph = passes::separate_evaluation(model.graph, false);
  return model;
}

/// The model at other sizes, or nothing where it does not exist at these.
std::optional<Model> try_load(const Source& source, const Overrides& overrides) {
  ir::Diagnostics diagnostics;
  try {
    Model model = load(source, overrides, diagnostics, true);
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
  bool loss_shows = true, model_shows = true;      // everything that the equations say of positions
  bool drops = false;                              // in training, what evaluations keep
  std::string warnings = {};                       // of the file as it is
  std::function<std::optional<Model>()> many_numbers = {};  // at all of its positions, or at many, and at sizes that are quick to evaluate
};

/// The equations of the logits alone.
Model logits_of(Model model) {
  std::erase_if(model.graph.outputs, [](const ir::Output& o) { return o.name != "logits"; });
  model.graph = passes::pruned(model.graph);
  return model;
}

/// Sizes of 32 and more divided, as far as the model file allows it; tokens that equations compare with stay tokens.
Overrides quick_sizes(const Source& source, const Overrides& overrides, const Model& model) {
  constexpr int64_t kFewTokens = 32, kMostTokens = 1024;
  int64_t tokens = kFewTokens;
  for (const int64_t token : passes::audit::compared_tokens(model.graph, std::min(model.V, kMostTokens))) tokens = std::max(tokens, token + 1);
  for (const int64_t divisor : {16, 8, 4, 2}) {
    for (const bool few_tokens : {true, false}) {
      Overrides quick = overrides;
      for (const auto& [name, size] : model.dims) {
        if (name == "T" || name == "B" || name == "V") continue;
        if (size >= 32 && size % divisor == 0) quick[name] = std::to_string(size / divisor);
      }
      if (few_tokens && model.V > tokens) quick["V"] = std::to_string(tokens);
      if (try_load(source, quick)) return quick;
    }
  }
  return overrides;
}

/// `longest`: of the longer model at least; 0: some more positions than few.
Sizes load_sizes(Source source, const Overrides& overrides, int64_t longest = 0) {
  ir::Diagnostics diagnostics;
  bool drops = false;
  Sizes out{load(source, overrides, diagnostics, false, &drops), {}, {}, {}, {}, {}};
  diagnostics.stop_if_errors();
  out.drops = drops;
  if (!diagnostics.all().empty()) out.warnings = diagnostics.format();
  const int64_t T = out.full.T;
  source.is_long = source.is_long || frontend::is_long(T);
  Overrides sized = with(overrides, "B", 2);
  std::optional<Model> pair = try_load(source, sized);
  if (!pair || (out.full.B > 2 && !passes::audit::same_but_for_size(out.full.graph, pair->graph))) {
    sized = overrides;
    pair = out.full;
  }
  const Model all = std::move(*pair);
  std::map<int64_t, std::optional<Model>> loaded{{T, all}};
  auto at = [&](int64_t positions) -> const std::optional<Model>& {
    const auto [it, fresh] = loaded.try_emplace(positions);
    if (fresh) it->second = try_load(source, with(sized, "T", positions));
    return it->second;
  };
  // The first number of positions from `size` on at which the model exists and none of its other sizes is the same; T where there is none below.
  auto size_from = [&](int64_t size) {
    constexpr int64_t kMostTries = 64;  // chunks of more positions are seen with all
    for (const int64_t last = std::min(size + kMostTries, T); size < last; ++size) {
      size = free_size(all, size);
      if (size < T && at(size)) return size;
    }
    return T;
  };
  // How many positions are looked at, for what `part` takes of a model; `shows`: whether these are enough.
  auto positions = [&](auto&& part, bool& shows) -> int64_t {
    const Model whole = part(all);
    for (int64_t fewer = kFewPositions; fewer < std::min(T, 2 * kMostPositions); fewer *= 2) {  // a chunk or a window of more positions than there are is another equation
      const std::optional<Model>& start = at(size_from(fewer));
      const std::optional<int64_t> enough = start ? passes::audit::positions_that_show(whole.graph, part(*start).graph) : std::nullopt;
      if (enough && std::max(*enough, fewer) < T) return size_from(std::max(*enough, fewer));
    }
    if (T <= kMostPositions) return T;
    shows = false;
    return size_from(kFewPositions);
  };
  const int64_t few_loss = positions([](const Model& m) { return m; }, out.loss_shows), few = positions(logits_of, out.model_shows);
  const int64_t more = free_size(all, std::max(few + few / 2 + 1, longest));
  const bool grows = at(T + 1).has_value();
  out.loss = at(few_loss);
  out.model = at(few);
  if (grows) out.longer = at(more);
  const Overrides quick = quick_sizes(source, with(sized, "T", few), *out.model);
  out.numbers = try_load(source, with(quick, "T", few));
  if (grows) out.longer_numbers = try_load(source, with(quick, "T", more));
  out.many_numbers = [source, quick, many = std::min(T, kMostPositions)] { return try_load(source, with(quick, "T", many)); };
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
                     link.at.first_line(passes::audit::kStatementWidth));
}

/// What [params] leaves to parameters, for each of their nodes.
passes::audit::ParamRanges param_ranges(const Model& model) {
  std::map<std::string, const codegen::ParamInfo*> by_name;
  for (const codegen::ParamInfo& p : model.params) by_name[p.name] = &p;
  passes::audit::ParamRanges out;
  for (ir::NodeId id = 0; id < model.graph.size(); ++id) {
    if (model.graph[id].op != ir::Op::Param) continue;
    for (const std::string& name : ir::checkpoint_names(model.graph[id])) {
      const codegen::ParamInfo& p = *by_name.at(name);
      const bool fixed = !p.trainable && p.init == codegen::ParamInfo::Init::Constant;
      const auto [low, high] = fixed ? std::pair(p.init_a, p.init_a) : std::pair(p.low, p.high);
      auto [range, fresh] = out.try_emplace(model.graph[id].text, low, high);
      range->second = {std::min(range->second.first, low), std::max(range->second.second, high)};
    }
  }
  return out;
}

AuditReport audit_sizes(const std::string& path, const Sizes& sizes) {
  const ir::Graph* numbers = sizes.numbers ? &sizes.numbers->graph : nullptr;
  const passes::audit::ParamRanges ranges = param_ranges(sizes.full);
  AuditReport out;
  out.path = path;
  out.allow = sizes.full.allow;
  out.warnings = sizes.warnings;
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
    const bool of_model = name == "causality" || name == "sequence_end";
    const bool hides = (of_model && !sizes.model_shows) || (name == "horizon" && !sizes.loss_shows);
    if (finding.verdict == Verdict::Proved && hides) {
      finding.verdict = Verdict::Unknown;
      finding.reason = fmt::format("it holds for {} positions, and what the equations say of later ones cannot be told from these", out.positions);
    }
    out.findings.push_back({name, std::move(finding)});
  };
  Finding no_longer;
  no_longer.reason = "the model does not exist with more positions";
  add("causality", [&] {
    Finding found = passes::audit::causality(sizes.model->graph, numbers, ranges);
    if (found.verdict != Verdict::Unknown || found.chain.empty()) return found;
    const std::optional<Model> many = sizes.many_numbers();  // a count of positions may reach what is asked of it there only
    found.witness = many ? passes::audit::shown_leak(many->graph, ranges) : "";
    if (found.witness.empty()) return found;
    found.verdict = Verdict::Refuted;
    found.reason = found.reason.substr(0, found.reason.find(" by their equations"));
    return found;
  });
  add("horizon", [&] { return passes::audit::horizon(sizes.loss->graph); });
  add("sequence_end", [&] {
    if (!sizes.longer) return no_longer;
    return passes::audit::sequence_end(sizes.model->graph, sizes.longer->graph, numbers, sizes.longer_numbers ? &sizes.longer_numbers->graph : nullptr, ranges);
  });
  add("gradient", [&] { return passes::audit::gradient_paths(sizes.full.graph, trained); });
  add("range", [&] { return passes::audit::numeric_range(sizes.full.graph, numbers, ranges); });
  add("position", [&] { return sizes.longer ? passes::audit::position_range(sizes.model->graph, sizes.longer->graph) : no_longer; });
  return out;
}

/// Takes the findings of `other` that are worse, for those of `audits`; `when` says what is other there.
void take_worse(AuditReport& report, const AuditReport& other, const std::set<std::string>& audits, const std::string& when) {
  const auto severity = [](Verdict v) { return v == Verdict::Proved ? 0 : v == Verdict::Unknown ? 1 : 2; };
  for (size_t i = 0; i < report.findings.size(); ++i) {
    auto& [name, finding] = report.findings[i];
    const Finding& found = other.findings[i].second;
    if (!audits.count(name) || severity(found.verdict) <= severity(finding.verdict)) continue;
    finding = found;
    finding.reason += fmt::format(" ({})", when);
  }
}

}  // namespace

std::string why_no_longer(const std::string& path, const Overrides& overrides, int64_t positions) {
  const auto proved = [](const Sizes& sizes) {
    return sizes.model_shows && sizes.longer && passes::audit::sequence_end(sizes.model->graph, sizes.longer->graph, nullptr, nullptr, {}).verdict == Verdict::Proved;
  };
  std::string why = fmt::format("with T = {} its equations are others", positions);
  try {
    const Sizes own = load_sizes({path, false, frontend::is_long(positions)}, overrides), more = load_sizes({path}, with(overrides, "T", positions));
    if (passes::audit::same_but_for_size(logits_of(own.full).graph, logits_of(more.full).graph)) {
      if (more.model->T <= own.full.T && proved(more)) return "";
      why = fmt::format("that its equations are the same with T = {} is not proved", positions);
    }
    if (proved(load_sizes({path}, overrides, positions))) return "";  // where few positions do not show it, all of them may
  } catch (const ir::ModelError&) {
  }
  return why;
}

AuditReport audit_model(const std::string& path, const Overrides& overrides) {
  const Sizes sizes = load_sizes({path}, overrides);
  AuditReport out = audit_sizes(path, sizes);
  if (sizes.drops) {
    take_worse(out, audit_sizes(path, load_sizes({path, true}, overrides)), {"causality", "horizon"}, "in training, which drops");
  }
  for (size_t i = 0; i < sizes.full.phases.size(); ++i) {
    Overrides in_phase = overrides;
    std::string constants;
    for (const auto& [name, value] : sizes.full.phases[i].constants) {
      if (!in_phase.try_emplace(name, fmt::format("{}", value)).second) continue;
      constants += fmt::format(", {} = {}", name, value);
    }
    if (constants.empty()) continue;
    take_worse(out, audit_sizes(path, load_sizes({path}, in_phase)), {"causality", "horizon", "sequence_end", "range"}, fmt::format("in phase {}{}", i + 1, constants));
  }
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
                               {"text", link.at.first_line(passes::audit::kStatementWidth)}};
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

std::string audit_doubts(const AuditReport& report) {
  std::string out = audit_warning(report);
  for (const auto& [name, finding] : report.findings) {
    if (finding.verdict != Verdict::Unknown || !forbids_training(name) || allowed(report, name)) continue;
    out += fmt::format("{}note: {} is not proved, and no numbers refute it: a model that reads what it is to predict has losses that are too good", out.empty() ? "" : "\n", name);
  }
  return out;
}

std::string audit_notes(const AuditReport& report) {
  std::string out;
  auto note = [&](const std::string& text) { out += (out.empty() ? "note: " : "\nnote: ") + text; };
  for (const auto& [name, finding] : report.findings) {
    if (allowed(report, name)) continue;
    if (finding.verdict == Verdict::Unknown && forbids_training(name) && !finding.chain.empty()) {
      note(fmt::format("the proof of {} stops here:", name));
      for (const passes::audit::Link& link : finding.chain) out += fmt::format("\n    {}", link_text(link));
    }
    if (finding.verdict == Verdict::Refuted && (name == "gradient" || name == "range")) note(fmt::format("the audit of {} is refuted: {} (cpuflowc audit shows where)", name, finding.reason));
  }
  return out;
}

}  // namespace cpuflow::cli
