#include "ir/op_kit.h"

namespace cpuflow::ir {

namespace {

void infer_given(const Graph&, Node& node) {
  need_inputs(node, 0);
  need(!node.text.empty(), node, "an input needs a name");
  node.axes = union_of(node.axes, {});
  node.dtype = DType::Int;
}

}  // namespace

extern const OpDef kInput{
    .doc = "a value given with each micro-batch; text is its name",
    .infer = infer_given,
    .scalar = nullptr,
    .cpp = nullptr,
    .flops = 0,
    .bounds = [](const Node&, const Interval*) { return between(0, INFINITY); },  // tokens: whoever knows the vocabulary knows more
    .vjp = not_differentiable("nothing before it"),
    .samples = []() -> std::vector<Sample> { return {}; },
};

}  // namespace cpuflow::ir
