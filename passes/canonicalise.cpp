#include "passes/canonicalise.h"

#include "passes/kit/rewrite.h"

#include <bit>

namespace cpuflow::passes {
using namespace ir;

namespace {

uint64_t mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
  h *= 0xbf58476d1ce4e5b9ull;
  return h ^ (h >> 29);
}

/// What a value is, names left out.
std::vector<uint64_t> structure(const Graph& g) {
  std::vector<uint64_t> hash(g.size());
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& n = g[id];
    uint64_t h = mix(static_cast<uint64_t>(n.op), static_cast<uint64_t>(n.dtype));
    for (const Axes* axes : {&n.axes, &n.from, &n.to}) {
      for (const Axis& a : *axes) h = mix(h, (static_cast<uint64_t>(a.kind) << 48) ^ (static_cast<uint64_t>(a.ordinal) << 32) ^ a.size);
      h = mix(h, axes->size());
    }
    for (int64_t i : n.ints) h = mix(h, static_cast<uint64_t>(i));
    for (double v : n.values) h = mix(h, std::bit_cast<uint64_t>(v));
    h = mix(h, std::bit_cast<uint64_t>(n.value));
    if (n.op == Op::Input || n.op == Op::Random) h = mix(h, std::hash<std::string>{}(n.text));
    uint64_t sum = 0;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (n.inputs[i] >= id) continue;  // around a cycle
      if (is_commutative(n.op)) sum += mix(1, hash[n.inputs[i]]);
      else h = mix(h, hash[n.inputs[i]]);
    }
    hash[id] = mix(h, sum);
  }
  return hash;
}

class Canonical {
 public:
  explicit Canonical(const Graph& in) : in_(in), hash_(structure(in)), cycle_(cycles(in, [](const Node&) { return false; })), map_(in.size(), kNoNode) {}

  Graph run() {
    for (const Output& o : in_.outputs) {
      visit(o.node);
      while (!open_.empty()) {
        NodeId carry = open_.back();
        open_.pop_back();
        visit(in_[carry].inputs[0]);
        out_.close(map_[carry], map_[in_[carry].inputs[0]]);
      }
    }
    for (const Output& o : in_.outputs) out_.outputs.push_back({o.name, map_[o.node]});
    return std::move(out_);
  }

 private:
  std::vector<NodeId> inputs_in_order(NodeId id) const {
    std::vector<NodeId> in = in_[id].inputs;
    if (is_commutative(in_[id].op) && in.size() == 2 && hash_[in[1]] < hash_[in[0]]) std::swap(in[0], in[1]);
    return in;
  }

  /// Post-order without recursion: model files may be deep.
  void visit(NodeId root) {
    std::vector<std::pair<NodeId, size_t>> stack{{root, 0}};
    while (!stack.empty()) {
      auto& [id, next] = stack.back();
      if (map_[id] != kNoNode) {
        stack.pop_back();
        continue;
      }
      const bool recurs = in_[id].op == Op::Carry && cycle_[id] >= 0;
      std::vector<NodeId> in = inputs_in_order(id);
      if (recurs) in.erase(in.begin());
      if (next < in.size()) {
        NodeId i = in[next++];
        if (map_[i] == kNoNode) stack.push_back({i, 0});
        continue;
      }
      copy(id, recurs);
      stack.pop_back();
    }
  }

  void copy(NodeId id, bool recurs) {
    const Node& n = in_[id];
    out_.at = n.loc;
    if (recurs) {
      NodeId init = n.inputs.size() > 1 ? map_[n.inputs[1]] : kNoNode;
      map_[id] = out_.carry_open(n.axes, n.dtype, n.from[0], n.ints[0], init);
      open_.push_back(id);
    } else {
      Node c = n;
      c.inputs = inputs_in_order(id);
      for (NodeId& i : c.inputs) i = map_[i];
      map_[id] = out_.add(std::move(c));
    }
    if (!n.name.empty()) out_.set_name(map_[id], n.name, n.loc);
  }

  const Graph& in_;
  std::vector<uint64_t> hash_;
  std::vector<int> cycle_;
  std::vector<NodeId> map_, open_;
  Graph out_;
};

}  // namespace

Graph canonicalise(const Graph& in) {
  // what layers hand on unchanged is no cycle once it is copied
  return Canonical(pruned(in)).run();
}

}  // namespace cpuflow::passes
