// Which products keep float32 operands where the others take bf16, and which values are kept in bf16.
//
// bf16 keeps eight bits of a number: harmless where a sum averages the errors, not where a choice is made of it.  With rounded operands 5 to
// 10 % of the routes of a router and up to a fifth of the sets of a top-k change, and with them everything that follows.  Recurrences keep
// float32 as well (FunctionLowering::rounds), and what is no product never takes bf16: norms, scans, softmax, losses, the optimiser.  What the backward
// pass may read with three digits is decided on the Graph (save_activations).
#include "passes/lower/function_lowering.h"

#include <fmt/format.h>

#include <algorithm>

namespace cpuflow::passes::lower {
using namespace ir;

namespace {

/// Operations whose result jumps where their argument moves a little.
bool chooses(Op op) { return op == Op::Argmax || op == Op::TopkMask || op == Op::Round || op == Op::Floor || op == Op::Ceil; }

bool multiplies(const Graph& g, NodeId id) { return g[id].op == Op::Sum && g[g[id].inputs[0]].op == Op::Mul; }

}  // namespace

std::map<NodeId, std::string> float32_products(const Graph& g, int64_t at_once) {
  std::map<NodeId, std::string> out;
  for (NodeId id = 0; id < g.size(); ++id) {
    if (multiplies(g, id) && few_terms(g, g[id].inputs[0], at_once)) out.emplace(id, "few of its terms are not 0, and those alone are added");
  }
  std::vector<bool> seen(g.size(), false);
  for (NodeId choice = 0; choice < g.size(); ++choice) {
    if (!chooses(g[choice].op)) continue;
    std::vector<NodeId> open = {choice};
    while (!open.empty()) {
      const NodeId id = open.back();
      open.pop_back();
      for (NodeId input : g[id].inputs) {
        if (seen[input]) continue;
        seen[input] = true;
        if (!multiplies(g, input)) open.push_back(input);
        else out.emplace(input, fmt::format("{} of it is a choice, which rounded operands change", op_name(g[choice].op)));
      }
    }
  }
  return out;
}

/// What only bf16 products read is kept in bf16: it is rounded where it is made instead of in each product, to the same numbers.  The nest that
/// makes it may use it: there, it is a number in a register.  What is saved for the backward pass is kept so
/// for every nest that reads it.
void FunctionLowering::round_operands() {
  if (!b_.options.bf16 || row_range) return;
  std::set<BufferId> operands, others, by_float32;  // the last: what products of float32, and whatever is no nest, read
  for (const Part& part : function_.parts) {
    for (const Region& region : part.regions) {
      for (const Step* s : steps_of(region)) {
        for_each_place(b_.program, *s, [&](const Place& p, Access access) {
          if (access == Access::Operand) operands.insert(p.buffer);
          else if (access == Access::Read || access == Access::Write) others.insert(p.buffer);
          if (access == Access::Read && s->kind != Step::Kind::Nest) by_float32.insert(p.buffer);
        });
      }
    }
  }
  for (const Statement& s : statements_) {
    for (const Read& r : s.reads) {
      if (r.how == Read::How::EarlierRow) others.insert(buffers_.at(r.node));  // history is moved in floats
    }
  }
  for (const auto& [id, buffer] : buffers_) {
    if (g_[id].op != Op::Saved || by_float32.count(buffer)) continue;
    operands.insert(buffer);
    others.erase(buffer);
  }
  for (BufferId id : operands) {
    if (others.count(id)) continue;
    Buffer& b = b_.program.buffers[id];
    if (b.space != Space::Lane || b.dtype != DType::Real) continue;
    b.bf16 = true;
    lay_out(b);
  }
  shorten_exponentials();
}

/// An exponential, or what a condition leaves of it, that is only rounded to bf16 and summed need not be exact to the last digit of float32: `rough`.
void FunctionLowering::shorten_exponentials() {
  std::vector<Nest*> nests;
  std::map<BufferId, int> readers;  // steps that read a buffer
  for (Part& part : function_.parts) {
    for (Region& region : part.regions) {
      for (const Step* s : steps_of(region)) {
        std::set<BufferId> read;
        for_each_place(b_.program, *s, [&](const Place& p, Access access) {
          if (!writes(access)) read.insert(p.buffer);
        });
        for (BufferId b : read) ++readers[b];
      }
      for (Group& group : region.groups) {
        for (Step& step : group.steps) {
          if (step.kind == Step::Kind::Nest) nests.push_back(&step.nest);
          for (Nest& nest : step.product.blocks) nests.push_back(&nest);
        }
      }
    }
  }
  for (Nest* nest : nests) shorten_exponentials(*nest, readers);
}

void FunctionLowering::shorten_exponentials(Nest& nest, const std::map<BufferId, int>& readers) {
  auto applies = [&](ExprId e, Op op) { return b_[e].kind == Expr::Kind::Apply && b_[e].op == op; };
  auto rounds = [&](const Store& s) { return s.how == Store::How::Set && b_.program.buffers[s.place.buffer].bf16; };
  for (const Store& s : std::vector<Store>(nest.stores)) {
    const bool conditional = applies(s.value, Op::Select) && b_[b_[s.value].args[2]].kind == Expr::Kind::Constant;
    const ExprId exponential = conditional ? b_[s.value].args[1] : s.value;
    if (s.how != Store::How::Set || !applies(exponential, Op::Exp)) continue;
    const auto is_it = [&](ExprId e) { return e == s.value || (b_[e].kind == Expr::Kind::Load && b_[e].place == s.place); };
    const auto is_copy = [&](ExprId e) { return is_it(e) || (applies(e, Op::Saved) && is_it(b_[e].args[0])); };
    const auto computes_with_it = [&](ExprId e) {
      bool loads = false;
      std::set<ExprId> seen;
      for_each_expr(b_.program, e, seen, [&](const Expr& x) { loads = loads || (x.kind == Expr::Kind::Load && x.place == s.place); });
      return loads || seen.count(s.value) || seen.count(exponential);
    };
    // what another step reads is exact, unless it is stored in bf16
    const bool here = std::any_of(nest.stores.begin(), nest.stores.end(), [&](const Store& other) { return other.value != s.value && computes_with_it(other.value); });
    const auto read = readers.find(s.place.buffer);
    if (!rounds(s) && read != readers.end() && read->second > (here ? 1 : 0)) continue;
    const bool rough_does = std::all_of(nest.stores.begin(), nest.stores.end(), [&](const Store& other) {
      if (other.place == s.place) return true;
      return is_copy(other.value) ? other.how == Store::How::Sum || rounds(other) : !computes_with_it(other.value);
    });
    const bool rounded = std::any_of(nest.stores.begin(), nest.stores.end(), [&](const Store& other) { return is_copy(other.value) && rounds(other); });
    if (!rough_does || !rounded) continue;
    Expr rough = b_[exponential];
    rough.rough = true;
    ExprId instead = b_.expr(rough);
    if (conditional) {
      Expr select = b_[s.value];
      select.args[1] = instead;
      instead = b_.expr(select);
    }
    for (Store& other : nest.stores) {
      if (other.value == s.value) other.value = instead;
    }
  }
}

}  // namespace cpuflow::passes::lower
