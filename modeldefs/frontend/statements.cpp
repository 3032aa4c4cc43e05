#include "modeldefs/frontend/evaluator.h"

#include <algorithm>
#include <functional>
#include <map>

namespace cpuflow::frontend {
using namespace ir;
using Kind = Expr::Kind;

const std::string& target_name(const Expr& target) { return target.is(Kind::Index) ? target.args[0].name : target.name; }

bool is_start(const Statement& s) { return s.targets.size() == 1 && s.targets[0].is(Kind::Index) && s.targets[0].args[1].is_name("start"); }

namespace {

bool gives_value(const Statement& s, const std::string& name) {
  return !is_start(s) && std::any_of(s.targets.begin(), s.targets.end(), [&](const Expr& t) { return target_name(t) == name; });
}

/// Whether a statement reads a name at a computed place, as in h[t-1].
bool reads_elsewhere(const Statement& s, const std::string& name) {
  bool found = false;
  s.value.walk([&](const Expr& e) {
    const auto computed = [](const Expr& index) { return !index.is(Kind::Name) && !index.is(Kind::Number); };
    found = found || (e.is(Kind::Index) && e.args[0].is_name(name) && std::any_of(e.args.begin() + 1, e.args.end(), computed));
  });
  return found;
}

/// The statements with each start before the first one that reads an earlier position of its name, since the name got another value: it holds wherever it stands.
/// `has_value`: whether a name has one before all of them.
std::vector<Statement> starts_first(std::vector<Statement> statements, const std::function<bool(const std::string&)>& has_value) {
  std::map<std::string, SourceLoc> starts;
  for (size_t k = 0; k < statements.size(); ++k) {
    if (!is_start(statements[k])) continue;
    const Expr& target = statements[k].targets[0];
    const std::string& name = target_name(target);
    if (const auto [known, fresh] = starts.emplace(name, target.at); !fresh && statements[k].when.empty()) throw Fault{target.at, "'" + name + "' has a start already", {{known->second, "it stands here"}}};
    size_t first = 0;
    bool valued = has_value(name);
    for (size_t j = 0; j < k; ++j) {
      if (!gives_value(statements[j], name)) continue;
      if (valued) first = j + 1;  // what is read above is another value
      valued = true;
    }
    while (first < k && !reads_elsewhere(statements[first], name)) ++first;
    for (size_t j = first; j < k; ++j) {
      statements[k].value.walk([&](const Expr& e) {
        if (e.is(Kind::Name) && gives_value(statements[j], e.name))
          throw Fault{e.at, "the start of '" + name + "' must be known where '" + name + "' is first read, and '" + e.name + "' gets its value behind that: compute it before", {{statements[first].at, "'" + name + "' is read here"}}};
      });
    }
    std::rotate(statements.begin() + static_cast<long>(first), statements.begin() + static_cast<long>(k), statements.begin() + static_cast<long>(k) + 1);
  }
  return statements;
}

}  // namespace

std::optional<Value> Evaluator::run(const std::vector<Statement>& written, Frame& f) {
  std::vector<Statement> statements;
  try {
    statements = starts_first(written, [&](const std::string& name) { return f.vars.count(name) > 0; });
  } catch (const Fault& fault) {
    if (f.report == nullptr) throw;
    fault.report(*f.report);
    for (const Statement& s : written) poison(s, f);
    return std::nullopt;
  }
  std::optional<Value> value;
  for (size_t i = 0; i < statements.size(); ++i) {
    const Statement& s = statements[i];
    size_t last = i;
    try {
      // What library functions compute stands where they are called.
      if (f.calls == 0) nodes_.graph.at = s.at;
      if (!s.when.empty() && size_of(s.when[0], f) == 0) {
        for (const Expr& t : s.targets) f.left_out[target_name(t)] = s.at;
        continue;
      }
      std::optional<size_t> end = recurrence_end(statements, i, f);
      if (!end) {
        value = assign(s, f);
        continue;
      }
      last = *end;
      std::vector<const Statement*> group;
      for (size_t k = i; k <= last; ++k) {
        if (statements[k].when.empty() || size_of(statements[k].when[0], f) != 0) group.push_back(&statements[k]);
      }
      recur(group, f);
    } catch (const Fault& fault) {
      if (f.report == nullptr) throw;
      fault.report(*f.report);
      for (size_t k = i; k <= last; ++k) poison(statements[k], f);
      value.reset();
    }
    i = last;
  }
  return value;
}

/// After an error: what uses these names says nothing.
void Evaluator::poison(const Statement& s, Frame& f) {
  for (const Expr& t : s.targets) {
    f.poisoned.insert(target_name(t));
    f.vars.erase(target_name(t));
  }
}

void Evaluator::store(const std::string& name, const Value& v, const SourceLoc& at, Frame& f) {
  if (f.calls == 0 && nodes_[v.node].name.empty() && nodes_[v.node].op != Op::Constant)
    nodes_.graph.set_name(v.node, name, nodes_[v.node].loc);
  f.defined[name] = at;
  f.poisoned.erase(name);
  if (f.recurrence != nullptr) {
    auto it = f.recurrence->names.find(name);
    if (it != f.recurrence->names.end()) {
      it->second.now = v;
      return;
    }
  }
  f.vars[name] = v;
}

/// Throws where a name means something that equations give no value.
void Evaluator::check_target(const Expr& target, const Frame& f) const {
  const std::string& name = target_name(target);
  const bool library = f.calls > 0;
  if ((f.index.count(name) > 0 && f.hidden.count(name) == 0) || (name == "b" && f.in_block)) throw Fault{target.at, "value '" + name + "' has the name of an index"};
  if (f.params != nullptr && f.params->items.count(name) > 0)
    throw Fault{target.at, "'" + name + "' is a parameter, it cannot be given a value", {{f.params->items.at(name).at, "it stands here"}}};
  if (!library && f.sizes != nullptr && f.sizes->count(name) > 0) throw Fault{target.at, "'" + name + "' is a size, it cannot be given a value"};
}

Value Evaluator::assign(const Statement& s, Frame& f) {
  f.targets.clear();
  if (s.targets.empty()) return evaluate(s.value, f);
  for (const Expr& target : s.targets) f.targets.push_back(target_name(target));
  bool indexed = std::any_of(s.targets.begin(), s.targets.end(), [](const Expr& t) { return t.is(Kind::Index); });
  if (indexed) {
    if (s.targets.size() != 1) throw Fault{s.at, "an equation with indices gives one name a value; write one equation for each"};
    const Expr& target = s.targets[0];
    check_target(target, f);
    Value v = bind(s, target, f);
    if (!is_start(s)) store(target_name(target), v, target.at, f);
    return v;
  }
  std::vector<Value> values = evaluate_many(s.value, f);
  if (values.size() != s.targets.size()) {
    throw Fault{s.at, std::to_string(s.targets.size()) + (s.targets.size() == 1 ? " name for " : " names for ") +
                          std::to_string(values.size()) + (values.size() == 1 ? " value" : " values")};
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const Expr& t = s.targets[i];
    if (!t.is(Kind::Name)) throw Fault{t.at, "functions are defined in [functions]"};
    check_target(t, f);
    store(t.name, values[i], t.at, f);
  }
  return values.back();
}

Value Evaluator::mean_of_all(const Value& v) {
  Axes all = nodes_[v.node].axes;
  NodeId node = nodes_.to_real(v.node);
  if (!all.empty())
    node = nodes_.arithmetic(Op::Div, nodes_.reduce(Op::Sum, node, all), nodes_.real(static_cast<double>(element_count(all))));
  return {node, {}, {}};
}

}  // namespace cpuflow::frontend
