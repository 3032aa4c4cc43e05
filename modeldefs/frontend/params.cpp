#include "modeldefs/frontend/params.h"

#include "codegen/abi/cache_lines.h"
#include "modeldefs/frontend/fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace cpuflow::frontend {

using codegen::ParamInfo;
using Kind = Expr::Kind;

namespace {

constexpr const char* kOfLayer = "of this layer";

// Layers made of layers end somewhere.
constexpr int kMostNested = 16;
constexpr double kMostElements = 1e9;

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

constexpr std::array<std::string_view, 5> kInits = {"normal", "uniform", "constant", "zeros", "ones"};

/// normal(mean, deviation), uniform(low, high), constant(value), zeros, ones.
ParamInfo init_of(const Expr& e, const SizeMap& sizes) {
  ParamInfo info;
  auto arguments = [&](size_t n) {
    if (!e.is(Kind::Call) || e.args.size() != n || !e.named.empty()) {
      throw Fault{e.at, "'" + e.name + "' takes " + std::to_string(n) + (n == 1 ? " number" : " numbers") + " here"};
    }
    info.init_a = evaluate_number(e.args[0], sizes).value;
    if (n > 1) info.init_b = evaluate_number(e.args[1], sizes).value;
  };
  auto refuse = [&](bool wrong, const std::string& message) {
    if (wrong) throw Fault{e.at, message};
  };
  if (e.is_name("zeros") || e.is_name("ones")) {
    info.init = ParamInfo::Init::Constant;
    info.init_a = e.name == "ones" ? 1 : 0;
    info.init_b = 0;
  } else if (e.name == "normal") {
    arguments(2);
    refuse(info.init_b < 0, "the deviation of normal(mean, deviation) is at least 0");
  } else if (e.name == "uniform") {
    info.init = ParamInfo::Init::Uniform;
    arguments(2);
    refuse(info.init_a > info.init_b, "uniform(low, high) has a 'low' of at most 'high'");
  } else if (e.name == "constant") {
    info.init = ParamInfo::Init::Constant;
    arguments(1);
    info.init_b = 0;
  } else {
    throw Fault{e.at, "'init' must be normal(mean, deviation), uniform(low, high), constant(value), zeros or ones"};
  }
  return info;
}

bool mentions(const Expr& e, const std::string& name) {
  bool found = false;
  e.walk([&](const Expr& part) { found = found || (part.is(Expr::Kind::Name) && part.name == name); });
  return found;
}

}  // namespace

/// Where entries are added: names, sizes, and who hears of errors.
struct Params::Place {
  std::string path;    // in the equations
  std::string prefix;  // in the checkpoint
  const SizeMap& sizes;
  const LayerRun& run;
  ParamScope& scope;
  ir::Diagnostics& diagnostics;
  int depth;
};

void Params::add(const std::vector<ParamEntry>& entries, const std::string& prefix, const SizeMap& sizes, const LayerRun& run,
                 ParamScope& scope, ir::Diagnostics& diagnostics) {
  add_all(entries, Place{"", prefix, sizes, run, scope, diagnostics, 0}, nullptr);
}

bool Params::present(const ParamEntry& entry, const SizeMap& sizes) const {
  return !entry.when || evaluate_number(*entry.when, sizes).value != 0;
}

void Params::add_all(const std::vector<ParamEntry>& entries, const Place& place, const ParamOptions* outer) {
  bool first = true;
  for (const ParamEntry& entry : entries) {
    try {
      if (!present(entry, place.sizes)) {
        place.scope.absent[place.path + entry.key] = {entry.when->at, place.run};
        continue;
      }
      add_entry(entry, place, options_of(entry, place.sizes, outer), first);
    } catch (const Fault& fault) {
      fault.report(place.diagnostics);
    }
    first = false;
  }
}

ParamOptions Params::options_of(const ParamEntry& entry, const SizeMap& sizes, const ParamOptions* outer) const {
  ParamOptions out;
  if (outer != nullptr) out = *outer;
  out.of_layer = outer != nullptr;
  if (!entry.trainable) out.trainable = false;
  for (const InitEntry& init : entry.init) {
    // What the user of a layer says comes before what the layer says.
    if (outer == nullptr || outer->init.count(entry.key) == 0)
      out.init[outer == nullptr ? init.parameter : entry.key] = init_of(init.value, sizes);
  }
  if (!entry.range.empty()) {
    out.range = {evaluate_number(entry.range[0], sizes).value, evaluate_number(entry.range[1], sizes).value};
    if (out.range->first > out.range->second) throw Fault{entry.range[0].at, "'range' is the lowest number and the highest, and here the lowest is above the highest"};
  }
  return out;
}

const LayerDef* Params::layer_def(const Expr& kind) const {
  auto it = layers_.find(kind.name);
  if (it != layers_.end()) return it->second;
  std::vector<std::string> known = {"vector", "scalar", "tensor"};
  for (const auto& [name, def] : layers_) known.push_back(name);
  if (std::find(kInits.begin(), kInits.end(), kind.name) != kInits.end()) {
    throw Fault{kind.at, "'" + kind.name + "' says how a parameter begins, and not what it is: W = { kind = \"linear(d, d)\", init = \"zeros\" }"};
  }
  std::string near = suggestion(kind.name, known), all;
  std::sort(known.begin(), known.end());
  for (const std::string& name : known) all += (all.empty() ? "" : ", ") + name;
  throw Fault{kind.at, "unknown layer '" + kind.name + "'" + (near.empty() ? "; there are " + all : near)};
}

std::vector<int64_t> Params::shape_of(const Expr& kind, const SizeMap& sizes) const {
  size_t least = kind.name == "scalar" ? 0 : 1, most = kind.name == "tensor" ? 8 : least;
  if (kind.args.size() < least || kind.args.size() > most || !kind.named.empty()) {
    throw Fault{kind.at, kind.name == "scalar"   ? "a scalar has no sizes"
                         : kind.name == "vector" ? "a vector has one size, as in vector(d)"
                                                 : "a tensor has 1 to 8 sizes"};
  }
  std::vector<int64_t> shape;
  double count = 1;
  for (const Expr& a : kind.args) {
    shape.push_back(evaluate_integer(a, sizes));
    if (shape.back() < 1) throw Fault{a.at, "a size is at least 1, this is " + std::to_string(shape.back())};
    count *= static_cast<double>(shape.back());
  }
  if (count > kMostElements) throw Fault{kind.at, "this parameter has " + shape_text(shape) + " elements: more than 1e9"};
  return shape;
}

void Params::add_entry(const ParamEntry& entry, const Place& place, const ParamOptions& options, bool first) {
  std::string full = entry.name.empty() ? place.prefix + entry.key : entry.name;
  std::string path = place.path + entry.key;
  if (!entry.kind) {
    Place inner{path + ".", full + ".", place.sizes, place.run, place.scope, place.diagnostics, place.depth + 1};
    if (inner.depth > kMostNested) throw Fault{entry.at, "parameters nest too deeply"};
    add_all(entry.inner, inner, nullptr);
    return;
  }
  Place at{path, full, place.sizes, place.run, place.scope, place.diagnostics, place.depth};
  const std::string& kind = entry.kind->name;
  if (kind == "tensor" || kind == "vector" || kind == "scalar") {
    place.scope.items[path] = ParamItem{entry.at, tensor(entry, at, options, first), nullptr};
  } else {
    add_layer(entry, at, options, *layer_def(*entry.kind));
  }
}

namespace {

/// The parameter that a size of the layer switches on, as `biased` does with linear's bias; null for other sizes.
const ParamEntry* option_of(const LayerDef& def, const std::string& size) {
  const auto it = std::find_if(def.params.begin(), def.params.end(), [&](const ParamEntry& p) { return p.when && mentions(*p.when, size); });
  return it == def.params.end() ? nullptr : &*it;
}

/// How the kind of a layer is written: `linear(n, m) or linear(n, m, bias)`.
std::string signature(const LayerDef& def) {
  std::string sizes, text;
  for (const auto& [name, standard] : def.sizes) {
    const ParamEntry* option = standard ? option_of(def, name) : nullptr;
    if (option != nullptr) text = (text.empty() ? "" : text + " or ") + def.name + (sizes.empty() ? "" : "(" + sizes + ")");
    sizes += (sizes.empty() ? "" : ", ") + (option != nullptr ? option->key : standard ? name + " = " + standard->at.text() : name);
  }
  return (text.empty() ? "" : text + " or ") + def.name + (sizes.empty() ? "" : "(" + sizes + ")");
}

}  // namespace

LayerInstance Params::instance(const Expr& kind, const LayerDef& def, const SizeMap& sizes) const {
  LayerInstance out;
  out.def = &def;
  out.sizes["T"] = single_size(positions_);
  if (kind.args.size() > def.sizes.size() || !kind.named.empty()) throw Fault{kind.at, "this layer is written " + signature(def)};
  for (size_t i = 0; i < def.sizes.size(); ++i) {
    const auto& [name, standard] = def.sizes[i];
    if (i >= kind.args.size() && !standard) throw Fault{kind.at, "this layer is written " + signature(def)};
    int64_t size = 0;
    if (i < kind.args.size()) {
      const Expr& a = kind.args[i];
      // linear(n, m, bias): a parameter's name says that there is one.
      bool named =
          a.is(Kind::Name) && std::any_of(def.params.begin(), def.params.end(), [&](const ParamEntry& p) { return p.key == a.name; });
      size = named ? 1 : evaluate_integer(a, sizes);
      const ParamEntry* option = option_of(def, name);
      if (size != 0 && size != 1 && option != nullptr) {
        throw Fault{a.at, "this argument of '" + def.name + "' says whether it has a " + option->key + ": write '" + option->key + "', or leave it out"};
      }
    } else {
      size = evaluate_integer(*standard, out.sizes);
    }
    out.sizes[name] = single_size(size);
    out.arguments.push_back(size);
  }
  return out;
}

void Params::add_layer(const ParamEntry& entry, const Place& place, const ParamOptions& options, const LayerDef& def) {
  auto layer = std::make_shared<LayerInstance>(instance(*entry.kind, def, place.sizes));
  layer->params = std::make_shared<ParamScope>();
  for (const auto& [name, init] : options.init) {
    bool known =
        name.empty() || std::any_of(def.params.begin(), def.params.end(), [&, &name = name](const ParamEntry& p) { return p.key == name; });
    if (!known && place.depth == 0) throw Fault{entry.at, "'" + def.name + "' has no parameter '" + name + "' to initialise"};
  }
  Place inner{"", place.prefix + ".", layer->sizes, place.run, *layer->params, place.diagnostics, place.depth + 1};
  if (inner.depth > kMostNested) throw Fault{entry.at, "layers nest too deeply"};
  const size_t before = place.diagnostics.all().size();
  add_all(def.params, inner, &options);
  if (place.diagnostics.all().size() > before) place.diagnostics.note(entry.at, kOfLayer);
  for (const auto& [name, item] : layer->params->items) place.scope.items[place.path + "." + name] = item;
  place.scope.items[place.path] = ParamItem{entry.at, std::nullopt, layer};
}

Value Params::tensor(const ParamEntry& entry, const Place& place, const ParamOptions& options, bool first) {
  Made made;
  made.at = entry.at;
  made.run = place.run;
  made.info.shape = shape_of(*entry.kind, place.sizes);
  if (made.info.shape.size() < 2) {
    made.info.init = ParamInfo::Init::Constant;
    made.info.init_b = 0;
  }
  // The initialiser of an entry is its own, or that of the layer's first parameter.
  auto own = first || !options.of_layer ? options.init.find("") : options.init.end();
  if (own == options.init.end()) own = options.init.find(entry.key);
  if (own != options.init.end()) {
    made.info.init = own->second.init;
    made.info.init_a = own->second.init_a;
    made.info.init_b = own->second.init_b;
  }
  if (options.range) std::tie(made.info.low, made.info.high) = *options.range;
  made.info.trainable = options.trainable;

  const LayerRun& run = place.run;
  const bool of_layers = place.prefix.find("{layer}") != std::string::npos, per_layer = run.count > 1 && of_layers;
  if (!per_layer) made.run = LayerRun{of_layers ? run.first : 0, 1, run.repeated, {}};  // without, all layers have one
  made.name = per_layer ? place.prefix : ir::with_layer(place.prefix, run.first);

  Value value;
  ir::Node node;
  node.op = ir::Op::Param;
  node.text = per_layer ? ir::from_layer(made.name, run.first) : made.name;
  if (per_layer) node.axes.push_back(run.axis);
  for (size_t k = 0; k < made.info.shape.size(); ++k) {
    uint32_t size = static_cast<uint32_t>(made.info.shape[k]);
    ir::Axis axis{ir::AxisKind::Feature, static_cast<uint16_t>(k), size};
    value.features.push_back({size, axis});
    if (size > 1) node.axes.push_back(axis);
  }
  // Two entries with one name are one tensor.
  for (const Made& other : made_) {
    bool overlap =
        other.name == made.name && other.run.first < made.run.first + made.run.count && made.run.first < other.run.first + other.run.count;
    if (!overlap) continue;
    auto fault = [&](const std::string& what) { return Fault{entry.at, what, {{other.at, "its other place"}}}; };
    if (other.info.shape != made.info.shape) {
      throw fault("'" + made.name + "' is " + shape_text(made.info.shape) + " here and " + shape_text(other.info.shape) + " elsewhere");
    }
    if (other.run.first != made.run.first || other.run.count != made.run.count) {
      throw fault("'" + made.name + "' has other layers here than elsewhere, and both are one tensor; give one of the two blocks another path");
    }
    made.name.clear();
    if (per_layer) node.axes[0] = other.run.axis;
  }
  nodes_.graph.at = entry.at;
  const ir::Axes layers = per_layer ? ir::Axes{node.axes[0]} : ir::Axes{};
  value.node = nodes_.graph.add(std::move(node));
  nodes_.graph.set_name(value.node, place.prefix, entry.at);
  if (per_layer && layers[0] != run.axis) value.node = nodes_.rename(value.node, layers, {run.axis});
  if (made.name.empty()) return value;
  for (int64_t layer = 0; layer < made.run.count; ++layer) {
    const std::string name = ir::with_layer(made.name, made.run.first + layer);
    const auto [other, fresh] = by_name_.try_emplace(name, made_.size());
    if (!fresh) throw Fault{entry.at, "'" + name + "' is one of several layers' in one place, and of one layer or of others in the other: these cannot be one tensor; give one another name", {{made_[other->second].at, "its other place"}}};
  }
  made_.push_back(std::move(made));
  return value;
}

std::string Params::structure(const std::vector<ParamEntry>& entries, const SizeMap& sizes) {
  std::string out;
  structure_of(entries, sizes, out, 0);
  return out;
}

void Params::structure_of(const std::vector<ParamEntry>& entries, const SizeMap& sizes, std::string& out, int depth) const {
  if (depth > kMostNested) throw Fault{entries[0].at, "layers nest too deeply"};
  for (const ParamEntry& entry : entries) {
    if (!present(entry, sizes)) continue;
    out += entry.key + ";";
    ParamOptions options = options_of(entry, sizes, nullptr);
    for (const auto& [name, init] : options.init) {
      out += fmt::format("{}={},{},{};", name, static_cast<int>(init.init), init.init_a, init.init_b);
    }
    if (options.range) out += fmt::format("{}..{};", options.range->first, options.range->second);
    if (!entry.kind) {
      structure_of(entry.inner, sizes, out, depth + 1);
      continue;
    }
    const Expr& kind = *entry.kind;
    if (kind.name == "tensor" || kind.name == "vector" || kind.name == "scalar") {
      out += shape_text(shape_of(kind, sizes));
    } else {
      const LayerDef* def = layer_def(kind);
      LayerInstance layer = instance(kind, *def, sizes);
      out += kind.name + shape_text(layer.arguments) + "(";
      try {
        structure_of(def->params, layer.sizes, out, depth + 1);
      } catch (Fault& fault) {
        fault.notes.push_back({entry.at, kOfLayer});
        throw;
      }
      out += ")";
    }
  }
}

std::vector<ParamInfo> Params::infos() const {
  std::vector<ParamInfo> out;
  uint64_t offset = 0;
  auto put = [&](const Made& made, int64_t layer) {
    ParamInfo info = made.info;
    info.name = ir::with_layer(made.name, layer);
    info.count = 1;
    for (int64_t n : info.shape) info.count *= static_cast<uint64_t>(n);
    info.offset = offset;
    offset += codegen::whole_cache_lines(info.count);
    out.push_back(std::move(info));
  };
  // The parameters of one layer of a run stand together, at the same distance from layer to layer.
  for (size_t i = 0; i < made_.size();) {
    size_t end = i;
    auto same = [&](const LayerRun& r) { return r.count == made_[i].run.count && r.axis == made_[i].run.axis; };
    while (end < made_.size() && made_[i].run.count > 1 && same(made_[end].run)) ++end;
    end = std::max(end, i + 1);
    for (int64_t layer = 0; layer < made_[i].run.count; ++layer) {
      for (size_t k = i; k < end; ++k) put(made_[k], made_[k].run.first + layer);
    }
    i = end;
  }
  return out;
}

}  // namespace cpuflow::frontend
