#include "passes/restrict_to_chosen.h"

#include "passes/kit/nonzeros.h"
#include "passes/kit/op_inputs.h"
#include "passes/kit/rewrite.h"

#include <algorithm>
#include <map>

namespace cpuflow::passes {
using namespace ir;

namespace {

class Restriction {
 public:
  explicit Restriction(const Graph& in) : in_(in), all_(in), users_(users_of(in)) {
    std::vector<NodeId> roots;
    for (const Output& o : in.outputs) roots.push_back(o.node);
    const std::vector<bool> needed = reachable(in, roots);
    for (std::vector<NodeId>& users : users_) std::erase_if(users, [&](NodeId user) { return !needed[user]; });
  }

  /// What `in` becomes.
  Graph run() {
    return rewrite(in_, [&](Graph& out, const Node& n, NodeId id, const std::vector<NodeId>& map) -> NodeId {
      if (n.op != Op::Sum || in_[in_[id].inputs[0]].op != Op::Mul) return kNoNode;
      const NodeId chosen = demand(id);
      if (chosen == kNoNode || !is_few(chosen)) return kNoNode;
      const NodeId condition = copied(out, chosen, map);
      return condition == kNoNode ? kNoNode : out.reduce(Op::Sum, out.select(condition, n.inputs[0], out.real(0)), n.from);
    });
  }

 private:
  bool is_few(NodeId chosen) const {
    return std::any_of(all_[chosen].axes.begin(), all_[chosen].axes.end(), [&](const Axis& a) { return most_nonzeros(all_, chosen, a) * kTermsAtOnce <= a.size; });
  }

  /// What a top-k has chosen, if a value is 0 elsewhere: a node of `all_`, with some of the value's axes.
  NodeId chosen_in(NodeId id) {
    const auto [it, first] = chosen_.try_emplace(id, kNoNode);
    return first ? chosen_[id] = find_chosen(id) : it->second;
  }
  NodeId find_chosen(NodeId id) {
    const Node n = all_[id];
    switch (n.op) {
      case Op::TopkMask:
        return id;
      case Op::Rename:
        return renamed(chosen_in(n.inputs[0]), n.from, n.to);
      case Op::Reshape:
        return reshaped(chosen_in(n.inputs[0]), n.from, n.to);
      default:
        for (size_t i : absorbing_inputs(n)) {
          if (const NodeId chosen = chosen_in(n.inputs[i]); chosen != kNoNode) return chosen;
        }
        return kNoNode;
    }
  }

  NodeId renamed(NodeId x, const Axes& from, const Axes& to) {
    return x == kNoNode ? kNoNode : all_.rename_present(x, from, to);
  }

  NodeId reshaped(NodeId x, const Axes& from, const Axes& to) {
    if (x == kNoNode || !std::any_of(from.begin(), from.end(), [&](const Axis& a) { return contains(all_[x].axes, a); })) return x;
    return subset(from, all_[x].axes) ? all_.reshape(x, from, to) : kNoNode;
  }

  /// What every reader of a value has chosen of it.
  NodeId demand(NodeId id) {
    const auto [it, first] = demands_.try_emplace(id, kNoNode);
    if (!first) return it->second;  // none for what reads itself
    if (std::any_of(in_.outputs.begin(), in_.outputs.end(), [&](const Output& o) { return o.node == id; })) return kNoNode;
    NodeId all = kNoNode;
    for (NodeId user : users_[id]) {
      const NodeId chosen = chosen_by(user, id);
      if (chosen == kNoNode || (all != kNoNode && chosen != all) || !subset(all_[chosen].axes, in_[id].axes)) return kNoNode;
      all = chosen;
    }
    return demands_[id] = all;
  }

  NodeId chosen_by(NodeId user, NodeId id) {
    const Node& n = in_[user];
    if (n.op == Op::Rename) return renamed(demand(user), n.to, n.from);
    if (n.op == Op::Reshape) return reshaped(demand(user), n.to, n.from);
    if (n.op == Op::Mul && n.inputs[0] != n.inputs[1]) {
      const NodeId chosen = chosen_in(n.inputs[n.inputs[0] == id]);
      if (chosen != kNoNode) return chosen;
    }
    const bool finite = n.op == Op::Add || n.op == Op::Sub || n.op == Op::Mul || n.op == Op::Neg || n.op == Op::Select || (n.op == Op::Div && n.inputs[1] != id);  // of what is 0 as well
    return finite ? demand(user) : kNoNode;
  }

  /// The node of `out` for one of `all_`, if what it is made of is there already.
  NodeId copied(Graph& out, NodeId id, const std::vector<NodeId>& map) const {
    if (id < in_.size()) return map[id];
    Node copy = all_[id];
    for (NodeId& input : copy.inputs) {
      input = copied(out, input, map);
      if (input == kNoNode) return kNoNode;
    }
    return out.add(std::move(copy));
  }

  const Graph& in_;
  Graph all_;  // and views of what is chosen, as its readers and what they read see it
  std::vector<std::vector<NodeId>> users_;
  std::map<NodeId, NodeId> chosen_, demands_;
};

}  // namespace

Graph restrict_to_chosen(const Graph& in) { return Restriction(in).run(); }

}  // namespace cpuflow::passes
