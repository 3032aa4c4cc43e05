#include "runtime/train/metrics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "runtime/atomic_file.h"

namespace cpuflow::rt {
namespace {

/// The lines of a metrics file that belong to a run of `first` steps.
std::string kept_lines(const std::string& text, int64_t first) {
  std::string out;
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin)) {
    const std::string line = text.substr(begin, end - begin);
    const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("step") || !object["step"].is_number_integer()) continue;
    const int64_t step = object["step"].get<int64_t>();
    // Steps count from 0; evaluations and events tell how many steps were done.
    if (object.contains("lr") ? step < first : step <= first && !object.contains("event")) out += line + "\n";
  }
  return out;
}

/// A line without the time that it was written at.
nlohmann::json without_time(const std::string& line) {
  nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
  if (object.is_object()) object.erase("elapsed_s");
  return object;
}

}  // namespace

MetricsFile::MetricsFile(std::string path, std::vector<std::string> terms, std::vector<std::string> watch, int64_t first)
    : path_(std::move(path)), terms_(std::move(terms)), watch_(std::move(watch)) {
  const std::string kept = first > 0 && exists(path_) ? kept_lines(read_file(path_), first) : "";
  write_file_atomically(path_, kept);
  if (kept.size() > 1) last_evaluation_ = without_time(kept.substr(kept.rfind('\n', kept.size() - 2) + 1));
  descriptor_ = open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (descriptor_ < 0) throw FileError(fmt::format("{}: cannot be opened for writing: {}", path_, std::strerror(errno)));
}

MetricsFile::~MetricsFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::string MetricsFile::line(const nlohmann::ordered_json& object) {
  if (failed_) return "";
  const std::string text = object.dump() + "\n";
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = write(descriptor_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      failed_ = true;
      return fmt::format("{}: cannot write: {}; the run goes on without a record", path_, std::strerror(errno));
    }
    done += static_cast<size_t>(written);
  }
  return "";
}

std::string MetricsFile::step(const StepReport& r) {
  nlohmann::ordered_json object{{"step", r.step}, {"tokens", r.tokens}, {"elapsed_s", r.elapsed_s}, {"lr", r.lr}};
  for (size_t i = 0; i < terms_.size(); ++i) object["loss." + terms_[i]] = r.losses[i];
  object["grad_norm"] = r.grad_norm;
  object["tok_s"] = r.tokens_per_s;
  return line(object);
}

std::string MetricsFile::evaluation(const EvalReport& r) {
  nlohmann::ordered_json object{{"step", r.step}, {"tokens", r.tokens}, {"elapsed_s", r.elapsed_s}};
  for (size_t i = 0; i < terms_.size(); ++i) object["val." + terms_[i]] = r.values.losses[i];
  if (r.values.ppl > 0) object["val.ppl"] = r.values.ppl;
  if (r.values.bits_per_byte > 0) object["val.bits_per_byte"] = r.values.bits_per_byte;
  object["val.windows"] = r.values.windows;
  for (size_t i = 0; i < watch_.size(); ++i) object["watch." + watch_[i]] = r.values.watch[i];
  nlohmann::json record = without_time(object.dump());
  if (record == last_evaluation_) return "";
  last_evaluation_ = std::move(record);
  return line(object);
}

std::string MetricsFile::event(int64_t step, const std::string& name, const std::string& message) {
  return line({{"step", step}, {"event", name}, {"message", message}});
}

}  // namespace cpuflow::rt
