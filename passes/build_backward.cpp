#include "passes/build_backward.h"

#include "ir/diagnostics.h"
#include "ir/op_kit.h"
#include "ir/schedule.h"
#include "passes/kit/bounds.h"
#include "passes/kit/conditions.h"
#include "passes/kit/patterns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>

namespace cpuflow::passes {
using namespace ir;

namespace {

/// Values whose gradient is wanted on the way from the loss to `wrt`.
std::vector<bool> active_nodes(const Graph& g, const std::vector<NodeId>& nodes, const std::vector<NodeId>& wrt) {
  std::vector<std::vector<NodeId>> users(g.size());
  for (NodeId n : nodes) {
    for (NodeId i : g[n].inputs) users[i].push_back(n);
  }
  std::vector<bool> active(g.size());
  std::vector<NodeId> open = wrt;
  while (!open.empty()) {
    const NodeId n = open.back();
    open.pop_back();
    if (active[n] || g[n].dtype != DType::Real) continue;
    active[n] = true;
    for (NodeId u : users[n]) {
      if (op_def(g[u].op).vjp.value.rule) open.push_back(u);
    }
  }
  return active;
}

/// Values on whose way there is one of some operations.
std::vector<bool> nodes_behind(const Graph& g, const std::vector<NodeId>& nodes, const std::function<bool(NodeId)>& is_one) {
  std::vector<bool> behind(g.size());
  for (bool more = true; more;) {  // once, and again for cycles
    more = false;
    for (NodeId n : nodes) {
      if (behind[n]) continue;
      const std::vector<NodeId>& inputs = g[n].inputs;
      behind[n] = is_one(n) || std::any_of(inputs.begin(), inputs.end(), [&](NodeId i) { return behind[i]; });
      more = more || behind[n];
    }
  }
  return behind;
}

/// Axes of `node` along which its input `i` is repeated.
Axes repeated(const Graph& g, const Node& node, size_t i) {
  const Axes& own = g[node.inputs[i]].axes;
  if (is_elementwise(node.op)) return without(node.axes, own);
  if (node.op == Op::Concat) return without(without(node.axes, node.to), own);
  if (node.op == Op::Carry && i == 1) return without(without(node.axes, node.from), own);
  return {};
}

/// A condition outside of which a gradient is exactly zero.
struct Mask {
  NodeId condition = kNoNode;
  bool holds = true;  // the gradient is zero where the condition is not this
  bool operator==(const Mask&) const = default;
};

/// Takes the outermost mask off a gradient; false if there is none.
bool take_mask(const Graph& g, NodeId& grad, Mask& mask) {
  const Node& n = g[grad];
  if (n.op != Op::Select || is_zero(g, n.inputs[1]) == is_zero(g, n.inputs[2])) return false;
  mask = {n.inputs[0], is_zero(g, n.inputs[2])};
  grad = n.inputs[mask.holds ? 1 : 2];
  return true;
}

bool is_masked(const Graph& g, NodeId grad) {
  Mask mask;
  return take_mask(g, grad, mask);
}

NodeId condition_of(Graph& g, const Mask& mask) { return mask.holds ? mask.condition : g.unary(Op::Not, mask.condition); }

NodeId masked(Graph& g, const Mask& mask, NodeId grad) {
  const NodeId zero = g.real(0);
  return mask.holds ? g.select(mask.condition, grad, zero) : g.select(mask.condition, zero, grad);
}

/// Whether masks are to be taken off before the rule of `node` and put back after it.  Where a select does not choose a value, that value
/// may be undefined, and 0 times its derivative is not 0.  A factor of a sum of products keeps its mask, unless another may be undefined there.
bool moves_masks(const Graph& g, const Node& node, NodeId grad, const std::vector<bool>& undefined) {
  if (node.op == Op::Mul) return g[grad].axes == node.axes || undefined[node.inputs[0]] || undefined[node.inputs[1]];
  return node.op == Op::Rename || (is_elementwise(node.op) && node.op != Op::Select && node.op != Op::Add);
}

class Backward {
 public:
  Backward(Graph& g, NodeId loss, const std::vector<NodeId>& wrt) : g_(g), wrt_(wrt) {
    const std::vector<NodeId> nodes = needed_by(g, {loss});
    components_ = components(g, nodes);
    active_ = active_nodes(g, nodes, wrt);
    Bounds bounds(g);
    undefined_ = nodes_behind(g, nodes, [&](NodeId n) { return bounds.is_partial(n); });
    fragile_ = nodes_behind(g, nodes, [&](NodeId n) { return bounds.has_partial_derivative(n); });
    contributions_.resize(g.size());
    slices_.resize(g.size());
    component_of_.assign(g.size(), -1);
    for (size_t c = 0; c < components_.size(); ++c) {
      if (!is_cycle(g, components_[c])) continue;
      for (NodeId n : components_[c]) {
        component_of_[n] = static_cast<int>(c);
        if (g[n].op == Op::Carry && active_[g[n].inputs[0]]) carries_[g[n].inputs[0]].push_back(n);
      }
    }
    contributions_[loss].push_back(g.real(1));
  }

  void run() {
    const SourceLoc place = g_.at;
    for (size_t c = components_.size(); c-- > 0;) {
      std::vector<NodeId>& members = components_[c];
      const bool cyclic = component_of_[members[0]] >= 0;
      if (cyclic) open_carries(members);
      // Members are in order but for what carries read, and that is in the reversed carries.
      for (size_t i = members.size(); i-- > 0;) {
        const NodeId n = members[i];
        if (!active_[n]) continue;
        g_.at = g_[n].loc;
        const NodeId grad = total(n);
        if (cyclic && g_[n].op == Op::Carry) {
          close_carry(n, grad);
        } else if (grad != kNoNode) {
          differentiate(n, grad);
        }
      }
    }
    g_.at = place;
  }

  /// The gradient of a value, with all of its axes.
  NodeId gradient(NodeId n) {
    NodeId grad = n < finished_.size() ? finished_[n] : kNoNode;
    return spread(g_, grad == kNoNode ? g_.real(0) : grad, g_[n].axes);
  }

 private:
  void open_carries(const std::vector<NodeId>& members) {
    for (NodeId n : members) {
      const Node carry = g_[n];
      if (carry.op != Op::Carry || !active_[n] || !active_[carry.inputs[0]]) continue;
      g_.at = carry.loc;
      const NodeId x = carry.inputs[0];
      NodeId init = kNoNode;
      if (auto it = end_gradients_.find(n); it != end_gradients_.end()) init = sum(it->second);
      reversed_[n] = g_.carry_open(g_[x].axes, DType::Real, carry.from[0], -carry.ints[0], init);
      contributions_[x].push_back(reversed_[n]);
    }
  }

  void close_carry(NodeId n, NodeId grad) {
    const Node carry = g_[n];
    const NodeId full = spread(g_, grad == kNoNode ? g_.real(0) : grad, carry.axes);
    if (auto it = reversed_.find(n); it != reversed_.end()) g_.close(it->second, full);
    if (carry.inputs.size() < 2 || grad == kNoNode) return;
    const int64_t begin = carry.ints[0] > 0 ? 0 : static_cast<int64_t>(carry.from[0].size) - 1;
    contribute(n, 1, g_.gather(full, carry.from[0], g_.integer(begin)));
  }

  /// The carry of a cycle whose last slice `n` reads from outside: the gradient starts the reversed carry.
  NodeId carry_read_at_end(NodeId n) const {
    const Node& gather = g_[n];
    if (gather.op != Op::Gather || g_[gather.inputs[1]].op != Op::Constant) return kNoNode;
    auto it = carries_.find(gather.inputs[0]);
    if (it == carries_.end() || component_of_[n] == component_of_[gather.inputs[0]]) return kNoNode;
    for (NodeId c : it->second) {
      const double end = g_[c].ints[0] > 0 ? gather.from[0].size - 1.0 : 0.0;
      if (g_[c].from[0] == gather.from[0] && active_[c] && g_[gather.inputs[1]].value == end) return c;
    }
    return kNoNode;
  }

  void differentiate(NodeId n, NodeId grad) {
    const Vjp vjp = op_def(g_[n].op).vjp;
    if (!vjp.rule) return;
    if (NodeId carry = carry_read_at_end(n); carry != kNoNode) {
      end_gradients_[carry].push_back(grad);
      return;
    }
    if (g_[n].op == Op::Slice && g_[n].ints[1] == 1) {
      slices_[g_[n].inputs[0]].push_back({n, grad});
      return;
    }
    std::vector<Mask> masks;
    if (moves_masks(g_, g_[n], grad, undefined_)) {
      for (Mask m; take_mask(g_, grad, m);) masks.push_back(m);
    }
    vjp.rule(g_, n, grad, [&](size_t input, NodeId gradient) {
      for (size_t i = masks.size(); i-- > 0;) gradient = masked(g_, moved(masks[i], n), gradient);
      contribute(n, input, gradient);
    });
  }

  /// The mask of a value as one of its input: for a renaming, by the old names.
  Mask moved(Mask mask, NodeId n) {
    const Node node = g_[n];
    if (node.op == Op::Rename) mask.condition = g_.rename_present(mask.condition, node.to, node.from);
    return mask;
  }

  void contribute(NodeId n, size_t input, NodeId gradient) {
    const NodeId x = g_[n].inputs[input];
    if (!active_[x]) return;
    double times = 1;
    for (const Axis& a : repeated(g_, g_[n], input)) {
      if (!contains(g_[gradient].axes, a)) times *= a.size;
    }
    const Axes over = without(g_[gradient].axes, g_[x].axes);
    const NodeId lets_through = fragile_[x] ? let_through_anywhere(gradient, over) : kNoNode;
    gradient = reduced(gradient, over);
    if (lets_through != kNoNode) gradient = g_.select(lets_through, gradient, g_.real(0));
    if (fragile_[x] && g_[n].op == Op::Slice) gradient = g_.select(is_in_slice(n), gradient, g_.real(0));
    if (times != 1) gradient = g_.binary(Op::Mul, gradient, g_.real(times));
    contributions_[x].push_back(gradient);
  }

  /// Which elements of its input a slice takes.
  NodeId is_in_slice(NodeId n) {
    const Node slice = g_[n];
    const int64_t stride = std::abs(slice.ints[1]), end = slice.ints[0] + slice.ints[1] * (static_cast<int64_t>(slice.to[0].size) - 1);
    const auto [first, last] = std::minmax(slice.ints[0], end);
    const NodeId at = g_.iota(slice.from[0]);
    const NodeId inside = g_.binary(Op::And, g_.binary(Op::Le, g_.integer(first), at), g_.binary(Op::Le, at, g_.integer(last)));
    if (stride == 1) return inside;
    return g_.binary(Op::And, inside, g_.binary(Op::Eq, g_.binary(Op::Mod, g_.binary(Op::Sub, at, g_.integer(first)), g_.integer(stride)), g_.integer(0)));
  }

  /// Where masks by position let anything of a gradient through to its sum along axes; kNoNode where they surely do.
  NodeId let_through_anywhere(NodeId gradient, const Axes& axes) {
    std::vector<NodeId> conditions;
    for (Mask m; take_mask(g_, gradient, m);) {
      if (is_about_positions(g_, m.condition) && meets(g_[m.condition].axes, axes)) conditions.push_back(condition_of(g_, m));
    }
    return anywhere(g_, conditions, axes);
  }

  /// The sum along axes; a mask that has none of them stays outside.
  NodeId reduced(NodeId gradient, const Axes& axes) {
    NodeId inner = gradient;
    Mask mask;
    if (!axes.empty() && take_mask(g_, inner, mask) && without(g_[mask.condition].axes, axes) == g_[mask.condition].axes) return masked(g_, mask, reduced(inner, axes));
    return g_.reduce(Op::Sum, gradient, axes);
  }

  /// What is there several times, as from the factors of a square, is multiplied.
  NodeId sum(const std::vector<NodeId>& parts) {
    NodeId all = kNoNode;
    for (auto p = parts.begin(); p != parts.end(); ++p) {
      if (std::find(parts.begin(), p, *p) != p) continue;
      const auto times = std::count(p, parts.end(), *p);
      const NodeId part = times == 1 ? *p : g_.binary(Op::Mul, *p, g_.real(static_cast<double>(times)));
      all = all == kNoNode ? part : sum(all, part);
    }
    return all;
  }

  /// Of two gradients; a mask of both stays outside.
  NodeId sum(NodeId a, NodeId b) {
    NodeId inner_a = a, inner_b = b;
    Mask mask_a, mask_b;
    if (take_mask(g_, inner_a, mask_a) && take_mask(g_, inner_b, mask_b) && mask_a == mask_b)
      return masked(g_, mask_a, sum(inner_a, inner_b));
    return g_.binary(Op::Add, a, b);
  }

  /// The sum of all contributions, or kNoNode.
  NodeId total(NodeId n) {
    add_slices(n);
    NodeId grad = sum(contributions_[n]);
    if (fragile_[n] && grad != kNoNode && !is_masked(g_, grad)) grad = masked_by_all(contributions_[n], grad);
    call_by_value(grad, n);
    if (std::find(wrt_.begin(), wrt_.end(), n) != wrt_.end()) {
      if (finished_.size() <= n) finished_.resize(n + 1, kNoNode);
      finished_[n] = grad;
    }
    return grad;
  }

  /// A sum of gradients that are masked each in its own way is 0 where no mask lets its gradient through.
  NodeId masked_by_all(const std::vector<NodeId>& parts, NodeId sum) {
    if (parts.empty() || !std::all_of(parts.begin(), parts.end(), [&](NodeId p) { return is_masked(g_, p); })) return sum;
    NodeId any = kNoNode;
    for (NodeId part : parts) {
      NodeId all = kNoNode;
      for (Mask m; take_mask(g_, part, m);) all = all == kNoNode ? condition_of(g_, m) : g_.binary(Op::And, all, condition_of(g_, m));
      any = any == kNoNode ? all : g_.binary(Op::Or, any, all);
    }
    return g_.select(any, sum, g_.real(0));
  }

  /// Names a gradient, unless it is another value's as well.
  void call_by_value(NodeId grad, NodeId n) {
    const Node& value = g_[n];
    const std::string name = value.op == Op::Param ? of_all_layers(value.text) : value.name;
    if (grad == kNoNode || name.empty() || g_[grad].inputs.empty() || !g_[grad].name.empty()) return;
    g_.set_name(grad, fmt::format("{}{}", kGradientOf, name), g_[grad].loc);
  }

  /// Gradients of slices that tile an axis are laid one after the other; others are scattered.
  void add_slices(NodeId x) {
    std::map<Axis, std::vector<std::pair<NodeId, NodeId>>> by_axis;
    for (const auto& piece : slices_[x]) by_axis[g_[piece.first].from[0]].push_back(piece);
    for (auto& [axis, pieces] : by_axis) {
      std::sort(pieces.begin(), pieces.end(), [&](const auto& a, const auto& b) { return g_[a.first].ints[0] < g_[b.first].ints[0]; });
      int64_t end = 0;
      bool tiles = true;
      for (const auto& [slice, grad] : pieces) {
        tiles = tiles && g_[slice].ints[0] == end;
        end += g_[slice].to[0].size;
      }
      if (tiles && end == static_cast<int64_t>(axis.size)) {
        std::vector<NodeId> parts;
        Axes axes;
        for (const auto& [slice, grad] : pieces) {
          const Axes to = g_[slice].to;
          parts.push_back(spread(g_, grad, to));
          axes.push_back(to[0]);
        }
        contributions_[x].push_back(g_.concat(parts, axes, axis));
        continue;
      }
      for (const auto& [slice, grad] : pieces) {
        const NodeId node = slice;
        op_def(Op::Slice).vjp.value.rule(g_, node, grad, [&](size_t input, NodeId gradient) { contribute(node, input, gradient); });
      }
    }
  }

  Graph& g_;
  const std::vector<NodeId>& wrt_;
  std::vector<std::vector<NodeId>> components_;
  std::vector<bool> active_;
  std::vector<bool> undefined_;         // values that may be undefined somewhere
  std::vector<bool> fragile_;           // values whose gradient must not be 0 times what is undefined
  std::vector<int> component_of_;  // -1: not in a cycle
  std::vector<std::vector<NodeId>> contributions_;
  std::vector<std::vector<std::pair<NodeId, NodeId>>> slices_;  // slices of a value, with their gradients
  std::map<NodeId, std::vector<NodeId>> carries_;               // of cycles, by the value that they carry
  std::map<NodeId, std::vector<NodeId>> end_gradients_;         // by carry
  std::map<NodeId, NodeId> reversed_;                           // by carry
  std::vector<NodeId> finished_;
};

}  // namespace

void build_backward(Graph& graph, NodeId loss, const std::vector<NodeId>& wrt, const std::vector<std::string>& names) {
  if (graph[loss].dtype != DType::Real || !graph[loss].axes.empty())
    throw InternalError("build_backward: the loss must be one real number");
  if (wrt.size() != names.size()) throw InternalError("build_backward: one name for each gradient is needed");
  Backward backward(graph, loss, wrt);
  backward.run();
  for (size_t i = 0; i < wrt.size(); ++i) graph.outputs.push_back({names[i], backward.gradient(wrt[i])});
}

}  // namespace cpuflow::passes
