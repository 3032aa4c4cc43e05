#include "runtime/train/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <sstream>
#include <stdexcept>

#include "runtime/atomic_file.h"

namespace cpuflow::rt {
namespace {

/// A rate below the usual min_lr does not rise to that.
codegen::TrainSettings falling(codegen::TrainSettings train) {
  train.min_lr = std::min(train.min_lr, train.lr);
  return train;
}

double cosine(const codegen::TrainSettings& train, double progress) {
  return train.min_lr + (train.lr - train.min_lr) * 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, progress)));
}

}  // namespace

Schedule Schedule::by_steps(const codegen::TrainSettings& train, int64_t steps) {
  if (steps < 1) throw std::invalid_argument(fmt::format("{} steps: at least one step is needed", steps));
  Schedule out;
  out.train_ = falling(train);
  out.steps_ = steps;
  out.cosine_steps_ = train.cosine_steps > 0 ? train.cosine_steps : steps;
  return out;
}

Schedule Schedule::by_budget(const codegen::TrainSettings& train, double seconds) {
  if (!(seconds > 0)) throw std::invalid_argument(fmt::format("a budget of {} seconds: it must be above 0", seconds));
  Schedule out;
  out.kind_ = Kind::Budget;
  out.train_ = falling(train);
  out.budget_ = seconds;
  return out;
}

Schedule Schedule::by_record(std::vector<double> rates) {
  if (rates.empty()) throw std::invalid_argument("the recorded run has no step");
  Schedule out;
  out.kind_ = Kind::Replay;
  out.steps_ = static_cast<int64_t>(rates.size());
  out.rates_ = std::move(rates);
  return out;
}

Schedule::Plan Schedule::plan(int64_t step, double elapsed, double step_seconds) const {
  if (kind_ == Kind::Replay) return {rates_[static_cast<size_t>(std::min(step, steps_ - 1))], step + 1 >= steps_};
  if (kind_ == Kind::Steps) {
    const bool last = step + 1 >= steps_;
    if (step < train_.warmup_steps) return {train_.lr * static_cast<double>(step) / static_cast<double>(train_.warmup_steps), last};
    const double span = static_cast<double>(std::max<int64_t>(1, cosine_steps_ - train_.warmup_steps));
    return {cosine(train_, static_cast<double>(step - train_.warmup_steps) / span), last};
  }
  if (elapsed + 2 * step_seconds > budget_) return {train_.min_lr, true};
  // Time runs until the last step begins, so that its rate continues the curve.
  const double end = budget_ - step_seconds, warmup = train_.warmup_share * budget_;
  if (elapsed < warmup) return {train_.lr * elapsed / warmup, false};
  return {cosine(train_, (elapsed - warmup) / std::max(1e-9, end - warmup)), false};
}

double Schedule::seconds_left(int64_t next_step, double elapsed, double step_seconds) const {
  if (kind_ == Kind::Budget) return std::max(0.0, budget_ - elapsed);
  return step_seconds > 0 ? static_cast<double>(steps_ - next_step) * step_seconds : -1;
}

std::vector<double> recorded_rates(const std::string& path) {
  std::map<int64_t, double> rates;
  std::istringstream lines(read_file(path));
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_object()) throw FileError(fmt::format("{}:{}: damaged: this line is no JSON object", path, number));
    const auto step = object.find("step"), lr = object.find("lr");
    if (step == object.end() || !step->is_number_integer() || lr == object.end() || !lr->is_number()) continue;
    rates[step->get<int64_t>()] = lr->get<double>();
  }
  std::vector<double> out;
  for (const auto& [step, rate] : rates) {
    if (step != static_cast<int64_t>(out.size()))
      throw FileError(fmt::format("{}: the record lacks step {}; it cannot be replayed", path, out.size()));
    out.push_back(rate);
  }
  if (out.empty()) throw FileError(fmt::format("{}: the record has no step; it cannot be replayed", path));
  return out;
}

}  // namespace cpuflow::rt
