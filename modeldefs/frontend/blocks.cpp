// Blocks: a body that repeats along an axis of layers.
#include "modeldefs/frontend/evaluator.h"

#include <algorithm>

namespace cpuflow::frontend {
using namespace ir;
using Kind = Expr::Kind;

namespace {

constexpr int kMostRounds = 6;
constexpr int64_t kMostLayers = 10000;

/// Reports what was not reported yet: layers of one block have the same errors.
void merge(const Diagnostics& from, Diagnostics& into) {
  bool skip = false;
  for (const Diagnostic& d : from.all()) {
    if (d.kind != Diagnostic::Kind::Note) {
      skip = std::any_of(into.all().begin(), into.all().end(), [&](const Diagnostic& o) {
        return o.message == d.message && o.loc.source == d.loc.source && o.loc.offset == d.loc.offset;
      });
    }
    if (skip) continue;
    if (d.kind == Diagnostic::Kind::Error) into.error(d.loc, d.message);
    if (d.kind == Diagnostic::Kind::Warning) into.warning(d.loc, d.message);
    if (d.kind == Diagnostic::Kind::Note) into.note(d.loc, d.message);
  }
}

}  // namespace

/// Layers of equal structure that follow each other are one run: they share their nodes, with an axis of layers.
std::vector<LayerRun> Evaluator::layer_runs(const BlockDef& def, int64_t count) {
  std::vector<LayerRun> runs;
  std::string last;
  for (int64_t layer = 0; layer < count; ++layer) {
    SizeMap sizes = program_.sizes;
    sizes["layer"] = single_size(layer);
    std::string structure = params_.structure(def.params, sizes);
    for (const Statement& s : def.forward) {
      if (!s.when.empty()) structure += holds(s.when[0], sizes) ? "1" : "0";
    }
    if (runs.empty() || structure != last) runs.push_back({layer, 0, def.repeat.has_value(), {}});
    ++runs.back().count;
    last = structure;
  }
  return runs;
}

Value Evaluator::run_block(const BlockDef& def, const Value& x, const Expr& e, Frame& f) {
  if (!running_.insert(&def).second) throw Fault{e.at, "block '" + e.name + "' runs within itself; `repeat` in its section runs it several times"};
  struct Leave {
    std::set<const BlockDef*>& running;
    const BlockDef* block;
    ~Leave() { running.erase(block); }
  } const leave{running_, &def};
  int64_t count = def.repeat ? evaluate_integer(*def.repeat, program_.sizes) : 1;
  if (count < 1 || count > kMostLayers)
    throw Fault{def.repeat->at, "a block repeats 1 to " + std::to_string(kMostLayers) + " times, not " + std::to_string(count)};
  std::vector<LayerRun> runs = layer_runs(def, count);
  Graph graph = nodes_.graph;
  size_t made = params_.count(), kept = runs_.size();
  uint16_t axes = layer_axes_;
  auto run_all = [&] {
    Value v = x;
    for (LayerRun& run : runs) {
      if (run.count > 1) run.axis = {AxisKind::Layer, layer_axes_++, static_cast<uint32_t>(run.count)};
      v = run_layers(def, run, v, e, f);
    }
    return v;
  };
  try {
    return run_all();
  } catch (const SplitLayers&) {
    // A size depends on `layer`: every layer is on its own.
    nodes_.graph = graph;
    nodes_.statics.forget(graph.size());
    params_.forget(made);
    runs_.resize(kept);
    layer_axes_ = axes;
    runs.clear();
    for (int64_t layer = 0; layer < count; ++layer) runs.push_back({layer, 1, def.repeat.has_value(), {}});
    return run_all();
  }
}

Value Evaluator::run_layers(const BlockDef& def, const LayerRun& run, const Value& x, const Expr& e, Frame& f) {
  std::string path = !def.path.empty() ? def.path : def.name + (def.repeat ? ".{layer}" : "");
  bool repeats = run.count > 1;
  Value in = canonical(x, 0);
  in.node = nodes_.to_real(in.node);
  Axes axes = nodes_[in.node].axes;
  if (repeats) axes = union_of(axes, {run.axis});
  SourceLoc called = nodes_.graph.at;

  for (int round = 0; round < kMostRounds; ++round) {
    Graph graph = nodes_.graph;
    size_t made = params_.count();
    auto block = std::make_unique<BlockRun>();
    block->run = run;
    block->sizes = std::make_shared<SizeMap>(program_.sizes);
    (*block->sizes)["layer"] = single_size(run.first);
    block->params = std::make_shared<ParamScope>(program_.params);
    Diagnostics said;
    params_.add(def.params, path + ".", *block->sizes, run, *block->params, said);
    if (said.has_errors()) {
      merge(said, diagnostics_);
      throw Fault{e.at, ""};
    }
    nodes_.graph.at = called;
    Frame& frame = block->frame;
    frame.report = &said;
    frame.in_block = true;
    frame.index["t"] = position_index();
    frame.params = block->params.get();
    frame.sizes = block->sizes.get();
    frame.layer = Value{repeats ? nodes_.graph.iota(run.axis, run.first) : nodes_.integer(run.first), {}, {}};
    if (auto tokens = f.vars.find("tokens"); tokens != f.vars.end()) frame.vars["tokens"] = tokens->second;
    frame.around = f.around;
    for (const auto& [name, value] : f.vars) frame.around[name] = value;
    frame.starts = f.starts;
    frame.starts.erase("x");
    for (const Statement& s : def.forward) {
      for (const Expr& target : s.targets) {
        if (!is_start(s)) frame.around.erase(target_name(target));
        frame.starts.erase(target_name(target));
      }
    }
    Value state = in;
    if (repeats) {
      state.node = nodes_.graph.carry_open(axes, DType::Real, run.axis, 1, in.node);
      nodes_.graph.set_name(state.node, "x", called);
    }
    frame.vars["x"] = state;
    frame.defined["x"] = e.at;
    this->run(def.forward, frame);
    nodes_.graph.at = called;
    merge(said, diagnostics_);
    if (said.has_errors() || frame.vars.count("x") == 0) throw Fault{e.at, ""};
    Value out = canonical(frame.vars.at("x"), 0);
    auto sizes_of = [](const Value& v) {
      std::vector<uint32_t> sizes;
      for (const Dim& d : v.features) sizes.push_back(d.size);
      return sizes;
    };
    if (repeats && sizes_of(out) != sizes_of(in)) {
      throw Fault{def.at, "the block '" + def.name + "' takes x of " + shape_text(in) + " and gives back " + shape_text(out) +
                              "; a block that repeats needs both equal"};
    }
    out.node = nodes_.to_real(out.node);
    if (!repeats) {
      runs_.push_back(std::move(block));
      return out;
    }
    Axes all = union_of(axes, nodes_[out.node].axes);
    if (all == union_of({}, axes)) {
      NodeId after = nodes_.spread(out.node, axes);
      nodes_.graph.close(state.node, after);
      out.node = nodes_.graph.gather(after, run.axis, nodes_.integer(run.count - 1));
      runs_.push_back(std::move(block));
      return out;
    }
    axes = all;
    nodes_.graph = graph;
    nodes_.statics.forget(graph.size());
    params_.forget(made);
  }
  throw Fault{e.at, "the shape of x grows with every repetition of the block"};
}

/// layers.name[l, ..]: the values of all layers, along one axis.
Value Evaluator::over_layers(const std::string& name, const SourceLoc& at) {
  std::vector<Value> values;
  std::vector<const LayerRun*> runs;
  std::vector<std::string> known;
  bool positions_used = false;
  for (const auto& block : runs_) {
    const Frame& frame = block->frame;
    Value v;
    if (auto it = frame.vars.find(name); it != frame.vars.end()) {
      v = it->second;
    } else if (auto item = block->params->items.find(name); item != block->params->items.end()) {
      v = layer_value(item->second, at);
    } else {
      for (const auto& [n, value] : frame.vars) known.push_back(n);
      for (const auto& [n, value] : block->params->items) known.push_back(n);
      throw Fault{at, runs_.size() > 1 ? "not all blocks have a '" + name + "'" + suggestion(name, known)
                                       : "the blocks have no '" + name + "'" + suggestion(name, known)};
    }
    v = canonical(v, 0);
    positions_used = positions_used || !v.lead.empty();
    if (!values.empty() && v.features.size() != values[0].features.size())
      throw Fault{at, "'" + name + "' has different shapes in different blocks"};
    for (size_t k = 0; !values.empty() && k < v.features.size(); ++k) {
      if (v.features[k].size != values[0].features[k].size) throw Fault{at, "'" + name + "' has different shapes in different blocks"};
    }
    values.push_back(v);
    runs.push_back(&block->run);
  }
  if (values.empty()) throw Fault{at, "there are no blocks whose '" + name + "' could be read"};
  Value out = values[0];
  out.lead.clear();
  Dim layers;
  if (values.size() == 1) {
    layers = {static_cast<uint32_t>(runs[0]->count), runs[0]->axis};
  } else {
    int64_t total = 0;
    Axes from;
    std::vector<NodeId> parts;
    for (size_t i = 0; i < values.size(); ++i) {
      total += runs[i]->count;
      Axis axis = runs[i]->count > 1 ? runs[i]->axis : Axis{AxisKind::Layer, static_cast<uint16_t>(layer_axes_), 1};
      NodeId node = nodes_.to_real(values[i].node);
      parts.push_back(runs[i]->count > 1 ? nodes_.spread(node, {axis}) : nodes_.with_unit(node, axis));
      from.push_back(axis);
    }
    layers = {static_cast<uint32_t>(total), {AxisKind::Layer, static_cast<uint16_t>(layer_axes_), static_cast<uint32_t>(total)}};
    out.node = nodes_.graph.concat(parts, from, layers.axis);
  }
  std::vector<Dim> dims = {layers};
  if (positions_used) {
    dims.push_back({static_cast<uint32_t>(program_.B), batch()});
    dims.push_back({static_cast<uint32_t>(program_.T), positions()});
  }
  dims.insert(dims.end(), out.features.begin(), out.features.end());
  out.features = dims;
  return out;
}

}  // namespace cpuflow::frontend
