#include "modeldefs/frontend/build_graph.h"

#include "ir/schedule.h"
#include "modeldefs/frontend/evaluator.h"
#include "modeldefs/frontend/train_settings.h"
#include "modeldefs/frontend/unused.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>

namespace cpuflow::embedded {
extern const std::string_view model_prelude;
}

namespace cpuflow::frontend {
using namespace ir;

namespace {

/// The library, and what the model file adds to it.
void add_definitions(Program& program, const ModelFile& library, Diagnostics& diagnostics) {
  for (const LayerDef& def : library.layers) program.layers[def.name] = &def;
  for (const FunctionDef& def : library.functions) program.functions[def.name] = &def;
  for (const LayerDef& def : program.file.layers) program.layers[def.name] = &def;
  for (const FunctionDef& def : program.file.functions) program.functions[def.name] = &def;
  for (const BlockDef& def : program.file.blocks) {
    if (!program.blocks.emplace(def.name, &def).second) diagnostics.error(def.at, "there are two blocks '" + def.name + "'");
  }
}

void take_sizes(Program& program, Diagnostics& diagnostics) {
  auto size = [&](const char* name, const char* meaning, int64_t otherwise) {
    auto it = program.sizes.find(name);
    if (it != program.sizes.end() && !it->second.list) return static_cast<int64_t>(it->second.values[0].value);
    if (otherwise == 0) diagnostics.error(program.file.section("dims"), std::string("[dims] needs '") + name + "', " + meaning);
    return otherwise;
  };
  program.T = size("T", "the positions of a sequence", 0);
  program.V = size("V", "the tokens of the vocabulary", 0);
  program.B = size("B", "the sequences of a micro-batch", 1);
  program.sizes["B"] = single_size(program.B);
}

// The furthest token whose cross-entropy a loss may be.
constexpr int64_t kLatest = 64;

class Builder {
 public:
  Builder(Program& program, const LoadOptions& options, Diagnostics& diagnostics)
      : program_(program),
        head_(options.head),
        diagnostics_(diagnostics),
        params_(nodes_, program.layers, program.T),
        evaluator_(program, nodes_, params_, diagnostics) {
    nodes_.statics.pairs_known = !options.as_if_long;
    nodes_.statics.vocabulary = program.V;
  }

  Model run() {
    params_.add(program_.file.params, "", program_.sizes, LayerRun{}, program_.params, diagnostics_);
    diagnostics_.stop_if_errors();
    forward();
    losses();
    diagnostics_.stop_if_errors();
    Model model;
    model.graph = nodes_.reachable();
    model.params = params_.infos();
    model.cross_entropy = cross_entropy_;
    return model;
  }

 private:
  Frame frame() {
    Frame f;
    f.params = &program_.params;
    f.sizes = &program_.sizes;
    f.report = &diagnostics_;
    return f;
  }

  void forward() {
    Axis b = evaluator_.batch(), t = evaluator_.positions();
    model_ = frame();
    model_.in_block = true;
    model_.index["t"] = evaluator_.position_index();
    for (const char* name : {"tokens", "targets"}) model_.vars[name] = Value{nodes_.graph.input(name, {b, t}), {"b", "t"}, {}};
    evaluator_.run(program_.file.forward, model_);
    diagnostics_.stop_if_errors();
    auto it = model_.vars.find("logits");
    if (it == model_.vars.end()) {
      diagnostics_.error(program_.file.section("model"), "[model] gives no 'logits': the scores of the V tokens at each position, as in logits = x @ transpose(embed)");
      model_.poisoned.insert("logits");
      return;
    }
    Value& logits = it->second;
    if (logits.features.size() != 1 || logits.features[0].size != program_.V) {
      diagnostics_.error(model_.defined["logits"],
                         "'logits' must have the axes [b, t, " + std::to_string(program_.V) + "], it is " + evaluator_.shape_text(logits));
      return;
    }
    Axes axes = {b, t};
    if (program_.V > 1) axes.push_back(logits.features[0].axis);
    const NodeId everywhere = nodes_.spread(nodes_.to_real(logits.node), axes);
    if (logits.lead.size() < 2) logits = Value{everywhere, {"b", "t"}, logits.features};  // the same for all positions, or sequences
    nodes_.graph.outputs.push_back({"logits", everywhere});
  }

  void losses() {
    Frame f = frame();
    f.vars = model_.vars;
    f.defined = model_.defined;
    f.poisoned = model_.poisoned;
    f.hidden.clear();
    evaluator_.run(program_.file.loss_shared, f);
    terms(program_.file.losses, "loss.", f);
    if (!diagnostics_.has_errors()) find_cross_entropy();
    terms(program_.file.watch, "watch.", f);
    if (!head_.empty()) add_head(f);
  }

  /// The value of the last of these statements.  `name` stands for a file in messages.
  std::optional<Value> run(const std::string& name, const std::vector<std::string>& texts, Frame& f) {
    std::vector<Statement> statements;
    for (const std::string& text : texts) {
      auto source = std::make_shared<SourceText>(SourceText{name, text});
      for (Statement& s : parse_statements({source, 0, static_cast<uint32_t>(text.size())}, diagnostics_)) statements.push_back(std::move(s));
      diagnostics_.stop_if_errors();
    }
    const std::optional<Value> v = evaluator_.run(statements, f);
    diagnostics_.stop_if_errors();
    return v;
  }

  /// The mean over all positions of the cross-entropy of the token that follows, or of a later one.  Equal values are one node, so a loss that is
  /// this is known by its node, whatever it is called: nothing else has a perplexity.
  void find_cross_entropy() {
    for (int later = 0; later <= std::min<int64_t>(kLatest, program_.T - 1) && cross_entropy_ < 0; ++later) {
      Frame f = frame();
      f.hidden.clear();
      f.calls = 1;  // values keep the names and places that the model gives them
      for (const char* name : {"logits", "targets"}) f.vars[name] = model_.vars.at(name);
      const std::string ahead = std::to_string(later), nll = "logsumexp(v: logits[b,t,v]) - logits[b,t,targets[b,t" + (later > 0 ? "+" + ahead : "") + "]]";
      const std::optional<Value> v = run("cross-entropy", {later == 0 ? "nll_[b,t] = " + nll : "nll_ = mean(b, t | t < T - " + ahead + ": " + nll + ")"}, f);
      const NodeId node = evaluator_.mean_of_all(*v).node;
      const std::vector<TermDef>& losses = program_.file.losses;
      for (size_t i = 0; i < losses.size(); ++i) {
        const auto is_it = [&](const Output& o) { return o.name == "loss." + losses[i].name && o.node == node; };
        const bool is_cross_entropy = std::any_of(nodes_.graph.outputs.begin(), nodes_.graph.outputs.end(), is_it);
        if (is_cross_entropy && (cross_entropy_ < 0 || losses[i].name == "ce")) cross_entropy_ = static_cast<int64_t>(i);
      }
    }
  }

  bool reads_targets(NodeId value) const {
    const std::vector<NodeId> needed = needed_by(nodes_.graph, {value});
    return std::any_of(needed.begin(), needed.end(), [&](NodeId id) { return nodes_.graph[id].op == Op::Input && nodes_.graph[id].text == "targets"; });
  }

  void add_head(Frame& f) {
    const std::optional<Value> v = run("--head", {"head_[b,t] = " + head_, "with_head_ = concat(logits, stack(head_))"}, f);
    if (!v || v->features.size() != 1 || v->features[0].size != program_.V + 1) {
      diagnostics_.error(program_.file.section("model"), "--head: '" + head_ + "' must be one number for each position");
      return;
    }
    if (reads_targets(v->node)) {
      diagnostics_.error(program_.file.section("model"), "--head: '" + head_ + "' depends on 'targets', the tokens that are to be chosen; while a text is made they are not known");
      return;
    }
    for (Output& o : nodes_.graph.outputs) {
      if (o.name == "logits") o.node = nodes_.spread(nodes_.to_real(v->node), {evaluator_.batch(), evaluator_.positions(), v->features[0].axis});
    }
  }

  void terms(const std::vector<TermDef>& defs, const std::string& prefix, Frame& f) {
    for (const TermDef& term : defs) {
      std::optional<Value> v = evaluator_.run(term.statements, f);
      if (!v) {
        if (term.statements.empty()) diagnostics_.error(term.at, "'" + term.name + "' has no equation");
        f.poisoned.insert(term.name);
        continue;
      }
      nodes_.graph.at = term.statements.back().at;
      Value number = evaluator_.mean_of_all(*v);
      nodes_.graph.outputs.push_back({prefix + term.name, number.node});
      f.vars[term.name] = number;
      f.poisoned.erase(term.name);
    }
  }

  Program& program_;
  std::string head_;
  int64_t cross_entropy_ = -1;
  Diagnostics& diagnostics_;
  Nodes nodes_;
  Params params_;
  Evaluator evaluator_;
  Frame model_;
};

}  // namespace

Model load_model_text(const std::string& text, const std::string& name, const std::map<std::string, std::string>& overrides,
                      Diagnostics& diagnostics, const LoadOptions& options) {
  auto source = std::make_shared<SourceText>(SourceText{name, text});
  auto library_source = std::make_shared<SourceText>(SourceText{"prelude.toml", std::string(embedded::model_prelude), true});
  ModelFile library = read_model_file(library_source, true, diagnostics);
  Program program;
  program.file = read_model_file(source, false, diagnostics);
  diagnostics.stop_if_errors();
  apply_overrides(program.file, overrides, diagnostics);
  diagnostics.stop_if_errors();
  if (options.warn_of_unused) warn_of_unused(program.file, diagnostics);
  check_train(program.file, diagnostics);
  program.sizes = evaluate_sizes(program.file.sizes, diagnostics);
  diagnostics.stop_if_errors();
  take_sizes(program, diagnostics);
  add_definitions(program, library, diagnostics);
  diagnostics.stop_if_errors();

  Model model = Builder(program, options, diagnostics).run();
  if (!options.other_sizes) check_patterns(program.file, model.params, diagnostics);
  model.name = program.file.name.empty() ? std::filesystem::path(name).stem().string() : program.file.name;
  for (const auto& [size, value] : program.sizes) {
    if (!value.constant && !value.list) model.dims[size] = static_cast<int64_t>(value.values[0].value);
  }
  model.B = program.B;
  model.T = program.T;
  model.V = program.V;
  for (const TermDef& term : program.file.losses) model.losses.push_back(term.name);
  for (const TermDef& term : program.file.watch) model.watch.push_back(term.name);
  model.train = program.file.train;
  model.precision = program.file.precision;
  model.tile_rows = program.file.tile_rows;
  model.phases = program.file.phases;
  model.allow = program.file.allow;
  return model;
}

bool is_long(int64_t positions) { return static_cast<double>(positions) * static_cast<double>(positions) > static_cast<double>(kMostKnown); }

std::string read_model_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file) throw ModelError("error: cannot read the model file '" + path + "'\n");
  return text.str();
}

Model load_model(const std::string& path, const std::map<std::string, std::string>& overrides, Diagnostics& diagnostics,
                 const LoadOptions& options) {
  return load_model_text(read_model_text(path), path, overrides, diagnostics, options);
}

std::string find_model(const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_regular_file(name, ignored)) return name;
  std::vector<fs::path> folders;
  if (const char* set = std::getenv("CPUFLOW_MODELS"); set && *set) {
    if (!fs::is_directory(set, ignored)) {
      throw ModelError(std::string("error: CPUFLOW_MODELS: there is no folder '") + set + "' to look for '" + name + "' in; name a folder of model files, or unset it\n");
    }
    folders.push_back(set);
  }
#ifdef CPUFLOW_MODELS_DIR
  folders.push_back(CPUFLOW_MODELS_DIR);
#endif
  std::set<std::string> names;  // a folder may hold what another one holds
  for (const fs::path& folder : folders) {
    for (const std::string& file : {name, name + ".toml"}) {
      if (fs::is_regular_file(folder / file, ignored)) return (folder / file).string();
    }
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      if (entry.path().extension() == ".toml") names.insert(entry.path().stem().string());
    }
  }
  if (fs::is_directory(name, ignored)) throw ModelError("error: '" + name + "' is a folder; give the model file in it\n");
  names.erase("prelude");
  const std::vector<std::string> known(names.begin(), names.end());
  std::string list;
  for (const std::string& k : known) list += (list.empty() ? "" : ", ") + k;
  if (fs::is_regular_file(name + ".toml", ignored)) throw ModelError("error: there is no model file '" + name + "'; did you mean '" + name + ".toml'?\n");
  throw ModelError("error: there is no model file '" + name + "'" + suggestion(name, known) +
                       (list.empty() ? "" : "; the zoo has: " + list) + "\n");
}

}  // namespace cpuflow::frontend
