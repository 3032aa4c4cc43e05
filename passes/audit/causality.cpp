#include "passes/audit/audits.h"
#include "passes/audit/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace cpuflow::passes::audit {
using namespace ir;

namespace {

/// A logit that a token of a later position, or of another sequence, changes: where, and the sentence that says so; "" if none was found.
struct Witness {
  int64_t position = -1;
  std::string sentence;
};

/// Whether changing a token of `sequence`, or all from there to `end`, changes a logit of sequence 0 at a position before `before`.
Witness witness(const Graph& g, const ParamRanges& ranges, int64_t sequence, int64_t place, int64_t before, int64_t end = 0) {
  const NodeId logits = output_node(g, "logits");
  const int64_t vocabulary = vocabulary_of(g);
  const Axes& axes = g[logits].axes;
  std::vector<Tensors> texts;
  for (unsigned draw = 0; draw < 3; ++draw) texts.push_back(drawn_text(g, vocabulary, draw));
  for (const int64_t token : compared_tokens(g, vocabulary)) {
    for (const uint64_t step : {1, 2}) texts.push_back(with_frequent_token(texts[0], token, step));
  }
  for (unsigned draw = 0; draw < texts.size(); ++draw) {
    const Tensors parameters = drawn_parameters(g, draw == 1 ? 1.0 : 0.3, draw, ranges);
    const Tensors& text = texts[draw];
    Tensors other = with_changed_token(text, sequence, place, vocabulary);
    for (int64_t behind = place + 1; behind < end; ++behind) other = with_changed_token(other, sequence, behind, vocabulary);
    const Tensor a = values_of(g, {logits}, parameters, text)[logits], b = values_of(g, {logits}, parameters, other)[logits];
    const int64_t row = axes.back().size;
    for (int64_t i = 0; i < before * row; ++i) {  // sequence 0 comes first
      const double x = a.data[static_cast<size_t>(i)], y = b.data[static_cast<size_t>(i)];
      if (std::abs(x - y) <= 1e-9 * (std::abs(x) + std::abs(y)) || !std::isfinite(x) || !std::isfinite(y)) continue;
      const std::string what = end > place + 1 ? fmt::format("other tokens at positions {} to {} change", place, end - 1)
                                               : fmt::format("another token at position {}{} changes", place, sequence == 0 ? "" : " of another sequence");
      return {i / row, fmt::format("{} logits[{}, {}] from {:.9g} to {:.9g}", what, i / row, i % row, x, y)};
    }
  }
  return {};
}

}  // namespace

std::string shown_leak(const Graph& g, const ParamRanges& ranges) {
  const int64_t T = time_axis(g).size;
  return witness(g, ranges, 0, T / 2, T / 2, T).sentence;
}

Finding causality(const Graph& g, const Graph* numbers, const ParamRanges& ranges) {
  const Elements elements(g, Elements::Apart::Positions);
  const NodeId logits = output_node(g, "logits");
  const Axis time = time_axis(g);
  const int T = static_cast<int>(time.size), others = T + 1;  // sources: tokens 0 .. T, and the other sequences
  const Dependence dependence(elements, {logits}, T + 2, [&](const Element& e) -> std::vector<int> {
    const Node& n = g[e.node];
    if (n.op == Op::Input) return {static_cast<int>(elements.index(e, time)) + (n.text == "targets")};
    for (const Axis& a : n.from) {
      if (a.kind == AxisKind::Batch) return {others};
    }
    return {};
  });
  Finding out;
  out.verdict = Verdict::Proved;
  const auto explain = [&](const Element& e, int s) {
    out.chain = links(elements, dependence.chain(e, s), time);
    out.reason = s == others ? fmt::format("the logits of position {} depend on other sequences", elements.index(e, time))
                             : fmt::format("the logits of position {} depend on token {}", elements.index(e, time), s);
  };
  for (int64_t at = 0; at < elements.count(logits); ++at) {
    const Element e{logits, at};
    const int64_t t = elements.index(e, time);
    for (int s : dependence.sources(e)) {
      if (s <= t) continue;
      if (out.chain.empty()) explain(e, s);
      out.verdict = Verdict::Unknown;
      if (!numbers || out.witness != "") continue;
      const int64_t there = time_axis(*numbers).size;
      if (t >= there || (s != others && s > there)) continue;
      const Witness shown = s == others ? witness(*numbers, ranges, 1, std::min<int64_t>(t, there - 1), there) : witness(*numbers, ranges, 0, s, s);
      out.witness = shown.sentence;
      if (out.witness != "") {  // what is shown is what is explained
        for (int64_t other = 0; other < elements.count(logits); ++other) {
          const Element changed{logits, other};
          if (elements.index(changed, time) != shown.position) continue;
          const std::vector<int> sources = dependence.sources(changed);
          if (std::find(sources.begin(), sources.end(), s) != sources.end()) explain(changed, s);
        }
      }
      if (out.witness == "" && s != others) numbers = t > 2 ? nullptr : numbers;  // a few tries
    }
    if (out.witness != "") break;
  }
  if (out.witness != "") out.verdict = Verdict::Refuted;
  if (out.verdict == Verdict::Unknown) out.reason += " by their equations, but no numbers were found that show it; what is left out is best left out by a condition, as in softmax(s | s <= t: ..)";
  return out;
}

}  // namespace cpuflow::passes::audit
