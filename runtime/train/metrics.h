#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/train/evaluate.h"

namespace cpuflow::rt {

/// A step that was made.
struct StepReport {
  int64_t step = 0;      // from 0
  int64_t steps = 0;     // of the run; 0 when the clock decides
  uint64_t tokens = 0;   // trained on so far, this step's included
  double elapsed_s = 0;  // at its end, since the start of the run; time between a stop and a resume is left out
  double lr = 0;
  std::vector<double> losses;  // one a term, means over the step
  double grad_norm = 0;        // before clipping
  double tokens_per_s = 0;     // of this step
  double seconds_left = -1;    // estimated; negative when unknown
};

/// An evaluation after `step` steps.
struct EvalReport {
  int64_t step = 0;
  uint64_t tokens = 0;
  double elapsed_s = 0;
  Evaluation values;
};

/// DIR/metrics.jsonl, one object a line.  A step: step tokens elapsed_s lr loss.<term> grad_norm tok_s, where step counts from 0 and
/// numbers are written to the last bit.  An evaluation: step (steps done) tokens elapsed_s val.<term> val.ppl val.bits_per_byte
/// val.windows watch.<name>. An event: step event message.  Each line is handed to the system when it is made, so killing the process loses none.
class MetricsFile {
 public:
  /// Continues a file from step `first`: lines of later steps, a half-written last line, and events are dropped.  With `first` 0 it begins anew.
  /// Throws FileError.
  MetricsFile(std::string path, std::vector<std::string> terms, std::vector<std::string> watch, int64_t first);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

  /// "" or, once, why lines cannot be written any more (disk full); training goes on.
  std::string step(const StepReport& report);
  /// Written once, though a run that is done is resumed.
  std::string evaluation(const EvalReport& report);
  std::string event(int64_t step, const std::string& name, const std::string& message);

 private:
  std::string line(const nlohmann::ordered_json& object);
  std::string path_;
  std::vector<std::string> terms_, watch_;
  int descriptor_ = -1;
  bool failed_ = false;
  nlohmann::json last_evaluation_;  // without its time
};

}  // namespace cpuflow::rt
