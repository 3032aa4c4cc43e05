#include "ir/op.h"

#include <map>

namespace cpuflow::ir {

#define OP(enumerator, text) extern const OpDef k##enumerator;
#include "ir/ops.def"
#undef OP

const OpDef& op_def(Op op) {
  static const OpDef* const kAll[] = {
#define OP(enumerator, text) &k##enumerator,
#include "ir/ops.def"
#undef OP
  };
  return *kAll[static_cast<size_t>(op)];
}

bool op_by_name(const std::string& name, Op& op) {
  static const std::map<std::string, Op> by_name = {
#define OP(enumerator, text) {text, Op::enumerator},
#include "ir/ops.def"
#undef OP
  };
  auto it = by_name.find(name);
  if (it == by_name.end()) return false;
  op = it->second;
  return true;
}

const char* op_name(Op op) {
  static const char* const kNames[] = {
#define OP(enumerator, text) text,
#include "ir/ops.def"
#undef OP
  };
  return kNames[static_cast<size_t>(op)];
}

bool is_elementwise(Op op) { return op_def(op).scalar.value != nullptr; }

bool is_reduction(Op op) { return op == Op::Sum || op == Op::Max || op == Op::Min || op == Op::Prod; }

bool is_commutative(Op op) { return op == Op::Add || op == Op::Mul || op == Op::Eq || op == Op::Ne || op == Op::And || op == Op::Or; }

void infer(const Graph& graph, Node& node) { op_def(node.op).infer.value(graph, node); }

}  // namespace cpuflow::ir
