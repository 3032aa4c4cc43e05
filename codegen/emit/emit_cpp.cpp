#include "codegen/emit/emit_cpp.h"

#include "codegen/emit/emit_nest.h"
#include "codegen/emit/layer_runs.h"
#include "ir/shared_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <set>
#include <string_view>

namespace cpuflow::embedded {
extern const std::string_view kernel_prelude;
extern const std::string_view kernel_products;
extern const std::string_view kernel_bf16;
extern const std::string_view kernel_tiles;
extern const std::string_view kernel_bf16_products;
extern const std::string_view kernel_loops;
extern const std::string_view kernel_abi;
}  // namespace cpuflow::embedded

namespace cpuflow::codegen {
using namespace ir;

namespace {

constexpr uint32_t kSharedLayers = 4;  // of fewer, what they take is shared by columns, or not worth it

class Emitter {
 public:
  Emitter(const LoopProgram& p, const Graph& g, const EmitOptions& o) : p_(p), g_(g), options_(o) {}

  std::string emit() {
    for (const std::string& l : options_.header) comment_line(0, l);
    out_ += "\n";
    // no header is included: the types that the interface uses come from the compiler
    out_ += "typedef __INT32_TYPE__ int32_t;\ntypedef __UINT32_TYPE__ uint32_t;\ntypedef __INT64_TYPE__ int64_t;\ntypedef __UINT64_TYPE__ uint64_t;\n\n";
    std::string abi(embedded::kernel_abi);
    const std::string include = "#include <stdint.h>\n";
    if (size_t at = abi.find(include); at != std::string::npos) abi.erase(at, include.size());
    out_ += abi;
    out_ += "\n";
    out_ += products_text(std::any_of(p_.functions.begin(), p_.functions.end(), multiplies_bf16), options_.emulate_tiles);
    out_ += embedded::kernel_loops;
    out_ += "\nnamespace {\n\n";
    literals();
    for (const Function& f : p_.functions) {
      int number = 0;
      for (const Part& part : f.parts) {
        for (const Region& r : part.regions) region(f, part, r, number++);
      }
    }
    out_ += "}  // namespace\n";
    for (const Function& f : p_.functions) function(f);
    return std::move(out_);
  }

 private:
  static bool multiplies_bf16(const Function& f) {
    for (const Part& part : f.parts) {
      for (const Region& r : part.regions) {
        const std::vector<const Step*> steps = steps_of(r);
        if (std::any_of(steps.begin(), steps.end(), [](const Step* s) { return s->product.bf16; })) return true;
      }
    }
    return false;
  }

  void literals() {
    for (BufferId id = 0; id < p_.buffers.size(); ++id) {
      const Buffer& b = p_.buffers[id];
      if (b.space != Space::Literal) continue;
      const bool real = b.dtype == DType::Real;
      out_ += fmt::format("constexpr {} {}_{}[] = {{", real ? "float" : "int32_t", identifier(b.name), id);
      for (size_t i = 0; i < b.values.size(); ++i) {
        if (i) out_ += ", ";
        out_ += real ? float_literal(b.values[i]) : std::to_string(static_cast<int64_t>(b.values[i]));
      }
      out_ += "};\n\n";
    }
  }

  static std::string region_function(const Function& f, const Region& r, int number) {
    return fmt::format("{}_{}_{}", f.name, number, identifier(r.name));
  }

  /// Where a call has the buffer.
  static std::string base(const Buffer& b, const char* call) {
    const char* member = "";
    switch (b.space) {
      case Space::Params:
        member = "params";
        break;
      case Space::Shared:
        member = "shared";
        break;
      case Space::Lane:
        member = "lane";
        break;
      case Space::Grads:
        member = "grads";
        break;
      case Space::Losses:
        member = "losses";
        break;
      case Space::Sums:
        member = "sums";
        break;
      case Space::Tokens:
        member = "tokens";
        break;
      case Space::Targets:
        member = "targets";
        break;
      case Space::Out:
        member = "out";
        break;
      case Space::Literal:
        break;
    }
    return b.offset ? fmt::format("{}->{} + {}", call, member, b.offset) : fmt::format("{}->{}", call, member);
  }

  /// Names the buffers that steps touch: read only, or written.
  void declare_buffers(int indent, const std::vector<const Step*>& all, const Names& names, const char* call = "call") {
    std::map<BufferId, bool> buffers;
    for (const Step* s : all) {
      for_each_place(p_, *s, [&](const Place& p, Access access) {
        if (p_.buffers[p.buffer].in_memory() && p_.buffers[p.buffer].space != Space::Literal) buffers[p.buffer] |= writes(access);
      });
    }
    for (auto [id, written] : buffers) {
      const Buffer& b = p_.buffers[id];
      const char* type = b.dtype == DType::Int ? "int32_t" : b.bf16 ? "kernel::bf16" : "float";
      std::string where = base(b, call);
      const bool of_floats = b.space != Space::Tokens && b.space != Space::Targets;
      if (type != std::string("float") && of_floats) where = fmt::format("reinterpret_cast<{}{}*>({})", written ? "" : "const ", type, where);
      line(indent, fmt::format("{}{}* const __restrict {} = {};", written ? "" : "const ", type, names.buffer(id), where));
    }
  }

  void line(int indent, const std::string& text) { out_ += std::string(indent, ' ') + text + "\n"; }

  /// A comment of what the model file says.
  void comment_line(int indent, const std::string& text) { line(indent, "// " + printable(text)); }

  /// The statements that the nodes are of; nothing where the comment before was of the same, in the same region.
  void comment(int indent, const std::vector<NodeId>& nodes) {
    std::set<std::string> done;
    std::vector<std::string> lines;
    for (NodeId id : nodes) {
      if (id == kNoNode) continue;
      const Node& n = g_[id];
      const std::string what = n.loc.known() ? fmt::format("{}   [{}:{}]", n.loc.first_line(), n.loc.source->path.substr(n.loc.source->path.rfind('/') + 1), n.loc.line()) : op_name(n.op);
      if (done.insert(what).second) lines.push_back(what);
    }
    if (lines == commented_) return;
    for (const std::string& l : lines) comment_line(indent, l);
    commented_ = std::move(lines);
  }

  void comment(int indent, const Nest& nest) {
    std::vector<NodeId> nodes;
    for (const Store& s : nest.stores) nodes.push_back(s.node);
    comment(indent, nodes);
  }

  void step(int indent, const Step& s, const Names& names, const Region& r, bool by_row, bool before) {
    switch (s.kind) {
      case Step::Kind::Nest: {
        comment(indent, s.nest);
        line(indent, "{");
        out_ += emit_nest(p_, names, s.nest, s.reaches, indent + 2);
        line(indent, "}");
        break;
      }
      case Step::Kind::Product:
        comment(indent, {s.product.node});
        looped(indent, s.product.loops, s.reaches, names, [&](int i) { product(i, s, names, r, by_row); });
        break;
      case Step::Kind::Pack:
        looped(indent, s.pack.loops, s.reaches, names, [&](int i) { pack(i, s, names, r, before); });
        break;
      case Step::Kind::Fill:
        line(indent, fmt::format("{}kernel::fill({}, {}{}, {});", s.fill.at_start ? "if (call->first == 0) " : "", pointer(s.fill.place, names, r, {}), s.fill.floats,
                                 r.has_rows && stride_along(p_, s.fill.place, r.row) != 0 && !by_row ? fmt::format("L * ({})", rows(r, false)) : "", float_literal(s.fill.value)));
        break;
      case Step::Kind::Shift: {
        const Buffer& b = p_.buffers[s.shift.place.buffer];
        Place first = s.shift.place;  // the tile's history stands before its first row
        const int64_t stride = b.strides[index_of(b.axes, r.row)];
        first.indices[index_of(b.axes, r.row)] = {{{r.row, 1}}, -b.history, kNone};
        line(indent, fmt::format("kernel::shift({}, {}, {}, {});", pointer(first, names, r, {}), rows(r, false), s.shift.rows, stride));
        break;
      }
      case Step::Kind::Choose:
        comment(indent, {s.choose.node});
        looped(indent, s.choose.loops, {}, names, [&](int i) { choose(i, s.choose, names); });
        break;
    }
  }

  /// Steps that follow each other.  In `rows`, products take all streams at once; what else there is runs for one stream after the other.
  void steps(int indent, const std::vector<Step>& all, const Region& r, const Region* named, bool by_row, bool before) {
    const Names names(p_, named, by_row, streams_), of_stream(p_, named, by_row, streams_, true);
    bool open = false;
    auto loop = [&](bool wanted) {
      if (open == wanted) return;
      open = wanted;
      line(indent, wanted ? "for (int stream = 0; stream < call->streams; ++stream) {" : "}");
      if (wanted) line(indent + 2, "[[maybe_unused]] const int64_t lane = stream * call->lane_step;");
    };
    for (size_t i = 0; i < all.size(); ++i) {
      if (const size_t run = once_a_step_ ? run_of_layers(p_, all, i) : 0; run > 0 && outer_layers(p_, all[i])->size >= kSharedLayers) {
        layers_at_once(indent, {all.begin() + static_cast<long>(i), all.begin() + static_cast<long>(i + run)}, names, r, before);
        i += run - 1;
        continue;
      }
      const bool alone = streams_ && !takes_streams(p_, all[i], r);
      loop(alone);
      step(indent + (alone ? 2 : 0), all[i], alone ? of_stream : names, r, by_row, before);
    }
    loop(false);
  }

  /// Steps that do not look at other layers: each thread takes some.
  void layers_at_once(int indent, const std::vector<Step>& run, const Names& names, const Region& r, bool before) {
    const Axis layers = *outer_layers(p_, run[0]);
    line(indent, fmt::format("kernel::team_of(call).each_layer({}, [&](int {}) __attribute__((always_inline)) {{", layers.size, names.variable(layers)));
    within_layer_ = true;
    for (const Step& s : run) step(indent + 2, of_one_layer(s), names, r, false, before);
    within_layer_ = false;
    line(indent, "});");
  }

  void looped(int indent, const Axes& loops, const std::vector<Reach>& reaches, const Names& names, const std::function<void(int)>& body) {
    for (const Axis& a : loops) {
      const std::string v = names.variable(a);
      const Names::Trip count = names.trip(a, reaches);
      line(indent, fmt::format("for (int {} = {}; {} < {}; ++{}) {{", v, count.first, v, count.last, v));
      indent += 2;
    }
    body(indent);
    for (size_t i = 0; i < loops.size(); ++i) {
      indent -= 2;
      line(indent, "}");
    }
  }

  /// Where the place is when the given axes are at their first element.
  std::string pointer(const Place& place, const Names& names, const Region& r, const std::vector<Axis>& first) const {
    Place p = place;
    for (Index& i : p.indices) {
      std::erase_if(i.terms, [&](const auto& t) {
        const bool row = r.has_rows && t.first == r.row;
        return !row && std::find(first.begin(), first.end(), t.first) != first.end();
      });
    }
    std::string offset = names.offset(p, nullptr, {});
    return offset == "0" ? names.buffer(p.buffer) : names.buffer(p.buffer) + " + " + offset;
  }

  static std::string rows(const Region& r, bool by_row) {
    if (by_row) return "1";
    std::string v = r.row.kind == AxisKind::Position && r.row.ordinal == 0 ? "t" : "u";
    return v + "1 - " + v + "0";
  }

  /// Floats from one row of a product to the next, where rows may be streams.
  std::string row_step(const Place& place, const Axis& m) const {
    const Buffer& b = p_.buffers[place.buffer];
    const int64_t step = stride_along(p_, place, m);
    return b.space == Space::Lane ? fmt::format("kernel::row_step({}, {})", callers(), step) : std::to_string(step);
  }
  const char* callers() const { return joined_ ? "calls" : "call"; }

  void product_of_streams(int indent, const Step& s, const Names& names, const Region& r, bool by_row) {
    const Product& p = s.product;
    const char* who = streams_ && shared_by_partners(p_, s, r) ? "partner_of" : "alone";
    line(indent, fmt::format("kernel::product_of_streams{}<{}, {}, {}>(kernel::{}({}), kernel::rows_of({}, {}), {}, {}, {}, {}, {});", p.bf16 ? "_bf16" : "", p.n.size, p.k.size, p.accumulate, who,
                             callers(), callers(), rows(r, by_row), pointer(p.a, names, r, {p.m, p.k}), row_step(p.a, p.m), pointer(p.b, names, r, {}), pointer(p.c, names, r, {p.m, p.n}), row_step(p.c, p.m)));
  }

  /// A product whose rows are used by blocks of columns.
  void product_in_blocks(int indent, const Product& p, const Names& names, const Region& r) {
    const bool refers = p.total.buffer != kNone;
    line(indent, "{");
    line(indent + 2, "const auto in_blocks = [&]<int N>(const auto& use) __attribute__((always_inline)) {");
    line(indent + 4, fmt::format("kernel::product_in_blocks{}<N, {}>({}, {}, {}, {}, use);", p.bf16 ? "_bf16" : "", p.k.size, rows(r, false), pointer(p.a, names, r, {p.m, p.k}),
                                 stride_along(p_, p.a, p.m), pointer(p.b, names, r, {})));
    line(indent + 2, "};");
    if (refers) {
      line(indent + 2, "const auto refer_to_columns = [&]<int N>() {");
      use_blocks(indent + 4, p, 0, 1, "N", r);
      line(indent + 2, "};");
      line(indent + 2, fmt::format("refer_to_columns.template operator()<{}>();  // the first are enough, unless the sum says no", std::min<int64_t>(p_.panel, p.n.size)));
      line(indent + 2, "for (bool exact = false;; exact = true) {");
      use_blocks(indent + 4, p, 1, p.blocks.size(), std::to_string(p.n.size), r);
      line(indent + 4, fmt::format("if (exact || kernel::all_moderate({}, {})) break;", rows(r, false), pointer(p.total, names, r, {})));
      line(indent + 4, fmt::format("refer_to_columns.template operator()<{}>();", p.n.size));
      line(indent + 2, "}");
    } else {
      use_blocks(indent + 2, p, 0, p.blocks.size(), std::to_string(p.n.size), r);
    }
    line(indent, "}");
  }

  /// Multiplies, runs some of the nests for each row of each block, and stores what they reduce.
  void use_blocks(int indent, const Product& p, size_t begin, size_t end, const std::string& columns, const Region& r) {
    const Names names(p_, &r, true, streams_);
    const std::string t = names.row(), t0 = t + "0";
    std::vector<std::pair<std::string, const Store*>> reduced;
    for (size_t i = begin; i < end; ++i) {
      for (size_t j = 0; j < p.blocks[i].stores.size(); ++j) {
        const Store& s = p.blocks[i].stores[j];
        if (s.how == Store::How::Set) continue;
        reduced.push_back({fmt::format("sums{}_{}", i, j), &s});
        line(indent, fmt::format("{} of_rows{}_{}[{}], *const sums{}_{} = of_rows{}_{};", block_reduction(s.how), i, j, r.tile, i, j, i, j));
      }
    }
    line(indent, fmt::format("in_blocks.template operator()<{}>([=](int row, int first, int columns, const float* block) __attribute__((always_inline)) {{", columns));
    line(indent + 2, fmt::format("[[maybe_unused]] const int {} = {} + row;", t, t0));
    for (size_t i = begin; i < end; ++i) {
      comment(indent + 2, p.blocks[i]);
      line(indent + 2, "{");
      out_ += emit_block_nest(p_, names, p.blocks[i], static_cast<int>(i), indent + 4);
      line(indent + 2, "}");
    }
    line(indent, "});");
    if (reduced.empty()) return;
    line(indent, fmt::format("for (int {} = {}; {} < {}1; ++{}) {{", t, t0, t, t, t));
    for (const auto& [name, store] : reduced) {
      const std::string offset = names.offset(store->place, nullptr, {});
      line(indent + 2, fmt::format("{}[{}] = {}[{} - {}].total();", names.buffer(store->place.buffer), offset, name, t, t0));
    }
    line(indent, "}");
  }

  /// Several products that are added in one pass.
  void joint_product(int indent, const Product& p, const Names& names, const Region& r) {
    std::string terms;
    auto add = [&](const Axis& k, const Place& a, const Place& b) {
      terms += fmt::format(", kernel::term<{}>({}, {}, {})", k.size, pointer(a, names, r, {p.m, k}), stride_along(p_, a, k), pointer(b, names, r, {}));
    };
    add(p.k, p.a, p.b);
    for (const ProductTerm& t : p.more) add(t.k, t.a, t.b);
    line(indent, fmt::format("kernel::add_products_t{}<{}>({}, {}, {}{});", p.bf16 ? "_bf16" : "", p.n.size, p.m.size, pointer(p.c, names, r, {p.m, p.n}), stride_along(p_, p.c, p.m), terms));
  }

  void product(int indent, const Step& s, const Names& names, const Region& r, bool by_row) {
    if (!s.product.more.empty()) return joint_product(indent, s.product, names, r);
    if (!s.product.blocks.empty()) return product_in_blocks(indent, s.product, names, r);
    if ((streams_ || (joined_ && by_row)) && takes_streams(p_, s, r)) return product_of_streams(indent, s, names, r, by_row);
    const Product& p = s.product;
    const bool m_rows = r.has_rows && p.m == r.row, k_rows = r.has_rows && p.k == r.row;
    const int64_t a_m = stride_along(p_, p.a, p.m), a_k = stride_along(p_, p.a, p.k), c_m = stride_along(p_, p.c, p.m);
    std::string m = m_rows ? rows(r, by_row) : std::to_string(p.m.size), k = k_rows ? rows(r, by_row) : std::to_string(p.k.size);
    std::string a = pointer(p.a, names, r, {p.m, p.k}), b = pointer(p.b, names, r, {}), c = pointer(p.c, names, r, {p.m, p.n});
    const char* bf16 = p.bf16 ? "_bf16" : "";
    if (!s.reaches.empty()) {
      const Names::Trip rows = names.trip(p.m, s.reaches), inner = names.trip(p.k, s.reaches), columns = names.trip(p.n, s.reaches);
      if (!rows.whole) {
        m = fmt::format("{} - {}", rows.last, rows.first);
        a += fmt::format(" + {} * {}", a_m, rows.first);
        c += fmt::format(" + {} * {}", c_m, rows.first);
      }
      const bool contiguous = a_k == 1 && !k_rows;
      line(indent, fmt::format("kernel::product{}_part{}<{}>({{{}, {}}}, {{{}, {}}}, {}, {}, {}, {}, {}, {}, {});", contiguous ? "" : "_t", bf16, p.accumulate, inner.first, inner.whole ? k : inner.last, columns.first,
                               columns.last, m, k, a, contiguous ? a_m : a_k, b, c, c_m));
    } else if (a_k == 1 && !k_rows) {
      line(indent, fmt::format("kernel::product{}<{}, {}, {}>({}, {}, {}, {}, {}, {});", bf16, p.n.size, p.k.size, p.accumulate, m, a, a_m, b, c, c_m));
    } else {
      line(indent, fmt::format("kernel::product_t{}<{}, {}>({}, {}, {}, {}, {}, {}, {});", bf16, p.n.size, p.accumulate, m, k, a, a_k, b, c, c_m));
    }
  }

  void pack(int indent, const Step& s, const Names& names, const Region& r, bool before) {
    const Pack& p = s.pack;
    const bool k_rows = r.has_rows && p.k == r.row && !before;
    std::string src = pointer(p.src, names, r, {p.k, p.n}), dst = pointer(p.dst, names, r, {});
    const int64_t stride_k = stride_along(p_, p.src, p.k), stride_n = stride_along(p_, p.src, p.n);
    const char* bf16 = p.bf16 ? "_bf16" : "";
    const Names::Trip inner = names.trip(p.k, s.reaches), columns = names.trip(p.n, s.reaches);
    const std::string k = k_rows ? rows(r, false) : std::to_string(p.k.size);
    if (p.part == Pack::Part::NewColumns) {
      line(indent, fmt::format("kernel::pack_columns{}({}, {}, {}, {}, call->first, call->last, {});", bf16, src, stride_k, stride_n, k, dst));
    } else if (p.part == Pack::Part::NewRows) {
      line(indent, fmt::format("kernel::pack_rows{}({}, {}, {}, {}, {}, call->first, call->last, {});", bf16, src, stride_k, stride_n, k, p.n.size, dst));
    } else if (!columns.whole) {
      line(indent, fmt::format("kernel::pack_columns({}, {}, {}, {}, {}, {}, {});", src, stride_k, stride_n, k, columns.first, columns.last, dst));
    } else if (!inner.whole) {
      line(indent, fmt::format("kernel::pack_rows({}, {}, {}, {}, {}, {}, {}, {});", src, stride_k, stride_n, k, p.n.size, inner.first, inner.last, dst));
    } else {
      const bool shared = p_.buffers[p.dst.buffer].space == Space::Shared && !within_layer_;  // `prepare` has all threads
      const char* team = shared ? "kernel::team_of(call), " : "";
      line(indent, fmt::format("kernel::pack{}({}{}, {}, {}, {}, {}, {});", bf16, team, src, stride_k, stride_n, k, p.n.size, dst));
    }
  }

  void choose(int indent, const Choose& c, const Names& names) {
    Place src = c.src, dst = c.dst;
    for (Place* p : {&src, &dst}) {
      for (Index& i : p->indices) std::erase_if(i.terms, [&](const auto& t) { return t.first == c.axis; });
    }
    std::string from = fmt::format("{} + {}", names.buffer(src.buffer), names.offset(src, nullptr, {}));
    std::string to = fmt::format("{} + {}", names.buffer(dst.buffer), names.offset(dst, nullptr, {}));
    if (c.op == Op::Argmax) {
      line(indent, fmt::format("*({}) = kernel::argmax({}, {}, {});", to, from, stride_along(p_, c.src, c.axis), c.axis.size));
    } else {
      line(indent, fmt::format("kernel::topk_mask({}, {}, {}, {}, {}, {});", from, stride_along(p_, c.src, c.axis), c.axis.size, c.k, to,
                               stride_along(p_, c.dst, c.axis)));
    }
  }

  void region(const Function& f, const Part& part, const Region& r, int number) {
    streams_ = f.row_range;
    once_a_step_ = f.runs_once_a_step();
    joined_ = joins_sequences(p_, f, r);
    commented_.clear();
    comment(0, r.nodes);
    commented_.clear();
    const Names names(p_, &r, false, streams_);
    const std::string layer = Names(p_, nullptr, false, streams_).variable(part.layer);
    out_ += fmt::format("void {}(const cpuflow_call* {}{}) {{\n", region_function(f, r, number), callers(), part.loops ? ", int " + layer : "");
    const size_t body = out_.size();
    region_body(f, r, names);
    if (part.loops && !has_word(layer, body)) out_.insert(body, "  (void)" + layer + ";\n");
    out_ += "}\n\n";
  }

  /// Whether the identifier stands in the code from an offset on.
  bool has_word(const std::string& word, size_t from) const {
    auto is_part = [&](size_t i) { return i < out_.size() && (std::isalnum(static_cast<unsigned char>(out_[i])) || out_[i] == '_'); };
    for (size_t at = out_.find(word, from); at != std::string::npos; at = out_.find(word, at + 1)) {
      if (!is_part(at - 1) && !is_part(at + word.size())) return true;
    }
    return false;
  }

  void region_body(const Function& f, const Region& r, const Names& names) {
    if (!joined_) declare_buffers(2, steps_of(r), names);
    if (joined_ && !r.before.empty()) {
      each_sequence(2, pointers(r.before), names, [&] { steps(4, r.before, Region{}, nullptr, false, true); });
    } else {
      steps(2, r.before, Region{}, nullptr, false, true);
    }
    if (!r.has_rows) {
      for (const Group& g : r.groups) steps(2, g.steps, r, nullptr, false, false);
      return;
    }
    const std::string v = Names(p_, &r, true, streams_).row(), v0 = v + "0", v1 = v + "1";
    const bool range = f.row_range && ranged(r.row);
    const std::string low = range ? "call->first" : r.chunk ? fmt::format("call->first / {}", r.chunk) : "0";
    const std::string high = range ? "call->last" : r.complete ? fmt::format("call->last / {}", r.chunk) : r.chunk ? fmt::format("(call->last - 1) / {} + 1", r.chunk) : std::to_string(r.row.size);
    if (r.direction < 0) {
      line(2, fmt::format("for (int {} = ({} - 1) / {} * {}; {} >= 0; {} -= {}) {{", v0, r.row.size, r.tile, r.tile, v0, v0, r.tile));
    } else {
      line(2, fmt::format("for (int {} = {}; {} < {}; {} += {}) {{", v0, low, v0, high, v0, r.tile));
    }
    line(4, fmt::format("const int {} = {} + {} < {} ? {} + {} : {};", v1, v0, r.tile, high, v0, r.tile, high));
    for (size_t i = 0, end; i < r.groups.size(); i = end) {
      const Group& g = r.groups[i];
      end = i + 1;
      if (g.steps.empty()) continue;
      if (!joined_) {
        group(4, g, r);
      } else if (joins_sequences(p_, g, r)) {
        each_row(4, r, [&] { joined_steps(6, g.steps, r); });
      } else {
        std::vector<const Step*> all = pointers(g.steps);
        for (; end < r.groups.size() && !joins_sequences(p_, r.groups[end], r); ++end) {
          for (const Step& s : r.groups[end].steps) all.push_back(&s);
        }
        each_sequence(4, all, names, [&] {
          for (size_t j = i; j < end; ++j) {
            if (!r.groups[j].steps.empty()) group(6, r.groups[j], r);
          }
        });
      }
    }
    line(2, "}");
  }

  void each_row(int indent, const Region& r, const std::function<void()>& body) {
    const std::string v = Names(p_, &r, true, streams_).row(), v0 = v + "0", v1 = v + "1";
    if (r.direction < 0) line(indent, fmt::format("for (int {} = {} - 1; {} >= {}; --{}) {{", v, v1, v, v0, v));
    else line(indent, fmt::format("for (int {} = {}; {} < {}; ++{}) {{", v, v0, v, v1, v));
    body();
    line(indent, "}");
  }

  void group(int indent, const Group& g, const Region& r) {
    if (!g.by_row) return steps(indent, g.steps, r, &r, false, false);
    each_row(indent, r, [&] { steps(indent + 2, g.steps, r, &r, true, false); });
  }

  static std::vector<const Step*> pointers(const std::vector<Step>& steps) {
    std::vector<const Step*> out;
    for (const Step& s : steps) out.push_back(&s);
    return out;
  }

  /// What sequences that run together do one after the other.
  void each_sequence(int indent, const std::vector<const Step*>& all, const Names& names, const std::function<void()>& body) {
    line(indent, "for (int sequence = 0; sequence < kernel::sequences_of(calls); ++sequence) {");
    line(indent + 2, "const cpuflow_call* const call = calls + sequence;");
    declare_buffers(indent + 2, all, names);
    body();
    line(indent, "}");
  }

  /// The steps of a row of sequences that run together: products take the row of each.
  void joined_steps(int indent, const std::vector<Step>& all, const Region& r) {
    const Names names(p_, &r, true, false);
    for (size_t i = 0, end; i < all.size(); i = end) {
      end = i + 1;
      if (takes_streams(p_, all[i], r)) {
        line(indent, "{");
        declare_buffers(indent + 2, {&all[i]}, names, callers());
        step(indent + 2, all[i], names, r, true, false);
        line(indent, "}");
        continue;
      }
      while (end < all.size() && !takes_streams(p_, all[end], r)) ++end;
      const std::vector<Step> run(all.begin() + static_cast<long>(i), all.begin() + static_cast<long>(end));
      each_sequence(indent, pointers(run), names, [&] { steps(indent + 2, run, r, &r, true, false); });
    }
  }

  void function(const Function& f) {
    out_ += fmt::format("\nextern \"C\" void {}(const cpuflow_call* call) {{\n", f.name);
    int number = 0;
    line(2, "const kernel::FlushToZero flush;");
    if (multiplies_bf16(f)) line(2, "const kernel::Tiles tiles;");
    // rows that are not there yet may be multiplied by zero, so they must be numbers
    if (f.row_range && f.state_floats > 0) {
      line(2, "for (int stream = 0; stream < call->streams && call->first == 0; ++stream) {");
      line(4, fmt::format("kernel::fill(call->lane + stream * call->lane_step, {}, 0.0f);", f.state_floats));
      line(2, "}");
    }
    const bool several = f.runs_for_sequences() && sequences_together(p_) > 1;
    for (const Part& part : f.parts) {
      int indent = 2;
      std::string layer = Names(p_, nullptr, false, streams_).variable(part.layer);
      if (part.loops) {
        if (part.direction > 0) line(2, fmt::format("for (int {} = 0; {} < {}; ++{}) {{", layer, layer, part.layer.size, layer));
        else line(2, fmt::format("for (int {} = {}; {} >= 0; --{}) {{", layer, part.layer.size - 1, layer, layer));
        indent = 4;
      }
      for (const Region& r : part.regions) {
        const bool of_each = several && !joins_sequences(p_, f, r);
        std::string call = fmt::format("{}{}({}{})", of_each ? "for (int i = 0; i < kernel::sequences_of(call); ++i) " : "", region_function(f, r, number), of_each ? "call + i" : "call", part.loops ? ", " + layer : "");
        if (options_.profile) {
          line(indent, fmt::format("{{ const uint64_t begin = __builtin_readcyclecounter(); {}; if (call->profile) call->profile[{}] += __builtin_readcyclecounter() - begin; }}", call, regions_++));
        } else {
          line(indent, call + ";");
        }
        ++number;
      }
      if (part.loops) line(2, "}");
    }
    if (f.parts.empty()) line(2, "(void)call;");
    out_ += "}\n";
  }

  const LoopProgram& p_;
  const Graph& g_;
  const EmitOptions& options_;
  std::string out_;
  int regions_ = 0;
  bool streams_ = false;  // the function at hand continues several sequences at once
  std::vector<std::string> commented_;  // the statements that the last comment names
  bool joined_ = false;   // the region at hand is one that several sequences go through together
  bool once_a_step_ = false;   // the function at hand has all threads
  bool within_layer_ = false;  // the steps at hand run on one of them
};

}  // namespace

std::string products_text(bool bf16, bool emulate_tiles) {
  std::vector<std::string_view> parts = {embedded::kernel_prelude, embedded::kernel_products};
  if (bf16) {
    parts.push_back(embedded::kernel_bf16);
    if (emulate_tiles) parts.push_back("#define CPUFLOW_EMULATES_TILES");
    parts.push_back(embedded::kernel_tiles);
    parts.push_back(embedded::kernel_bf16_products);
  }
  return fmt::format("{}\n", fmt::join(parts, "\n"));
}

std::string emit_cpp(const LoopProgram& program, const Graph& graph, const EmitOptions& options) { return Emitter(program, graph, options).emit(); }

}  // namespace cpuflow::codegen
