#include "modeldefs/frontend/unused.h"

#include "modeldefs/frontend/evaluator.h"

#include <algorithm>
#include <set>

namespace cpuflow::frontend {
namespace {

/// The names in a model file's expressions.
class Names {
 public:
  explicit Names(const ModelFile& file) {
    for (const SizeEntry& size : file.sizes) all(size.values);
    params(file.params);
    for (const LayerDef& layer : file.layers) {
      for (const auto& [name, standard] : layer.sizes) maybe(standard);
      params(layer.params);
      statements(layer.forward);
    }
    for (const FunctionDef& function : file.functions) {
      one(function.head);
      statements(function.body);
    }
    for (const BlockDef& block : file.blocks) {
      maybe(block.repeat);
      params(block.params);
      statements(block.forward);
    }
    statements(file.forward);
    statements(file.loss_shared);
    for (const std::vector<TermDef>* terms : {&file.losses, &file.watch}) {
      for (const TermDef& term : *terms) statements(term.statements);
    }
  }
  bool has(const std::string& name) const { return names_.count(name) > 0; }
  /// Whether an equation applies or reads a parameter, or what it consists of; of one of a block all layers may be read.
  bool uses(const std::string& path) const {
    const auto begins = [&](const std::set<std::string>& set, const std::string& name) {
      const auto it = set.lower_bound(name);
      return it != set.end() && (*it == name || it->starts_with(name + "."));
    };
    return begins(names_, path) || begins(calls_, path) || begins(names_, "layers." + path);
  }
  bool calls(const std::string& name) const { return calls_.count(name) > 0; }

 private:
  void one(const Expr& e) {
    e.walk([&](const Expr& part) {
      if (part.is(Expr::Kind::Name)) names_.insert(part.name);
      if (part.is(Expr::Kind::Call)) calls_.insert(part.name);
    });
  }
  void all(const std::vector<Expr>& list) {
    for (const Expr& e : list) one(e);
  }
  void maybe(const std::optional<Expr>& e) {
    if (e) one(*e);
  }
  void statements(const std::vector<Statement>& list) {
    for (const Statement& s : list) {
      all(s.targets);
      one(s.value);
      all(s.when);
    }
  }
  void params(const std::vector<ParamEntry>& list) {
    for (const ParamEntry& p : list) {
      maybe(p.kind);
      maybe(p.when);
      for (const InitEntry& init : p.init) one(init.value);
      all(p.range);
      params(p.inner);
    }
  }

  std::set<std::string> names_, calls_;
};

void warn_of_unused(const std::vector<ParamEntry>& params, const std::string& prefix, const Names& names, ir::Diagnostics& diagnostics) {
  for (const ParamEntry& p : params) {
    if (!p.inner.empty()) warn_of_unused(p.inner, prefix + p.key + ".", names, diagnostics);
    else if (!names.uses(prefix + p.key)) diagnostics.warning(p.at, "nothing reads '" + prefix + p.key + "'");
  }
}

}  // namespace

void warn_of_unused(const ModelFile& file, ir::Diagnostics& diagnostics) {
  const Names names(file);
  const bool once = std::any_of(file.blocks.begin(), file.blocks.end(), [](const BlockDef& block) { return !block.repeat; });
  for (const SizeEntry& size : file.sizes) {
    if (size.name == "B" || size.name == "T" || size.name == "V" || names.has(size.name)) continue;
    const bool layers = once && size.name == "L";  // the usual name of their number
    diagnostics.warning(size.at, "nothing reads '" + size.name + "'" + (layers ? "; a block runs once unless it says repeat = \"L\"" : ""));
  }
  warn_of_unused(file.params, "", names, diagnostics);
  for (const BlockDef& block : file.blocks) {
    warn_of_unused(block.params, "", names, diagnostics);
    const bool gives = std::any_of(block.forward.begin(), block.forward.end(), [](const Statement& s) { return std::any_of(s.targets.begin(), s.targets.end(), [](const Expr& t) { return target_name(t) == "x"; }); });
    if (!gives) diagnostics.warning(block.at, "no equation of '" + block.name + "' gives 'x' a value, so the block gives back what it got");
    if (!names.calls(block.name)) diagnostics.warning(block.at, "nothing runs '" + block.name + "', and its parameters are not there; an equation of the model does, as in x = " + block.name + "(x)");
  }
}

}  // namespace cpuflow::frontend
