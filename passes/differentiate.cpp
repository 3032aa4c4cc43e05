#include "passes/differentiate.h"

#include "passes/build_backward.h"
#include "passes/kit/rewrite.h"

namespace cpuflow::passes {
using namespace ir;

Graph differentiate(const Graph& in) {
  Graph out = in;
  const NodeId loss = output_node(out, "loss.total");
  if (loss == kNoNode) return out;
  std::vector<NodeId> wrt;
  std::vector<std::string> names;
  const std::vector<bool> used = reachable(out, {loss});
  for (NodeId id = 0; id < out.size(); ++id) {
    if (out[id].op == Op::Param && used[id]) {
      wrt.push_back(id);
      names.push_back("grad." + out[id].text);
    }
  }
  build_backward(out, loss, wrt, names);
  return out;
}

}  // namespace cpuflow::passes
