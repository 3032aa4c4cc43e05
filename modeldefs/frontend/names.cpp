// Names and numbers, and operators of values: what a single expression means.
#include "modeldefs/frontend/evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace cpuflow::frontend {
using namespace ir;
using Kind = Expr::Kind;

namespace {

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
double checked_integer(double v, const SourceLoc& at) {
  if (std::abs(v) > kLargestInteger) throw Fault{at, "integers are exact to 16777216 only; a real number is written with a point or exponent, as in 3e9"};
  return v;
}

/// Throws where a number is none of float32: compiled code would have infinity or 0 in its place.
double checked_real(double v, const SourceLoc& at) {
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
  const Interval range = nodes_.statics.interval(integer);
  const double most = std::max(-range.low, range.high);
  if (most <= kLargestInteger || most > 1e100 || !nodes_.statics.is_whole(integer)) return;  // unbounded: of a recurrence
  throw Fault{e.at, "this integer may reach " + std::to_string(static_cast<int64_t>(std::min(most, 9e18))) + ", and integers are exact to 16777216: % on its parts keeps it small"};
}

std::vector<std::string> Evaluator::names(const Frame& f) const {
  std::vector<std::string> out;
  for (const auto& [name, value] : f.vars) out.push_back(name);
  for (const auto& [name, value] : f.around) out.push_back(name);
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

Value Evaluator::constant(const SizeValue& size, const SourceLoc& at) {
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

Value Evaluator::layer_value(const ParamItem& item, const SourceLoc& at) {
  if (item.value) return *item.value;
  const LayerInstance& layer = *item.layer;
  if (layer.def->has_forward || layer.params->items.size() != 1) {
    throw Fault{at, "a " + layer.def->name + " is applied to something, as in W(x), it is not a value", {{item.at, "it stands here"}}};
  }
  return *layer.params->items.begin()->second.value;
}

/// Variables, parameters, sizes and the other names that have a value; nothing for unknown ones.
std::optional<Value> Evaluator::named_value(const std::string& name, const SourceLoc& at, Frame& f) {
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
  if (auto it = f.around.find(name); it != f.around.end()) return it->second;
  return std::nullopt;
}

/// Throws for a parameter, or one of a sub-module, whose `when` does not hold here.
void Evaluator::check_present(const std::string& name, const SourceLoc& at, const Frame& f) const {
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

Value Evaluator::lookup(const std::string& name, const SourceLoc& at, Frame& f) {
  if (std::optional<Value> v = named_value(name, at, f)) return *v;
  check_present(name, at, f);
  if (std::find(f.targets.begin(), f.targets.end(), name) != f.targets.end())
    throw Fault{at, "'" + name + "' has no value yet; a recurrence reads an earlier position, as in " + name + "[t-1]"};
  const auto later = std::find_if(program_.file.losses.begin(), program_.file.losses.end(), [&](const TermDef& term) { return term.name == name; });
  if (!f.in_block && later != program_.file.losses.end()) throw Fault{at, "the term '" + name + "' stands below; terms use terms above them", {{later->at, "here"}}};
  if (const auto out = f.left_out.find(name); out != f.left_out.end())
    throw Fault{at, "'" + name + "' has no value here: the `if` of its equation does not hold, and nothing but 'x' goes from one layer to the next", {{out->second, "it would get one here"}}};
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
  Axes from, to;
  for (size_t k = 0; k < v.features.size(); ++k) {
    Dim& dim = v.features[k];
    Axis axis = feature_axis(base, k, dim.size);
    if (dim.size == 1 || dim.axis.kind != AxisKind::Feature || dim.axis == axis) continue;
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

}  // namespace cpuflow::frontend
