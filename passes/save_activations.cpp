#include "passes/save_activations.h"

#include "passes/kit/conditions.h"
#include "passes/kit/patterns.h"
#include "passes/kit/rewrite.h"

#include <algorithm>
#include <map>
#include <set>

namespace cpuflow::passes {
using namespace ir;

namespace {

constexpr uint64_t kFew = 16;  // numbers of a row: fewer are not worth a copy
constexpr int kCheap = 2;      // operations that are done again rather than copied

bool is_constant(const Graph& g, NodeId id) { return g[id].op == Op::Constant; }
bool is_view(const Node& n) { return n.op == Op::Rename || n.op == Op::Reshape; }
/// Whether a value is another at other positions, the same for all sequences, and has as many numbers: rounding it is reading what was rounded.
bool is_elsewhere(const Graph& g, NodeId id) {
  const Node& n = g[id];
  if (n.op == Op::Carry) return n.from[0].kind == AxisKind::Position && n.inputs.size() == 1;
  return n.op == Op::Gather && n.from[0].kind == AxisKind::Position && is_about_positions(g, n.inputs[1]) && element_count(n.axes) >= element_count(g[n.inputs[0]].axes);
}
/// Of so many operations a value may be made again, if what they read is there.
bool is_cheap(Op op) { return op == Op::Mul || op == Op::Neg || op == Op::Add || op == Op::Sub || op == Op::Select; }

class Saver {
 public:
  /// rounded: copies are, and factors alone bear to be read so; else a copy is the value itself.
  Saver(const Graph& in, bool rounded)
      : in_(in), rounded_(rounded), users_(users_of(in)), recurrent_(cycles(in, [](const Node& n) { return n.from[0].kind == AxisKind::Layer; })) {
    for (NodeId id = 0; id < in.size(); ++id) views_.push_back(is_view(in[id]));
    for (NodeId id = 0; rounded && id < in.size(); ++id) {
      if (!is_elsewhere(in, id)) continue;
      NodeId x = in[id].inputs[0];
      while (views_[x] && x != id) x = in[x].inputs[0];
      views_[id] = x != id && !is_operand(id);  // a state that never changes is a view of itself
    }
    std::vector<NodeId> results, gradients;
    for (const Output& o : in.outputs) (o.name.starts_with("grad.") ? gradients : results).push_back(o.node);
    forward_ = reachable(in, results);
    backward_ = reachable(in, gradients);
    for (NodeId id = 0; id < in.size(); ++id) backward_[id] = backward_[id] && !forward_[id];
    find_saved();
    find_masked();
    if (!rounded_) return;
    find_scaled();
    find_computed();
  }

  /// What a node of the backward pass reads in the place of the value x of the old graph.
  NodeId instead(Graph& out, NodeId user, NodeId x, const std::vector<NodeId>& map) const {
    return backward_[user] && forward_[x] ? copy_of(out, x, map) : map[x];
  }

 private:
  /// The value that x is another view of.
  NodeId origin(NodeId x) const {
    while (views_[x]) x = in_[x].inputs[0];
    return x;
  }

  /// Whether a value is held for each row of each layer, and has many numbers in it.
  bool is_large(NodeId x) const {
    const Node& n = in_[x];
    uint64_t numbers = 1;
    bool layers = false, sequences = false, rows = false;
    for (const Axis& a : n.axes) {
      layers = layers || a.kind == AxisKind::Layer;
      sequences = sequences || a.kind == AxisKind::Batch;
      if (a.kind == AxisKind::Feature || (a.kind == AxisKind::Position && rows)) numbers *= a.size;
      rows = rows || a.kind == AxisKind::Position;
    }
    return n.dtype == DType::Real && layers && sequences && rows && numbers >= kFew;
  }

  /// Whether a node of the backward pass may read its input x with three digits.
  bool bears(NodeId user, NodeId x) const {
    const Node& n = in_[user];
    auto other = [&] { return n.inputs[n.inputs[0] == x ? 1 : 0]; };
    switch (n.op) {
      case Op::Mul:
      case Op::Div:
        return recurrent_[user] < 0;
      case Op::Lt:
      case Op::Le:
        return is_constant(in_, other()) && in_[other()].value == 0;  // rounding keeps the sign
      case Op::Add:
      case Op::Sub:
        return is_constant(in_, other()) && is_factor(user);
      case Op::Select:
        return n.inputs[0] != x && is_factor(user);
      case Op::Neg:
      case Op::Rename:
      case Op::Slice:
      case Op::Reshape:
        return is_factor(user);
      default:
        return false;
    }
  }

  /// Whether all that reads a node of the backward pass would bear to read it rounded.
  bool is_factor(NodeId id) const {
    const auto [it, fresh] = factors_.try_emplace(id, false);  // no, on a way back to itself
    if (fresh) it->second = recurrent_[id] < 0 && std::all_of(users_[id].begin(), users_[id].end(), [&](NodeId u) { return !backward_[u] || bears(u, id); });
    return it->second;
  }

  void find_saved() {
    std::map<NodeId, bool> read;  // by origin: whether every reader bears it
    for (NodeId id = 0; id < in_.size(); ++id) {
      if (!backward_[id]) continue;
      for (NodeId x : in_[id].inputs) {
        if (!forward_[x] || !is_large(origin(x))) continue;
        auto [it, fresh] = read.try_emplace(origin(x), true);
        it->second = it->second && (!rounded_ || bears(id, x));
      }
    }
    for (const auto& [x, all] : read) {
      if (all) saved_.insert(x);
    }
  }

  /// Whether the backward pass reads a value of the forward pass through this node: a view of it, or an operation that is cheap enough to be done again.
  bool lends(NodeId id, int operations = kCheap) const {
    const bool view = views_[id], again = rounded_ && operations > 0 && is_cheap(in_[id].op);
    if (!view && !again) return false;
    return std::any_of(users_[id].begin(), users_[id].end(), [&](NodeId u) { return backward_[u] || lends(u, operations - !view); });
  }

  /// Whether the backward pass looks at x only where some conditions hold; before that, it may be a factor of a factor, so many times.
  bool only_within(NodeId x, const std::set<NodeId>& conditions, int factors = 3) const {
    return conditions.empty() || std::all_of(users_[x].begin(), users_[x].end(), [&](NodeId u) {
      if (!backward_[u]) return (is_zero_else(in_, u) && conditions.count(in_[u].inputs[0])) || !lends(u);
      const Node& n = in_[u];
      if (n.op == Op::Mul) return factors > 0 && !users_[u].empty() && only_within(u, conditions, factors - 1);
      std::set<NodeId> left = conditions;
      if (n.op != Op::Select || n.inputs[1] != x || n.inputs[2] == x || left.erase(n.inputs[0]) == 0) return false;
      return left.empty() || (!users_[u].empty() && only_within(u, left, factors));
    });
  }

  /// What is saved where conditions hold, and read nowhere else: x of (x where they hold, else 0).
  void find_masked() {
    for (NodeId id : std::set<NodeId>(saved_)) {
      std::set<NodeId> conditions;
      for (NodeId x = id; is_zero_else(in_, x) && in_[in_[x].inputs[1]].axes == in_[id].axes;) {
        conditions.insert(in_[x].inputs[0]);
        x = in_[x].inputs[1];
        if (!saved_.count(x) || !only_within(x, conditions)) continue;
        saved_.erase(x);
        scaled_[x] = {id, kNoNode};
      }
    }
  }

  /// What is saved as a multiple of it: x of x / r.
  void find_scaled() {
    for (NodeId id : std::set<NodeId>(saved_)) {
      const Node& n = in_[id];
      NodeId x = kNoNode, r = kNoNode;
      if (n.op == Op::Div) {
        x = n.inputs[0], r = n.inputs[1];
      } else if (n.op == Op::Mul) {
        for (const int i : {0, 1}) {
          const Node& factor = in_[n.inputs[i]];
          if (factor.op == Op::Div && is_constant(in_, factor.inputs[0]) && in_[factor.inputs[0]].value == 1) x = n.inputs[1 - i], r = factor.inputs[1];
        }
      }
      if (x == kNoNode || in_[x].axes != n.axes || !saved_.count(x) || element_count(in_[r].axes) * kFew > element_count(n.axes)) continue;
      saved_.erase(x);
      scaled_[x] = {id, r};
    }
  }

  /// Whether a product of matrices reads the value: it reads memory.
  bool is_operand(NodeId x) const {
    return std::any_of(users_[x].begin(), users_[x].end(), [&](NodeId u) {
      if (views_[u]) return is_operand(u);
      return in_[u].op == Op::Mul && users_[u].size() == 1 && in_[users_[u][0]].op == Op::Sum && element_count(in_[u].axes) >= kFew * element_count(in_[x].axes);
    });
  }

  bool has_copy(NodeId x) const { return saved_.count(origin(x)) || scaled_.count(origin(x)) || computed_.count(origin(x)); }

  bool is_few(NodeId input, NodeId user) const { return element_count(in_[input].axes) * kFew <= element_count(in_[user].axes); }

  /// Whether a node adds or subtracts, and what it reads was rounded.
  bool adds_rounded(NodeId id) const {
    const Node& n = in_[id];
    if (n.op != Op::Add && n.op != Op::Sub) return false;
    const bool exact = std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return is_few(i, id); });
    return !exact && !is_constant(in_, n.inputs[0]) && !is_constant(in_, n.inputs[1]);
  }

  /// Whether a node reads its input as it is when it is computed once more: a number of a row, or a condition or an index that all sequences share.
  bool stays(NodeId user, NodeId input) const {
    const Node &n = in_[user], &i = in_[input];
    const bool shared = !has_batch(i.axes);
    return i.op == Op::Constant || (n.op != Op::Select && is_few(input, user)) || (i.dtype != DType::Real && shared);
  }

  /// Whether x follows from what is saved by so many cheap operations.
  bool follows(NodeId x, int operations) const {
    const Node& n = in_[x];
    if (operations == 0 || !is_cheap(n.op)) return false;
    if (adds_rounded(x)) return false;
    return std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return stays(x, i) || has_copy(i) || follows(origin(i), operations - 1); });
  }

  /// What follows from other copies needs none.
  void find_computed() {
    std::set<NodeId> multiples;
    for (const auto& [x, multiple] : scaled_) multiples.insert(multiple.of);
    for (NodeId id : std::set<NodeId>(saved_)) {
      if (multiples.count(id) || is_operand(id) || !follows(id, kCheap)) continue;
      saved_.erase(id);
      computed_.insert(id);
    }
  }

  /// What the backward pass reads in the place of x, if it reads a copy of it.
  NodeId copy_of(Graph& out, NodeId x, const std::vector<NodeId>& map) const {
    if (saved_.count(x)) return rounded_ ? out.unary(Op::Saved, map[x]) : map[x];
    if (const auto it = scaled_.find(x); it != scaled_.end()) {
      const NodeId of = copy_of(out, it->second.of, map);
      return it->second.r == kNoNode ? of : out.binary(Op::Mul, of, map[it->second.r]);
    }
    if (!has_copy(x)) return map[x];
    return again(out, x, map);
  }

  /// The operation once more, on copies.
  NodeId again(Graph& out, NodeId x, const std::vector<NodeId>& map) const {
    Node n = in_[x];
    for (NodeId& i : n.inputs) i = stays(x, i) ? map[i] : has_copy(i) ? copy_of(out, i, map) : again(out, i, map);
    return out.add(std::move(n));
  }

  struct Multiple {
    NodeId of, r;  // r: kNoNode for 1
  };

  const Graph& in_;
  bool rounded_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> views_;
  std::vector<int> recurrent_;  // recurrences over positions
  mutable std::map<NodeId, bool> factors_;  // what is known of is_factor
  std::vector<bool> forward_, backward_;
  std::set<NodeId> saved_, computed_;  // by a copy; from copies
  std::map<NodeId, Multiple> scaled_;
};

Graph with_copies(const Graph& in, bool rounded) {
  const Saver saver(in, rounded);
  return rewrite(in, [&](Graph& out, const Node& n, NodeId id, const std::vector<NodeId>& map) {
    Node node = n;
    for (size_t i = 0; i < node.inputs.size(); ++i) node.inputs[i] = saver.instead(out, id, in[id].inputs[i], map);
    return out.add(std::move(node));
  });
}

}  // namespace

Graph save_activations(const Graph& in) { return with_copies(in, true); }

Graph save_masked(const Graph& in) { return with_copies(in, false); }

}  // namespace cpuflow::passes
