#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "passes/audit/audits.h"

namespace cpuflow::cli {

/// The findings of all audits of a model, in the order in which they are printed.
struct AuditReport {
  std::string path;
  std::vector<std::pair<std::string, passes::audit::Finding>> findings;  // causality, horizon, sequence_end, gradient, range, position
  std::vector<std::string> allow;                                        // of the model file
  std::string warnings;                                                  // of the front end: what nothing reads or runs; "" if there are none
  int64_t positions = 0;                                                 // sequences of so many positions were looked at
};

/// Audits a model file.  Its equations are looked at with as few positions as show every chunk and window twice.  Throws ir::ModelError.
AuditReport audit_model(const std::string& path, const std::map<std::string, std::string>& overrides);

/// Why it is not proved that logits are computed in the same way in a sequence of so many positions, which is more than the model has; empty where it is.
/// A size or a number that grows with T need not do so at once, as max(4, T // 8).
std::string why_no_longer(const std::string& path, const std::map<std::string, std::string>& overrides, int64_t positions);

/// The verdict of the audit of this name; unknown where the report has none.
passes::audit::Verdict verdict_of(const AuditReport& report, std::string_view name);

/// One finding a line, with the statements and numbers of what is not proved.
std::string audit_text(const AuditReport& report);
/// {"causality": {"verdict": "proved", ..}, ..}
nlohmann::ordered_json audit_json(const AuditReport& report);

/// The audits that are refuted, whose refutation forbids training, and that the model file does not allow; "" if there are none.
std::string audit_refusal(const AuditReport& report);
/// What everything printed about a model says whose refuted causality or horizon is allowed; "" if there is nothing.
std::string audit_warning(const AuditReport& report);
/// The same, and what stands beside losses of a model whose causality or horizon is neither proved nor refuted.
std::string audit_doubts(const AuditReport& report);
/// What training a model is likely to stumble over: where a proof of causality or horizon stops, a refuted gradient or range; "" if there is nothing.
std::string audit_notes(const AuditReport& report);

}  // namespace cpuflow::cli
