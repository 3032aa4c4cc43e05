#include "passes/lower/reference_proof.h"

#include "passes/kit/patterns.h"

#include <algorithm>
#include <cstdlib>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

/// How a value changes if d is added to the reference: it becomes value * exp(scale * d) + shift * d.  Of the two, one is 0.
/// There is a d for each element of the reference, so a value that changes keeps the reference's axes: nothing may sum or move along them.
struct Change {
  int scale = 0, shift = 0;
  bool operator==(const Change&) const = default;
  bool none() const { return scale == 0 && shift == 0; }
};

/// The sum of exponentials that tells whether a reference is near enough may be as large as 2^80, or as small as 2^-80: a float holds that, but not its square.
constexpr int kMostScale = 1;

class ReferenceProof {
 public:
  ReferenceProof(const Graph& g, NodeId reference) : g_(g), reference_(reference), change_(g.size()) {}

  /// Whether all outputs stay the same.
  bool holds() {
    for (NodeId id = 0; id < g_.size(); ++id) {
      if (!follow(id) || std::abs(change_[id].scale) > kMostScale) return false;
    }
    const auto stays = [&](NodeId id) { return change_[id].none(); };
    for (NodeId id = 0; id < g_.size(); ++id) {  // the first input of a carry may come later
      if (g_[id].op == Op::Carry && !std::all_of(g_[id].inputs.begin(), g_[id].inputs.end(), stays)) return false;
    }
    return std::all_of(g_.outputs.begin(), g_.outputs.end(), [&](const Output& o) { return stays(o.node); });
  }

 private:
  /// Whether the operation takes elements from others along an axis of the reference.
  bool moves_along_reference(const Node& n) const {
    auto of_reference = [&](const Axis& a) { return contains(g_[reference_].axes, a); };
    return std::any_of(n.from.begin(), n.from.end(), of_reference) || std::any_of(n.to.begin(), n.to.end(), of_reference);
  }

  bool follow(NodeId id) {
    const Node& n = g_[id];
    Change& out = change_[id];
    if (id == reference_) {
      out.shift = 1;
      return true;
    }
    if (n.op == Op::Carry) return true;
    if (std::all_of(n.inputs.begin(), n.inputs.end(), [&](NodeId i) { return change_[i].none(); })) return true;
    if (moves_along_reference(n)) return false;
    const Change a = change_[n.inputs[0]], b = n.inputs.size() > 1 ? change_[n.inputs[1]] : Change{};
    switch (n.op) {
      case Op::Add:
      case Op::Sub:
        if (a.scale != 0 || b.scale != 0) {
          out = is_zero(g_, n.inputs[0]) ? b : a;
          return a == b || is_zero(g_, n.inputs[0]) || is_zero(g_, n.inputs[1]);
        }
        out.shift = n.op == Op::Add ? a.shift + b.shift : a.shift - b.shift;
        return true;
      case Op::Neg:
        out = {a.scale, -a.shift};
        return true;
      case Op::Mul:
      case Op::Div:
        out.scale = n.op == Op::Mul ? a.scale + b.scale : a.scale - b.scale;
        return a.shift == 0 && b.shift == 0;
      case Op::Exp:
        out.scale = a.shift;
        return a.scale == 0;
      case Op::Log:
        out.shift = a.scale;
        return a.shift == 0;
      case Op::Select:
        out = is_zero(g_, n.inputs[1]) ? change_[n.inputs[2]] : b;
        return a.none() && (is_zero(g_, n.inputs[1]) || is_zero(g_, n.inputs[2]) || b == change_[n.inputs[2]]) && (out.shift == 0 || b == change_[n.inputs[2]]);
      case Op::Rename:
      case Op::Slice:
      case Op::Reshape:
      case Op::Stop:
      case Op::Saved:
        out = a;
        return true;
      case Op::Sum:
      case Op::Cumsum:
        out = a;
        return a.shift == 0;
      case Op::Gather:
      case Op::Scatter:
        out = a;
        return a.shift == 0 && b.none();
      default:
        return false;
    }
  }

  const Graph& g_;
  NodeId reference_;
  std::vector<Change> change_;
};

}  // namespace

bool any_reference_does(const Graph& graph, NodeId reference) { return ReferenceProof(graph, reference).holds(); }

}  // namespace cpuflow::passes::lower
