#pragma once
#include "ir/graph.h"
#include "passes/audit/dependence.h"
#include "passes/audit/intervals.h"

#include <string>
#include <vector>

/// What can be proved about a model from its equations.  Graphs are those of the front end, before any pass.
namespace cpuflow::passes::audit {

enum class Verdict { Proved, Refuted, Unknown };

/// A statement on the way of a value.
struct Link {
  ir::SourceLoc at;
  int64_t position = -1;  // of the element, or -1
};

/// What one audit found.
struct Finding {
  Verdict verdict = Verdict::Unknown;
  std::string reason;       // one sentence; "" where there is nothing to add
  std::vector<Link> chain;  // refuted or unknown: the statements, from the result to the cause
  std::string witness;      // refuted: numbers that show it
  std::vector<std::string> details;  // each thing found, if there are several
};

/// Do the logits of position t depend on tokens up to t of their own sequence only?  Refuted where, beside a chain of equations, a changed
/// token changes an earlier logit; a chain without such numbers is unknown.
/// `numbers`: the same model at sizes that are quick to evaluate, with two sequences at least; null: no witness is looked for.
Finding causality(const ir::Graph& model, const ir::Graph* numbers, const ParamRanges& ranges);

/// What other tokens in the second half of a sequence change in the first, in numbers; "" where nothing was found to change.
std::string shown_leak(const ir::Graph& numbers, const ParamRanges& ranges);

/// Do losses compare the logits of position t with token t + 1?  Found are logits that are read at, or multiplied with the one-hot form of, a token's number.
Finding horizon(const ir::Graph& model);

/// Are the logits the same in a longer sequence?  `longer`: the same model with more positions.  Proved by following both Graphs side by
/// side; refuted where the values differ too (`numbers`, `longer_numbers`: at sizes that are quick to evaluate, or null).
Finding sequence_end(const ir::Graph& model, const ir::Graph& longer, const ir::Graph* numbers, const ir::Graph* longer_numbers, const ParamRanges& ranges);

/// Does every loss term reach a parameter, and is every parameter reached by the total?  `trained`: names of the parameters that training changes.
Finding gradient_paths(const ir::Graph& model, const std::vector<std::string>& trained);

/// Can an argument of a division, logarithm, square root or power leave its domain, or an exponential overflow?  Refuted where some
/// parameters in their ranges make it so, and what comes of it reaches the logits or the loss.  `numbers` as above.
Finding numeric_range(const ir::Graph& model, const ir::Graph* numbers, const ParamRanges& ranges);

/// Are there values for positions beyond T?  Refuted by a parameter whose shape grows with T.
Finding position_range(const ir::Graph& model, const ir::Graph& longer);

const char* verdict_name(Verdict verdict);

// What the audits share.

/// The first position axis of the tokens.
ir::Axis time_axis(const ir::Graph& graph);
/// Statements of a chain of elements; neighbours of the same statement and position are one link, and rounds are left out.
std::vector<Link> links(const Elements& elements, const std::vector<Element>& chain, const ir::Axis& time);
/// Of what a report shows of a statement.
constexpr size_t kStatementWidth = 120;

}  // namespace cpuflow::passes::audit
