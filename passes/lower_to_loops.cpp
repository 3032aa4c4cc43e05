#include "passes/lower_to_loops.h"

#include "ir/diagnostics.h"
#include "passes/lower/function_lowering.h"
#include "passes/rewrite.h"

#include <algorithm>

namespace cpuflow::passes {
using namespace ir;
using namespace lower;

namespace {

bool starts_with(const std::string& s, const char* prefix) { return s.rfind(prefix, 0) == 0; }

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
      if (starts_with(o.name, "loss.")) losses_.push_back(o.node);
      if (starts_with(o.name, "grad.") && b_.options.train) collect_gradient(o);
      if (o.name == "logits") logits_ = o.node;
    }
    for (NodeId l : losses_) find_accumulators(l, Space::Losses);
    split_summands();
    if (b_.options.train) sequence("train_sequence", true);
    if (b_.options.eval) sequence("eval_sequence", false);
    if (b_.options.rows && logits_ != kNoNode) rows();
    if (b_.options.train) finish();
    if (b_.options.eval || b_.options.train) loss_terms();
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
      b.name = "grad_" + b.name;
      BufferId buffer = b_.add_buffer(b);
      Place place{buffer, {}};
      for (const Axis& a : b.axes) place.indices.push_back(ProgramBuilder::variable(a));
      collect(o.node, place);
      return;
    }
  }

  void collect(NodeId id, Place place) {
    const Node& n = g_[id];
    if (n.op == Op::Constant && n.value == 0) return;
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

  void find_accumulators(NodeId root, Space space) {
    std::vector<NodeId> open{root};
    std::set<NodeId> seen;
    while (!open.empty()) {
      NodeId id = open.back();
      open.pop_back();
      if (!seen.insert(id).second || b_.rate[id] != Rate::Final) continue;
      if (accumulates(id)) {
        b_.accumulator(id, space);
        (space == Space::Losses ? loss_sums_ : grad_sums_).insert(id);
        continue;
      }
      for (NodeId i : g_[id].inputs) open.push_back(i);
    }
  }

  /// A sum over sequences that is one summand of one gradient goes there at once; the rest is left to `finish`.
  void split_summands() {
    std::map<NodeId, int> count;
    for (const Summand& s : summands_) ++count[s.node];
    for (const Summand& s : summands_) {
      if (!accumulates(s.node)) find_accumulators(s.node, Space::Grads);
    }
    for (const Summand& s : summands_) {
      if (accumulates(s.node) && count[s.node] == 1 && !b_.accumulators.count(s.node)) {
        direct_.push_back({s.node, s.place});
      } else {
        find_accumulators(s.node, Space::Grads);
        late_.push_back({s.node, s.place});
      }
    }
  }

  void sequence(const char* name, bool train) {
    FunctionLowering f(b_, name, Rate::Sequence, explanation_);
    for (NodeId id : loss_sums_) f.roots.push_back(id);
    if (train) {
      for (NodeId id : grad_sums_) {
        if (!loss_sums_.count(id)) f.roots.push_back(id);
      }
      for (const Target& t : direct_) f.roots.push_back(t.node);
      f.targets = direct_;
    }
    f.given = b_.accumulators;
    b_.program.functions.push_back(f.lower());
  }

  void rows() {
    FunctionLowering f(b_, "rows", Rate::Sequence, explanation_);
    f.roots = {logits_};
    f.logits = logits_;
    f.row_range = true;
    b_.program.functions.push_back(f.lower());
  }

  BufferId accumulated(NodeId id) const {
    auto it = b_.accumulators.find(id);
    return it == b_.accumulators.end() ? kNone : it->second;
  }

  void finish() {
    FunctionLowering f(b_, "finish", Rate::Final, explanation_);
    f.external = [this](NodeId id) { return accumulated(id); };
    for (const Target& t : late_) f.roots.push_back(t.node);
    f.copies = late_;
    b_.program.functions.push_back(f.lower());
  }

  void loss_terms() {
    FunctionLowering f(b_, "loss_terms", Rate::Final, explanation_);
    f.external = [this](NodeId id) { return accumulated(id); };
    Buffer out;
    out.name = "loss_terms";
    out.space = Space::Out;
    out.axes = {Axis{AxisKind::Feature, 0, static_cast<uint32_t>(losses_.size())}};
    out.strides = {1};
    BufferId buffer = b_.add_buffer(out);
    for (size_t i = 0; i < losses_.size(); ++i) {
      f.roots.push_back(losses_[i]);
      f.copies.push_back({losses_[i], {buffer, {ProgramBuilder::fixed(static_cast<int64_t>(i))}}});
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
      end += (b.floats + 15) / 16 * 16;
    }
    for (Buffer& b : p.buffers) {
      if (b.space != Space::Shared || b.rows == Rows::Register) continue;
      b.offset = p.shared_floats;
      p.shared_floats += (b.floats + 15) / 16 * 16;
    }
  }

  const Graph& g_;
  ProgramBuilder b_;
  Explanation* explanation_;
  std::vector<NodeId> losses_;
  NodeId logits_ = kNoNode;
  std::vector<Summand> summands_;
  std::vector<Target> direct_, late_;
  std::set<NodeId> loss_sums_, grad_sums_;
};

}  // namespace

LoopProgram lower_to_loops(const Graph& graph, const LowerOptions& options, Explanation* explanation) {
  return Program(graph, options, explanation).lower();
}

}  // namespace cpuflow::passes
