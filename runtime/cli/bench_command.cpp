#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/atomic_file.h"
#include "runtime/cli/bench_page.h"
#include "runtime/cli/bench_program.h"
#include "runtime/cli/bench_regions.h"
#include "runtime/cli/model_options.h"
#include "runtime/cli/report.h"
#include "runtime/cli/tune.h"
#include "runtime/thread_pool.h"
#include "runtime/train/progress.h"

namespace cpuflow::cli {
namespace {

constexpr std::array kWorks{Work::Forward, Work::ForwardBackward, Work::Step, Work::Decode, Work::DecodeTogether};

const char* function_of(Work work) {
  return decodes(work) ? "rows" : work == Work::Forward ? "eval_sequence" : "train_sequence";
}

struct BenchOptions {
  std::shared_ptr<ModelOptions> model;
  int threads = 0, repetitions = 5;
  std::string html, tune;
};

/// Tokens a second, one figure a repetition.
using Samples = std::map<Work, std::vector<double>>;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

/// FLOPs of a token in products: the smaller of the two programs', so that work that fusing repeats is not counted as useful.
double useful_flops(const CompiledModel& fused, const CompiledModel& unfused, Work work) {
  const char* function = function_of(work);
  return std::min(token_cost(fused, function).product_flops, token_cost(unfused, function).product_flops);
}

/// The report as text, `what` first: the model, its sizes and how it is compiled.
void print_report(const nlohmann::ordered_json& report, const std::string& what, const std::string& exec) {
  const int threads = report["threads"];
  print_out(fmt::format("{} on {} thread{}, {}; medians of {} interleaved repetitions\n", what, threads, threads == 1 ? "" : "s", exec,
                        report["repetitions"].get<int>()));
  print_out(fmt::format("{} peak of {}, the best of what was measured beside them: {:.1f} GFLOP/s\n\n", report["precision"].get<std::string>(),
                        report["target"].get<std::string>(), report["peak"]["flops_per_s"].get<double>() / 1e9));
  print_out(fmt::format("{:18} {:>16} {:>10} {:>16} {:>10} {:>8} {:>12} {:>12}\n", "tokens/s", "fused", "of peak", "unfused", "of peak",
                        "ratio", "FLOP/token", "bytes/token"));
  for (const Work work : kWorks) {
    const nlohmann::ordered_json &a = report["fused"][work_name(work)], &b = report["unfused"][work_name(work)];
    const double fast = a["tokens_per_s"], slow = b["tokens_per_s"];
    print_out(fmt::format("{:18} {:>16} {:>9.1f}% {:>16} {:>9.1f}% {:>8.2f} {:>12} {:>12}\n", work_name(work), with_commas(fast),
                          100 * a["peak_fraction"].get<double>(), with_commas(slow), 100 * b["peak_fraction"].get<double>(), fast / slow,
                          rt::short_count(report["flops_per_token"][work_name(work)]), rt::short_count(a["bytes_per_token"].get<double>())));
  }
  if (const auto& weights = report["weights"]; weights["bytes_per_token"].get<double>() > 0) {
    print_out(fmt::format("\nA token of decode reads {}B of packed weights, which {} thread{} read{} at {:.1f} GB/s from the caches that hold them: {} tokens/s at most, of which decode reaches {:.0f} %.\n",
                          rt::short_count(weights["bytes_per_token"].get<double>()), threads, threads == 1 ? "" : "s", threads == 1 ? "s" : "", weights["read_bytes_per_s"].get<double>() / 1e9,
                          with_commas(weights["decode_limit_tokens_per_s"].get<double>()), 100 * weights["decode_fraction"].get<double>()));
  }
  print_out(
      "\nFLOP/token = sum over the model's products of 2 m n k / T, the smaller of the two programs' (what fusing computes twice is not "
      "counted);\n"
      "elementwise operations are not counted.  decode is one sequence, whose products the threads share; decode_16 is 16 sequences that share\n"
      "each pass over the weights.\n"
      "bytes/token: what the fused loops load and store outside registers.\n\nWhere the time of forward and backward goes, and what the same values take in unfused code\n");
  size_t longest = 0;
  for (const auto& r : report["fused"]["regions"]) longest = std::max(longest, r["name"].get_ref<const std::string&>().size());
  print_out(fmt::format("{:{}} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>8}\n", "", longest, "us/token", "unfused", "saved", "FLOP", "bytes", "unfused", "of peak"));
  double fused = 0, unfused = 0;
  for (const auto& r : report["fused"]["regions"]) {
    const double us = r["us_per_token"], before = r["unfused_us_per_token"];
    fused += us;
    unfused += before;
    if (std::max(us, before) < 0.005 * report["fused"]["us_per_token"].get<double>()) continue;
    print_out(fmt::format("{:{}} {:>8.2f} {:>10.2f} {:>10.2f} {:>10} {:>10} {:>10} {:>7.1f}%\n", r["name"].get<std::string>(), longest, us, before, before - us, rt::short_count(r["flops_per_token"]),
                          rt::short_count(r["bytes_per_token"]), rt::short_count(r["unfused_bytes_per_token"]), 100 * r["peak_fraction"].get<double>()));
  }
  print_out(fmt::format("{:{}} {:>8.2f} {:>10.2f} {:>10.2f}\n", "all", longest, fused, unfused, unfused - fused));
}

void bench(const BenchOptions& options, Status&) {
  if (!options.html.empty()) check_output(options.html, {{"MODEL", frontend::find_model(options.model->model)}});
  if (options.model->unfused) throw UsageError("bench compares fused with unfused code; leave out --unfused");
  CompileOptions compile = options.model->compile_options("bench");
  const int threads = options.threads > 0 ? options.threads : rt::available_threads();
  measure_choices(compile.overrides, load(compile).precision, compile, threads, options.tune.empty() ? 0 : parse_time("--tune", options.tune));
  auto program = [&](bool fuse, bool profile) {
    compile.fuse = fuse;
    compile.profile = profile;
    log_line(fmt::format("compiling {}{}", fuse ? "fused" : "unfused", profile ? " with counters" : ""));
    return std::make_unique<BenchProgram>(compile_and_warn(compile), threads, 1);
  };
  const std::unique_ptr<BenchProgram> fused = program(true, false), unfused = program(false, false);
  double weights = 0;  // that products read for a token
  for (const passes::RegionCosts& region : fused->model().costs) weights += region.function == "rows" ? region.panel_bytes : 0;
  PeakMeter meter(fused->model().target, fused->model().bf16, threads, static_cast<uint64_t>(weights));
  std::vector<double> peaks, reads;
  Samples fused_samples, unfused_samples;
  for (const Work work : kWorks) {  // warm up
    fused->run(work);
    unfused->run(work);
  }
  for (int repetition = 0; repetition < options.repetitions; ++repetition) {
    log_line(fmt::format("repetition {} of {}", repetition + 1, options.repetitions));
    peaks.push_back(meter.flops_per_second());
    reads.push_back(meter.bytes_per_second());
    for (const Work work : kWorks) {
      fused_samples[work].push_back(fused->speed(work));
      unfused_samples[work].push_back(unfused->speed(work));
    }
  }
  peaks.push_back(meter.flops_per_second());
  const double peak = *std::max_element(peaks.begin(), peaks.end());  // threads that start on one CPU share it until the system moves them
  const RegionTimes times = region_times(*program(true, true), *program(false, true));

  const CompiledModel &fused_model = fused->model(), &unfused_model = unfused->model();
  const char* precision = fused_model.bf16 ? "bf16" : "fp32";
  auto side_json = [&](const Samples& samples, const CompiledModel& model, const std::vector<RegionTime>& regions) {
    nlohmann::ordered_json out;
    for (const auto& [work, values] : samples) {
      const double rate = median(values);
      const char* function = function_of(work);
      out[work_name(work)] = {
          {"tokens_per_s", rate},
          {"best_tokens_per_s", *std::max_element(values.begin(), values.end())},
          {"peak_fraction", rate * useful_flops(fused_model, unfused_model, work) / peak},
          {"bytes_per_token", token_cost(model, function).bytes},
          {"executed_flops_per_token", token_cost(model, function).product_flops}};
    }
    out["regions"] = nlohmann::ordered_json::array();
    const double seconds = 1 / median(samples.at(Work::ForwardBackward)), unfused_seconds = 1 / median(unfused_samples.at(Work::ForwardBackward));  // a token
    out["us_per_token"] = 1e6 * seconds;
    for (const RegionTime& r : regions) {
      out["regions"].push_back({{"name", r.name},
                                {"share", r.share},
                                {"us_per_token", 1e6 * r.share * seconds},
                                {"flops_per_token", r.flops},
                                {"bytes_per_token", r.bytes},
                                {"peak_fraction", r.share > 0 ? r.flops / (r.share * seconds) / peak : 0}});
      if (&model != &fused_model) continue;
      out["regions"].back()["unfused_us_per_token"] = 1e6 * r.unfused_share * unfused_seconds;
      out["regions"].back()["unfused_bytes_per_token"] = r.unfused_bytes;
    }
    return out;
  };
  nlohmann::ordered_json report{
      {"model", fused_model.exe.manifest.model},
      {"sizes", fused_model.exe.manifest.dims},
      {"target", fused_model.target.name},
      {"precision", precision},
      {"threads", threads},
      {"repetitions", options.repetitions},
      {"fused", side_json(fused_samples, fused_model, times.fused)},
      {"unfused", side_json(unfused_samples, unfused_model, times.unfused)},
      {"peak", {{"flops_per_s", peak}, {"median_flops_per_s", median(peaks)}, {"threads", threads}}}};
  const double read = *std::max_element(reads.begin(), reads.end()), limit = weights > 0 ? read / weights : 0;
  report["weights"] = {{"bytes_per_token", weights},
                       {"read_bytes_per_s", read},
                       {"decode_limit_tokens_per_s", limit},
                       {"decode_fraction", limit > 0 ? median(fused_samples.at(Work::Decode)) / limit : 0}};
  for (const Work work : kWorks) report["flops_per_token"][work_name(work)] = useful_flops(fused_model, unfused_model, work);
  report["decisions"] = fused_model.explanation.lines;
  if (options.model->json) print_out(report.dump(2) + "\n");
  else print_report(report, fused_model.header, options.model->exec);
  if (options.html.empty()) return;
  rt::write_file_atomically(options.html, bench_page(report));
  log_line(fmt::format("written: {}", options.html));
}

}  // namespace

void add_bench(CLI::App& app, Status& status) {
  CLI::App* sub = app.add_subcommand("bench", "Speed of fused and unfused code, side by side, beside this machine's measured peak.");
  sub->footer("Example:\n  cpuflowc bench v5ln --threads 2\n  cpuflowc bench v5ln --json > speed.json\n  cpuflowc bench v5ln --precision bf16 --html speed.html\n");
  auto options = std::make_shared<BenchOptions>();
  options->model = add_model_options(*sub);
  sub->add_option("--threads", options->threads, "default: what affinity and the cgroup's quota allow")->check(whole_number(1, 1024));
  sub->add_option("--tune", options->tune, "measure other schedules for this long first, 30s: the fastest is what is shown")->type_name("TIME");
  sub->add_option("--html", options->html, "the figures as one page with pictures, for a browser")->type_name("FILE");
  sub->add_option("--repetitions", options->repetitions, "of each measurement")->capture_default_str()->check(whole_number(1, 1000));
  sub->callback([options, &status] { bench(*options, status); });
}

}  // namespace cpuflow::cli
