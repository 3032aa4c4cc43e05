#include "passes/kit/nonzeros.h"

#include "passes/kit/op_inputs.h"
#include "passes/kit/patterns.h"

#include <algorithm>
#include <map>

namespace cpuflow::passes {
using namespace ir;

namespace {

class Count {
 public:
  Count(const Graph& graph, const Axis& axis) : g_(graph), axis_(axis) {}

  int64_t most(NodeId id) {
    const auto [it, first] = known_.try_emplace(id, axis_.size);
    return first ? known_[id] = count(g_[id]) : it->second;
  }

 private:
  int64_t count(const Node& n) {
    if (n.op == Op::Rename) {
      const int i = index_of(n.to, axis_);
      return most_nonzeros(g_, n.inputs[0], i < 0 ? axis_ : n.from[static_cast<size_t>(i)]);
    }
    if (!contains(n.axes, axis_)) return axis_.size;
    switch (n.op) {
      case Op::TopkMask:
        return n.from[0] == axis_ ? n.ints[0] : axis_.size;
      case Op::Select:
        return is_zero(g_, n.inputs[2]) ? std::min(most(n.inputs[0]), most(n.inputs[1])) : axis_.size;
      case Op::Reshape:
        return most(n.inputs[0]);
      default: {
        int64_t least = axis_.size;
        for (size_t i : absorbing_inputs(n)) least = std::min(least, most(n.inputs[i]));
        return least;
      }
    }
  }

  const Graph& g_;
  const Axis axis_;
  std::map<NodeId, int64_t> known_;
};

}  // namespace

int64_t most_nonzeros(const Graph& graph, NodeId id, const Axis& axis) { return Count(graph, axis).most(id); }

}  // namespace cpuflow::passes
