// Functions of the model file and of the library, built-in ones, and layers applied to values.
#include "modeldefs/frontend/evaluator.h"

#include <algorithm>

namespace cpuflow::frontend {
using namespace ir;
using Kind = Expr::Kind;

namespace {

// Functions and layers end somewhere.
constexpr int kMostCalls = 40;  // within each other
constexpr int64_t kMostCallsInAll = 100000;

}  // namespace

Value Evaluator::call(const Expr& e, Frame& f) {
  if (f.poisoned.count(e.name) > 0) throw Fault{e.at, ""};
  if (f.params != nullptr) {
    auto it = f.params->items.find(e.name);
    if (it != f.params->items.end()) {
      if (!it->second.layer || !it->second.layer->def->has_forward) {
        throw Fault{e.at, "'" + e.name + "' is a value, it cannot be applied", {{it->second.at, "it stands here"}}};
      }
      return apply_layer(*it->second.layer, e, f);
    }
  }
  if (auto it = program_.blocks.find(e.name); it != program_.blocks.end()) {
    if (e.args.size() != 1 || !e.named.empty()) throw Fault{e.at, "a block takes one value, as in " + e.name + "(x)"};
    return run_block(*it->second, evaluate(e.args[0], f), e, f);
  }
  if (auto it = program_.functions.find(e.name); it != program_.functions.end()) return call_function(*it->second, e, f);
  if (!e.named.empty()) throw Fault{e.named[0].second.at, "'" + e.name + "' has no argument named '" + e.named[0].first + "'"};
  if (e.name == "where") return where(e, f);
  if (e.name == "split") throw Fault{e.at, "split gives several values: write a, b = split(..)"};
  if (std::optional<Value> v = shape_call(e, f)) return *v;
  if (std::find(builtin_names().begin(), builtin_names().end(), e.name) != builtin_names().end()) {
    std::vector<Value> args;
    for (const Expr& a : e.args) args.push_back(evaluate(a, f));
    if (std::optional<Value> v = elementwise_call(e, args, f)) return *v;
  }
  check_present(e.name, e.at, f);
  std::vector<std::string> known = builtin_names();
  for (const auto& [name, def] : program_.functions) known.push_back(name);
  for (const auto& [name, def] : program_.blocks) known.push_back(name);
  if (f.params != nullptr) {
    for (const auto& [name, item] : f.params->items) known.push_back(name);
  }
  const auto inner = std::find_if(known.begin(), known.end(), [&](const std::string& name) { return name.starts_with(e.name + "."); });
  if (inner != known.end()) throw Fault{e.at, "'" + e.name + "' is a group of parameters, one of them '" + *inner + "'; a layer with options is a table with its 'kind', as in W = { kind = \"linear(d, d)\" }"};
  const bool is_kind = program_.layers.count(e.name) > 0;
  throw Fault{e.at, is_kind ? "'" + e.name + "' is a kind of layer: one of them is named among the parameters, as in my_" + e.name + " = \"" + e.name + "(..)\", and applied by that name"
                            : "unknown function or layer '" + e.name + "'" + hint(e.name, known, names(f))};
}

Value Evaluator::where(const Expr& e, Frame& f) {
  if (e.args.size() != 3) throw Fault{e.at, "where takes a condition and two values, as in where(t > 0, a, b)"};
  Value chosen = evaluate(e.args[0], f);
  if (!chosen.zero) chosen.node = nodes_.to_bool(chosen.node);
  std::vector<Value> all = {chosen};
  // A side is not read where it is not chosen: its reads may be out of range there.
  for (size_t side = 1; side <= 2; ++side) {
    const FrameScope scope(f);
    f.conditions.push_back(side == 1 ? chosen.node : nodes_.negation(nodes_.to_bool(chosen.node)));
    all.push_back(evaluate(e.args[side], f));
  }
  return elementwise(e, all, f, [&](const std::vector<NodeId>& n) {
    bool integers = nodes_.is(n[1], DType::Int) && nodes_.is(n[2], DType::Int);
    NodeId a = integers ? n[1] : nodes_.to_real(n[1]), b = integers ? n[2] : nodes_.to_real(n[2]);
    return nodes_.select(nodes_.to_bool(n[0]), a, b);
  });
}

std::vector<Value> Evaluator::evaluate_many(const Expr& e, Frame& f) {
  std::vector<Value> out;
  if (e.is(Kind::Tuple)) {
    for (const Expr& a : e.args) out.push_back(evaluate(a, f));
    return out;
  }
  bool shadowed = program_.functions.count("split") > 0 || program_.blocks.count("split") > 0 ||
                  (f.params != nullptr && f.params->items.count("split") > 0);
  if (e.is(Kind::Call) && e.name == "split" && !shadowed) return split(e, f);
  return {evaluate(e, f)};
}

Value Evaluator::call_function(const FunctionDef& def, const Expr& e, Frame& f) {
  if (f.calls >= kMostCalls) throw Fault{e.at, "functions call each other too deeply here"};
  if (++called_ > kMostCallsInAll) throw Fault{e.at, "functions are called more than " + std::to_string(kMostCallsInAll) + " times: one that calls another twice, and so on, doubles each time; give the value a name and read that twice"};
  Frame inner;
  inner.hidden.clear();
  SizeMap library;
  library["T"] = single_size(program_.T);
  inner.sizes = def.library ? &library : &program_.sizes;
  inner.index = f.index;
  inner.conditions = f.conditions;
  inner.base = value_base(f);
  inner.depth = f.depth;
  inner.in_block = f.in_block;
  inner.calls = f.calls + 1;
  auto give = [&](const std::string& name, const Value& v) {
    inner.vars[name] = v;
    inner.hidden.insert(v.lead.begin(), v.lead.end());
  };
  auto named = [&](const std::string& name) -> const Expr* {
    for (const auto& [key, value] : e.named) {
      if (key == name) return &value;
    }
    return nullptr;
  };
  std::vector<std::string> known;
  for (size_t i = 0; i < def.head.args.size(); ++i) {
    const Expr& p = def.head.args[i];
    const std::string& name = p.is(Kind::Index) ? p.args[0].name : p.name;
    known.push_back(name);
    const Expr* given = i < e.args.size() ? &e.args[i] : named(name);
    if (i < e.args.size() && named(name) != nullptr) throw Fault{named(name)->at, "'" + name + "' is given twice", {{e.args[i].at, "given here"}}};
    if (given == nullptr) throw Fault{e.at, "'" + def.name + "' needs '" + name + "'", {{def.at, "it is defined here"}}};
    give(name, evaluate(*given, f));
    for (size_t k = 1; k < p.args.size(); ++k) {
      if (p.is(Kind::Index)) inner.written[name].insert(p.args[k].name);
    }
  }
  if (e.args.size() > def.head.args.size()) {
    throw Fault{e.at,
                "'" + def.name + "' takes " + std::to_string(def.head.args.size()) + (def.head.args.size() == 1 ? " value" : " values") +
                    ", not " + std::to_string(e.args.size()),
                {{def.at, "it is defined here"}}};
  }
  for (const auto& [name, standard] : def.head.named) {
    known.push_back(name);
    const Expr* given = named(name);
    give(name, given != nullptr ? evaluate(*given, f) : evaluate(standard, inner));
  }
  for (const auto& [name, value] : e.named) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw Fault{
          value.at, "'" + def.name + "' has no argument named '" + name + "'" + suggestion(name, known), {{def.at, "it is defined here"}}};
    }
  }
  try {
    run(def.body, inner);
  } catch (Fault& fault) {
    if (!fault.message.empty()) fault.notes.emplace_back(e.at, "in " + def.name + ", called here");
    throw;
  }
  return inner.vars.at(def.name);
}

Value Evaluator::apply_layer(const LayerInstance& layer, const Expr& e, Frame& f) {
  if (f.calls >= kMostCalls) throw Fault{e.at, "layers apply each other too deeply here"};
  if (e.args.size() != 1 || !e.named.empty()) throw Fault{e.at, "a layer takes one value, as in " + e.name + "(x)"};
  Value x = evaluate(e.args[0], f);
  Frame inner;
  inner.base = value_base(f);
  if (x.zero && !layer.arguments.empty()) {  // a state before the first position, of the layer's first size
    uint32_t size = static_cast<uint32_t>(layer.arguments[0]);
    x = Value{nodes_.real(0), {}, {{size, feature_axis(inner.base, 0, size)}}};
  }
  inner.hidden.insert(x.lead.begin(), x.lead.end());
  inner.hidden.erase("t");
  inner.vars["x"] = x;
  inner.params = layer.params.get();
  inner.sizes = &layer.sizes;
  if (auto t = f.index.find("t"); t != f.index.end()) inner.index["t"] = t->second;
  inner.depth = f.depth;
  inner.in_block = f.in_block;
  inner.calls = f.calls + 1;
  try {
    run(layer.def->forward, inner);
  } catch (Fault& fault) {
    if (!fault.message.empty()) fault.notes.emplace_back(e.at, "in " + layer.def->name + ", applied here");
    throw;
  }
  return inner.vars.at("x");
}

}  // namespace cpuflow::frontend
