#include "passes/lower_to_loops.h"

#include "codegen/abi/cache_lines.h"
#include "ir/diagnostics.h"
#include "passes/build_backward.h"
#include "passes/kit/op_inputs.h"
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"
#include "passes/lower/function_lowering.h"

#include <fmt/format.h>

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;
using namespace lower;

namespace {

/// A summand of a parameter's gradient.
struct Summand {
  NodeId node;
  Place place;  // in the gradient of the parameter, indices in terms of the node's axes
};

class Program {
 public:
  Program(const Graph& graph, const LowerOptions& options, Explanation* explanation) : g_(graph), b_(graph, options), explanation_(explanation) {}

  LoopProgram lower() {
    for (const Output& o : g_.outputs) {
      if (o.name.starts_with("loss.")) losses_.push_back(o.node);
      if (o.name.starts_with("grad.") && b_.options.train) collect_gradient(o);
      if (o.name == "logits" && logits_ == kNoNode) logits_ = o.node;
      if (o.name == "rows.logits") logits_ = o.node;
    }
    for (NodeId l : losses_) find_accumulators(l, Space::Losses, loss_sums_);
    split_summands();
    find_batch_sums();
    check_linear();
    if (b_.options.train || b_.options.eval) batch_sums("batch_sums_", read_by_sequences_);
    if (b_.options.eval) find_evaluated();
    if (b_.options.train) sequence("train_sequence", true);
    if (b_.options.eval) sequence("eval_sequence", false);
    if (b_.options.rows && logits_ != kNoNode) rows();
    if (b_.options.train) finish();
    if (b_.options.eval || b_.options.train) terms("loss_terms", losses_);
    if (b_.options.eval && evaluated_ != losses_) terms("eval_terms", evaluated_);
    prepare();
    place_buffers();
    return std::move(b_.program);
  }

 private:
  void collect_gradient(const Output& o) {
    // the parameter's node has the same text as the output
    for (NodeId id = 0; id < g_.size(); ++id) {
      if (g_[id].op != Op::Param || "grad." + g_[id].text != o.name) continue;
      Buffer b = b_.program.buffers[b_.param(id)];
      b.space = Space::Grads;
      b.name = fmt::format("{}{}", kGradientOf, b.name);
      BufferId buffer = b_.add_buffer(b);
      Place place{buffer, {}};
      for (const Axis& a : b.axes) place.indices.push_back(ProgramBuilder::variable(a));
      collect(o.node, place);
      return;
    }
  }

  void collect(NodeId id, Place place) {
    const Node& n = g_[id];
    if (is_zero(g_, id)) return;
    if (b_.rate[id] == Rate::Final && n.op == Op::Add && g_[n.inputs[0]].axes == n.axes && g_[n.inputs[1]].axes == n.axes) {
      collect(n.inputs[0], place);
      collect(n.inputs[1], place);
      return;
    }
    if (b_.rate[id] == Rate::Final && n.op == Op::Rename) {
      for (Index& i : place.indices) {
        for (auto& [axis, c] : i.terms) {
          if (int at = index_of(n.to, axis); at >= 0) axis = n.from[at];
        }
        std::sort(i.terms.begin(), i.terms.end());
      }
      collect(n.inputs[0], place);
      return;
    }
    summands_.push_back({id, place});
  }

  bool accumulates(NodeId id) const { return b_.is_accumulator(id) && b_.rate[id] == Rate::Final; }

  void find_accumulators(NodeId root, Space space, std::set<NodeId>& sums) {
    std::vector<NodeId> open{root};
    std::set<NodeId> seen;
    while (!open.empty()) {
      NodeId id = open.back();
      open.pop_back();
      if (!seen.insert(id).second || b_.rate[id] != Rate::Final) continue;
      if (accumulates(id)) {
        b_.accumulator(id, space);
        sums.insert(id);
        continue;
      }
      for (NodeId i : g_[id].inputs) open.push_back(i);
    }
  }

  /// A sum over sequences that is one summand of one gradient goes there at once; the rest is left to `finish`.
  void split_summands() {
    for (const Summand& s : summands_) ++places_[s.node];
    for (const Summand& s : summands_) {
      if (!accumulates(s.node)) find_accumulators(s.node, Space::Grads, grad_sums_);
    }
    for (const Summand& s : summands_) {
      if (accumulates(s.node) && places_[s.node] == 1 && !b_.accumulators.count(s.node)) {
        direct_.push_back({s.node, s.place});
      } else {
        find_accumulators(s.node, Space::Grads, grad_sums_);
        late_.push_back({s.node, s.place});
      }
    }
  }

  /// Sums over sequences that the given ones are computed from.
  std::set<NodeId> sums_below(const std::set<NodeId>& sums) const {
    std::vector<NodeId> open;
    auto look_below = [&](NodeId id) { open.insert(open.end(), g_[id].inputs.begin(), g_[id].inputs.end()); };
    for (NodeId id : sums) look_below(id);
    std::set<NodeId> seen, found;
    while (!open.empty()) {
      const NodeId id = open.back();
      open.pop_back();
      if (!seen.insert(id).second) continue;
      if (accumulates(id)) found.insert(id);
      look_below(id);
    }
    return found;
  }

  /// Sums over the sequences of a micro-batch that its sequences read.
  void find_batch_sums() {
    std::set<NodeId> sums = loss_sums_;
    sums.insert(grad_sums_.begin(), grad_sums_.end());
    for (const Target& t : direct_) sums.insert(t.node);
    read_by_sequences_ = sums_below(sums);
    complete(read_by_sequences_);
  }

  /// A place for each of these sums where it is whole.
  void complete(const std::set<NodeId>& sums) {
    for (NodeId id : sums) {
      Buffer complete = b_.program.buffers[b_.accumulator(id, Space::Losses)];
      if (complete.space != Space::Losses) {
        throw ModelError(g_[id].loc.str() + ": error: a parameter's gradient and another sequence both depend on this sum over sequences; such losses are not supported");
      }
      complete.space = Space::Sums;
      b_.batch_sums[id] = b_.add_buffer(complete);
    }
  }

  BufferId batch_sum(NodeId id) const {
    auto it = b_.batch_sums.find(id);
    return it == b_.batch_sums.end() ? kNone : it->second;
  }

  /// An evaluation may compute other numbers than a training step: losses without dropout, and what is watched.
  void find_evaluated() {
    std::vector<NodeId> watched;
    for (const Output& o : g_.outputs) {
      if (o.name.starts_with("eval.loss.")) evaluated_.push_back(o.node);
      if (o.name.starts_with("watch.")) watched.push_back(o.node);
    }
    if (evaluated_.empty()) evaluated_ = losses_;
    evaluated_.insert(evaluated_.end(), watched.begin(), watched.end());
    for (NodeId id : evaluated_) find_accumulators(id, Space::Losses, evaluated_sums_);
    std::set<NodeId> more = sums_below(evaluated_sums_);
    for (NodeId id : read_by_sequences_) more.erase(id);
    complete(more);
    batch_sums("eval_sums_", more);
    read_in_evaluation_ = read_by_sequences_;
    read_in_evaluation_.insert(more.begin(), more.end());
  }

  /// One function for each time that sequences wait for each other.
  void batch_sums(const std::string& name, const std::set<NodeId>& sums) {
    std::map<int, std::vector<NodeId>> stages;
    for (NodeId id : sums) stages[b_.stage[id]].push_back(id);
    int number = 0;
    for (const auto& [stage, roots] : stages) {
      FunctionLowering f(b_, name + std::to_string(number++), Rate::Sequence, explanation_);
      f.roots = roots;
      f.given = b_.accumulators;
      f.external = [this](NodeId id) { return batch_sum(id); };
      b_.program.functions.push_back(f.lower());
    }
  }

  /// Gradients are accumulated over the micro-batches of a step before `finish` completes them: it may only be linear in what was accumulated.
  int degree(NodeId id) {
    if (b_.rate[id] != Rate::Final) return 0;
    auto [it, fresh] = degrees_.try_emplace(id, 2);
    return fresh ? it->second = find_degree(id) : it->second;
  }

  int find_degree(NodeId id) {
    const Node& n = g_[id];
    if (accumulates(id)) return read_by_sequences_.count(id) ? 2 : 1;
    if (n.op == Op::Carry) {  // what a recurrence carries is linear if what it computes from that is; looked at afterwards
      carries_.push_back(id);
      return 1;
    }
    const auto varies = [&](NodeId i) { return degree(i) > 0; };
    if (std::none_of(n.inputs.begin(), n.inputs.end(), varies)) return 0;
    const std::optional<std::vector<size_t>> inputs = linear_inputs(n, varies);
    return inputs && std::all_of(inputs->begin(), inputs->end(), [&](size_t i) { return degree(n.inputs[i]) == 1 || is_zero(g_, n.inputs[i]); }) ? 1 : 2;
  }

  void check_linear() {
    for (const Summand& s : summands_) check_linear(s.node, s.node);
    for (size_t i = 0; i < carries_.size(); ++i) {  // grows on the way
      for (NodeId in : g_[carries_[i]].inputs) check_linear(in, carries_[i]);
    }
  }

  void check_linear(NodeId id, NodeId at) {
    if (b_.rate[at] != Rate::Final || degree(id) == 1 || is_zero(g_, id)) return;
    throw ModelError(fmt::format("{}: error: a parameter's gradient is not linear in sums over the sequences of a micro-batch; such losses are not supported",
                                 g_[at].loc.str()));
  }

  void sequence(const char* name, bool train) {
    FunctionLowering f(b_, name, Rate::Sequence, explanation_);
    const std::set<NodeId>& complete = train ? read_by_sequences_ : read_in_evaluation_;
    f.external = [&](NodeId id) { return complete.count(id) ? batch_sum(id) : kNone; };
    for (NodeId id : train ? loss_sums_ : evaluated_sums_) {
      if (!complete.count(id)) f.roots.push_back(id);
    }
    if (train) {
      for (NodeId id : grad_sums_) {
        if (!loss_sums_.count(id)) f.roots.push_back(id);
      }
      for (const Target& t : direct_) f.roots.push_back(t.node);
      f.targets = direct_;
    }
    f.given = b_.accumulators;
    b_.program.functions.push_back(f.lower());
    std::erase_if(direct_, [&](const Target& t) {
      const bool apart = b_.accumulators.count(t.node);  // loops sum it up in another order than the parameter's
      if (apart) late_.push_back(t);
      return apart;
    });
  }

  void rows() {
    if (b_.stage[logits_] > 0) {
      throw ModelError(g_[logits_].loc.str() + ": error: the logits of a sequence depend on the other sequences of its batch; such a model cannot be sampled from");
    }
    FunctionLowering f(b_, "rows", Rate::Sequence, explanation_);
    f.roots = {logits_};
    if (b_.position_cycle[logits_] >= 0 || g_[logits_].op == Op::Cumsum) {
      f.copies.push_back({logits_, b_.logits_place(logits_)});  // later rows read them, and a caller keeps no rows
    } else {
      f.logits = logits_;
    }
    f.row_range = true;
    b_.program.functions.push_back(f.lower());
  }

  BufferId accumulated(NodeId id) const {
    auto it = b_.accumulators.find(id);
    return it == b_.accumulators.end() ? kNone : it->second;
  }

  /// What values of `finish` are computed from.
  std::set<NodeId> read_by_finish() const {
    std::vector<NodeId> open;
    for (const Target& t : late_) open.push_back(t.node);
    std::set<NodeId> seen, read;
    while (!open.empty()) {
      const NodeId id = open.back();
      open.pop_back();
      if (!seen.insert(id).second || b_.rate[id] != Rate::Final || accumulated(id) != kNone) continue;
      read.insert(g_[id].inputs.begin(), g_[id].inputs.end());
      open.insert(open.end(), g_[id].inputs.begin(), g_[id].inputs.end());
    }
    return read;
  }

  /// Whether the loops of a value of `finish` may add to a gradient, instead of leaving the value somewhere.
  bool adds_directly(NodeId id) const {
    if (accumulated(id) != kNone || b_.position_cycle[id] >= 0 || b_.layer_cycle[id] >= 0) return false;
    return g_[id].op == Op::Sum || (is_elementwise(g_[id].op) && g_[id].dtype == DType::Real);
  }

  void finish() {
    FunctionLowering f(b_, "finish", Rate::Final, explanation_);
    f.external = [this](NodeId id) { return accumulated(id); };
    const std::set<NodeId> read = read_by_finish();
    for (const Target& t : late_) {
      const bool nowhere_else = places_[t.node] == 1 && !read.count(t.node);
      f.roots.push_back(t.node);
      (nowhere_else && adds_directly(t.node) ? f.targets : f.copies).push_back(t);
    }
    b_.program.functions.push_back(f.lower());
  }

  /// Numbers of a micro-batch, from what its sequences have summed.
  void terms(const char* name, const std::vector<NodeId>& numbers) {
    FunctionLowering f(b_, name, Rate::Final, explanation_);
    f.external = [this](NodeId id) { return accumulated(id); };
    Buffer out;
    out.name = name;
    out.space = Space::Out;
    out.axes = {Axis{AxisKind::Feature, 0, static_cast<uint32_t>(numbers.size())}};
    out.strides = {1};
    BufferId buffer = b_.add_buffer(out);
    for (size_t i = 0; i < numbers.size(); ++i) {
      f.roots.push_back(numbers[i]);
      f.copies.push_back({numbers[i], {buffer, {ProgramBuilder::fixed(static_cast<int64_t>(i))}}});
    }
    b_.program.functions.push_back(f.lower());
  }

  void prepare() {
    FunctionLowering f(b_, "prepare", Rate::Step, explanation_);
    for (NodeId id : std::set<NodeId>(b_.step_values)) {
      f.roots.push_back(id);
      f.given[id] = b_.shared_value(id);
    }
    Function function = f.lower();
    if (!b_.packs.empty()) {
      Region region;
      region.name = "packs";
      region.groups.push_back({false, b_.packs});
      Part part;
      part.regions.push_back(region);
      function.parts.push_back(part);
    }
    b_.program.functions.insert(b_.program.functions.begin(), std::move(function));
  }

  void place_buffers() {
    LoopProgram& p = b_.program;
    p.grad_floats = static_cast<int64_t>(b_.options.param_floats);
    for (auto& [node, buffer] : b_.accumulators) {
      Buffer& b = p.buffers[buffer];
      int64_t& end = b.space == Space::Losses ? p.loss_floats : p.grad_floats;
      b.offset = end;
      end += codegen::whole_cache_lines(b.floats);
    }
    for (auto& [node, buffer] : b_.batch_sums) p.buffers[buffer].offset = p.buffers[b_.accumulators.at(node)].offset;
    for (Buffer& b : p.buffers) {
      if (b.space != Space::Shared || b.rows == Rows::Register) continue;
      b.offset = p.shared_floats;
      p.shared_floats += codegen::whole_cache_lines(b.floats);
    }
  }

  const Graph& g_;
  ProgramBuilder b_;
  Explanation* explanation_;
  std::vector<NodeId> losses_, evaluated_;
  NodeId logits_ = kNoNode;
  std::vector<Summand> summands_;
  std::map<NodeId, int> places_;  // how many gradients, or parts of one, a value is a summand of
  std::vector<Target> direct_, late_;
  std::map<NodeId, int> degrees_;
  std::vector<NodeId> carries_;
  std::set<NodeId> loss_sums_, grad_sums_, evaluated_sums_;
  std::set<NodeId> read_by_sequences_, read_in_evaluation_;  // in training; in an evaluation
};

}  // namespace

bool LowerOptions::is_large(const Axes& axes) const {
  int64_t floats = 1;
  for (const Axis& a : axes) floats *= a.kind == AxisKind::Layer ? 1 : a.size;
  return floats > large_floats;
}

LoopProgram lower_to_loops(const Graph& graph, const LowerOptions& options, Explanation* explanation) {
  return Program(graph, options, explanation).lower();
}

}  // namespace cpuflow::passes
