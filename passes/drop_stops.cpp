#include "passes/drop_stops.h"

#include "passes/kit/rewrite.h"

namespace cpuflow::passes {

ir::Graph drop_stops(const ir::Graph& in) {
  return rewrite(in, [](ir::Graph&, const ir::Node& n, ir::NodeId, const std::vector<ir::NodeId>&) { return n.op == ir::Op::Stop ? n.inputs[0] : ir::kNoNode; });
}

}  // namespace cpuflow::passes
