#include "modeldefs/frontend/evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace cpuflow::frontend {

using ir::DType;
using ir::NodeId;
using ir::Op;
using Kind = Expr::Kind;

namespace {

// Functions and layers end somewhere.
constexpr int kMostCalls = 40;  // within each other
constexpr int64_t kMostCallsInAll = 100000;

const std::vector<std::string> kBuiltins = {
    "exp",   "log",     "sqrt",   "tanh", "sin",       "cos",   "sigmoid", "erf",  "softplus", "relu",      "abs",     "round",
    "floor", "ceil",    "stop",   "max",  "min",       "clamp", "where",   "topk", "argmax",   "onehot",    "concat",  "stack",
    "split", "reshape", "cumsum", "size", "transpose", "sum",   "mean",    "prod", "softmax",  "logsumexp", "randint", "dropout"};

Op comparison(const std::string& op) {
  if (op == "==") return Op::Eq;
  if (op == "!=") return Op::Ne;
  return op == "<" || op == ">" ? Op::Lt : Op::Le;
}

// Integers are kept as float32 where they are stored.
constexpr double kLargestInteger = 16777216;

/// Throws where a whole number is too large for an integer.
double checked_integer(double v, const ir::SourceLoc& at) {
  if (std::abs(v) > kLargestInteger) throw Fault{at, "integers are exact to 16777216 only; a real number is written with a point or exponent, as in 3e9"};
  return v;
}

/// Throws where a number is none of float32: compiled code would have infinity or 0 in its place.
double checked_real(double v, const ir::SourceLoc& at) {
  const double size = std::abs(v);
  if (size > std::numeric_limits<float>::max()) throw Fault{at, "numbers are float32, which end at 3.4e38"};
  if (size != 0 && size < std::numeric_limits<float>::min()) throw Fault{at, "numbers are float32, of which the smallest is 1.2e-38: this one would be 0"};
  return v;
}

}  // namespace

const std::vector<std::string>& builtin_names() { return kBuiltins; }

Value Evaluator::evaluate(const Expr& e, Frame& f) {
  switch (e.kind) {
    case Kind::Number: {
      double v = std::strtod(e.name.c_str(), nullptr);
      bool integer = e.name.find_first_of(".eE") == std::string::npos;
      return {integer ? nodes_.number(checked_integer(v, e.at), DType::Int) : nodes_.real(checked_real(v, e.at)), {}, {}};
    }
    case Kind::Name:
      return whole(e, f);
    case Kind::Negate:
      return elementwise(e, {evaluate(e.args[0], f)}, f, [&](const std::vector<NodeId>& n) { return nodes_.unary(Op::Neg, n[0]); });
    case Kind::Binary:
    case Kind::Compare:
      return operation(e, f);
    case Kind::Call:
      return call(e, f);
    case Kind::Index:
      return read(e, f);
    case Kind::Reduce:
      return reduce(e, f);
    case Kind::String:
      throw Fault{e.at, "a text is not a value"};
    case Kind::In:
    case Kind::Range:
      throw Fault{e.at, "a range belongs to an index, as in sum(i in 0..8: x[i])"};
    case Kind::List:
      throw Fault{e.at, "a list stands only where sizes do, as in split(x, [2, 3])"};
    case Kind::Tuple:
      throw Fault{e.at, "this is several values, one is needed here"};
  }
  throw Fault{e.at, "this is not a value"};
}

Value Evaluator::operation(const Expr& e, Frame& f) {
  Value a = evaluate(e.args[0], f), b = evaluate(e.args[1], f);
  const std::string& op = e.name;
  if (op == "@") return matmul(e, a, b, f);
  const Value out = elementwise(e, {a, b}, f, [&](const std::vector<NodeId>& n) {
    if (e.is(Kind::Compare)) {
      bool turned = op == ">" || op == ">=";
      return nodes_.compare(comparison(op), n[turned ? 1 : 0], n[turned ? 0 : 1]);
    }
    if (op == "^") return nodes_.power(n[0], n[1]);
    static const std::map<std::string, Op> operators = {{"+", Op::Add}, {"-", Op::Sub},       {"*", Op::Mul},
                                                        {"/", Op::Div}, {"//", Op::FloorDiv}, {"%", Op::Mod}};
    return nodes_.arithmetic(operators.at(op), n[0], n[1]);
  });
  if (nodes_.is(out.node, DType::Int)) check_range(e, out.node);
  return out;
}

/// An error for an integer that is known to reach numbers that are not exact.
void Evaluator::check_range(const Expr& e, NodeId integer) {
  const ir::Interval range = nodes_.statics.interval(integer);
  const double most = std::max(-range.low, range.high);
  if (most <= kLargestInteger || most > 1e100 || !nodes_.statics.is_whole(integer)) return;  // unbounded: of a recurrence
  throw Fault{e.at, "this integer may reach " + std::to_string(static_cast<int64_t>(std::min(most, 9e18))) + ", and integers are exact to 16777216: % on its parts keeps it small"};
}

std::vector<std::string> Evaluator::names(const Frame& f) const {
  std::vector<std::string> out;
  for (const auto& [name, value] : f.vars) out.push_back(name);
  if (f.params != nullptr) {
    for (const auto& [name, item] : f.params->items) out.push_back(name);
  }
  if (f.sizes != nullptr) {
    for (const auto& [name, size] : *f.sizes) out.push_back(name);
  }
  if (f.recurrence != nullptr) {
    for (const auto& [name, r] : f.recurrence->names) out.push_back(name);
  }
  return out;
}

bool Evaluator::is_named(const std::string& name, const Frame& f) const {
  return f.vars.count(name) > 0 || f.poisoned.count(name) > 0 || (f.params != nullptr && f.params->items.count(name) > 0) ||
         (f.sizes != nullptr && f.sizes->count(name) > 0) || (f.recurrence != nullptr && f.recurrence->names.count(name) > 0);
}

Value Evaluator::constant(const SizeValue& size, const ir::SourceLoc& at) {
  if (!size.list) {
    const Number& n = size.values[0];
    return {n.integer ? nodes_.number(checked_integer(n.value, at), DType::Int) : nodes_.real(n.value), {}, {}};
  }
  bool integer = std::all_of(size.values.begin(), size.values.end(), [](const Number& n) { return n.integer; });
  std::vector<double> data;
  for (const Number& n : size.values) data.push_back(n.integer ? checked_integer(n.value, at) : n.value);
  uint32_t count = static_cast<uint32_t>(data.size());
  DType type = integer ? DType::Int : DType::Real;
  Dim dim{count, feature_axis(0, 0, count)};
  NodeId node = count == 1 ? nodes_.number(data[0], type) : nodes_.graph.literal(data, dim.axis, type);
  return {node, {}, {dim}};
}

Value Evaluator::layer_value(const ParamItem& item, const ir::SourceLoc& at) {
  if (item.value) return *item.value;
  const LayerInstance& layer = *item.layer;
  if (layer.def->has_forward || layer.params->items.size() != 1) {
    throw Fault{at, "a " + layer.def->name + " is applied to something, as in W(x), it is not a value", {{item.at, "it stands here"}}};
  }
  return *layer.params->items.begin()->second.value;
}

/// Variables, parameters, sizes and the other names that have a value; nothing for unknown ones.
std::optional<Value> Evaluator::named_value(const std::string& name, const ir::SourceLoc& at, Frame& f) {
  if (f.recurrence != nullptr) {
    auto r = f.recurrence->names.find(name);
    if (r != f.recurrence->names.end()) {
      if (r->second.now) return r->second.now;
      throw Fault{at, "'" + name + "' is read before it is computed: its equation must stand above, or this step back in time, as in " + name + "[t-1]"};
    }
  }
  if (f.poisoned.count(name) > 0) throw Fault{at, ""};
  if (auto it = f.vars.find(name); it != f.vars.end()) return it->second;
  if (f.params != nullptr) {
    if (auto it = f.params->items.find(name); it != f.params->items.end()) return layer_value(it->second, at);
  }
  if (name == "layer" && f.layer) return f.layer;
  if (f.sizes != nullptr) {
    auto it = f.sizes->find(name);
    if (it != f.sizes->end()) {
      if (name == "T" && f.in_block) {
        throw Fault{at, "'T' is a size, not a number: what a block computes must not depend on where the sequence ends"};
      }
      return constant(it->second, at);
    }
  }
  if (name == "pi") return Value{nodes_.real(std::acos(-1.0)), {}, {}};
  if (name.rfind("layers.", 0) == 0) return over_layers(name.substr(7), at);
  return std::nullopt;
}

/// Throws for a parameter, or one of a sub-module, whose `when` does not hold here.
void Evaluator::check_present(const std::string& name, const ir::SourceLoc& at, const Frame& f) const {
  if (f.params == nullptr) return;
  for (const auto& [absent, entry] : f.params->absent) {
    if (name != absent && name.rfind(absent + ".", 0) != 0) continue;
    const LayerRun& run = entry.run;
    std::string where = !run.repeated   ? "here"
                        : run.count == 1 ? "in layer " + std::to_string(run.first)
                                         : "in layers " + std::to_string(run.first) + " to " + std::to_string(run.first + run.count - 1);
    throw Fault{at,
                "'" + name + "' exists only where its 'when' holds, and not " + where + "; a statement may end in 'if' and the same condition",
                {{entry.when, "this does not hold " + where}}};
  }
}

Value Evaluator::lookup(const std::string& name, const ir::SourceLoc& at, Frame& f) {
  if (std::optional<Value> v = named_value(name, at, f)) return *v;
  check_present(name, at, f);
  if (std::find(f.targets.begin(), f.targets.end(), name) != f.targets.end())
    throw Fault{at, "'" + name + "' has no value yet; a recurrence reads an earlier position, as in " + name + "[t-1]"};
  const auto later = std::find_if(program_.file.losses.begin(), program_.file.losses.end(), [&](const TermDef& term) { return term.name == name; });
  if (!f.in_block && later != program_.file.losses.end()) throw Fault{at, "the term '" + name + "' stands below; terms use terms above them", {{later->at, "here"}}};
  std::vector<std::string> known = names(f);
  for (const auto& [index, range] : f.index) known.push_back(index);
  for (const auto& [function, def] : program_.functions) known.push_back(function);
  known.insert(known.end(), kBuiltins.begin(), kBuiltins.end());
  throw Fault{at, "unknown name '" + name + "'" + hint(name, known)};
}

Value Evaluator::whole(const Expr& e, Frame& f) {
  auto index = f.index.find(e.name);
  bool is_value = f.vars.count(e.name) > 0 || (f.recurrence != nullptr && f.recurrence->names.count(e.name) > 0);
  if (index != f.index.end() && !is_value) return index_value(e.name, index->second);
  return shifted_to(lookup(e.name, e.at, f), value_base(f));
}

/// The value with its feature axes numbered from `base`.
Value Evaluator::shifted_to(Value v, unsigned base) {
  ir::Axes from, to;
  for (size_t k = 0; k < v.features.size(); ++k) {
    Dim& dim = v.features[k];
    ir::Axis axis = feature_axis(base, k, dim.size);
    if (dim.size == 1 || dim.axis.kind != ir::AxisKind::Feature || dim.axis == axis) continue;
    from.push_back(dim.axis);
    to.push_back(axis);
    dim.axis = axis;
  }
  if (!from.empty()) v.node = nodes_.rename(v.node, from, to);
  return v;
}

/// A whole number known when the model is compiled.
int64_t Evaluator::size_of(const Expr& e, Frame& f) {
  static const SizeMap none;
  return evaluate_integer(e, f.sizes != nullptr ? *f.sizes : none, [&](const Expr& part) -> std::optional<Number> {
    auto of_node = [&](const Value& v) -> Number {
      std::optional<double> n = v.features.empty() ? nodes_.statics.number(v.node) : std::nullopt;
      if (!n) throw Fault{part.at, "this is not known when the model is compiled; only sizes, constants and numbers are"};
      return {*n, !nodes_.is(v.node, DType::Real)};
    };
    if (part.is(Kind::Name) && part.name == "layer" && f.layer) {
      if (!nodes_.statics.number(f.layer->node)) throw SplitLayers();
      return of_node(*f.layer);
    }
    if (part.is(Kind::Name) && (f.vars.count(part.name) > 0 || f.poisoned.count(part.name) > 0))
      return of_node(lookup(part.name, part.at, f));
    if (part.is(Kind::Name) && f.index.count(part.name) > 0)
      throw Fault{part.at, "an index is not known when the model is compiled; a size is needed here"};
    if (part.is(Kind::Call) && part.name == "size") return of_node(evaluate(part, f));
    return std::nullopt;
  });
}

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
  if (std::find(kBuiltins.begin(), kBuiltins.end(), e.name) != kBuiltins.end()) {
    std::vector<Value> args;
    for (const Expr& a : e.args) args.push_back(evaluate(a, f));
    if (std::optional<Value> v = elementwise_call(e, args, f)) return *v;
  }
  check_present(e.name, e.at, f);
  std::vector<std::string> known = kBuiltins;
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
