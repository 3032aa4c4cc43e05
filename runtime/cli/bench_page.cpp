#include "runtime/cli/bench_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/cli/command.h"
#include "runtime/train/progress.h"

namespace cpuflow::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kStyle = R"(
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { margin-top: 2rem; font-size: 1.1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .15rem .6rem .15rem 0; text-align: right; border-bottom: 1px solid #e4e4e4; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; }
.bar { display: inline-block; height: .7rem; background: #2a6f97; vertical-align: baseline; }
.unfused .bar { background: #b5b5b5; }
li { font-family: ui-monospace, monospace; font-size: .8rem; }
)";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else out += c;
  }
  return out;
}

/// A bar of `share` of the widest one.
std::string bar(double share) { return fmt::format("<span class=\"bar\" style=\"width:{:.1f}rem\"></span>", 12 * std::clamp(share, 0.0, 1.0)); }

std::string speeds(const Json& report) {
  std::string out = "<table><tr><th>tokens a second</th><th></th><th></th><th>of the peak</th><th>fused / unfused</th></tr>\n";
  for (const auto& [work, fused] : report["fused"].items()) {
    if (!fused.is_object()) continue;
    const Json& unfused = report["unfused"][work];
    const double fast = fused["tokens_per_s"], slow = unfused["tokens_per_s"], widest = std::max(fast, slow);
    out += fmt::format("<tr><td>{}, fused</td><td>{}</td><td style=\"text-align:left\">{}</td><td>{:.1f} %</td><td>{:.2f}</td></tr>\n", escaped(work),
                       with_commas(fast), bar(fast / widest), 100 * fused["peak_fraction"].get<double>(), fast / slow);
    out += fmt::format("<tr class=\"unfused\"><td>unfused</td><td>{}</td><td style=\"text-align:left\">{}</td><td>{:.1f} %</td><td></td></tr>\n",
                       with_commas(slow), bar(slow / widest), 100 * unfused["peak_fraction"].get<double>());
  }
  return out + "</table>\n";
}

std::string regions(const Json& side, const std::string& kind) {
  const bool fused = kind == "fused";
  std::string out = fmt::format("<table class=\"{}\"><tr><th>region</th><th>time</th><th></th><th>us a token</th>{}<th>FLOP</th><th>bytes</th>{}<th>of peak</th></tr>\n", kind,
                                fused ? "<th>unfused</th>" : "", fused ? "<th>unfused</th>" : "");
  double widest = 1e-9;
  for (const Json& r : side["regions"]) widest = std::max(widest, r["share"].get<double>());
  for (const Json& r : side["regions"]) {
    const double share = r["share"];
    if (share < 0.002) continue;
    out += fmt::format("<tr><td>{}</td><td>{:.1f} %</td><td style=\"text-align:left\">{}</td><td>{:.2f}</td>{}<td>{}</td><td>{}</td>{}<td>{:.1f} %</td></tr>\n",
                       escaped(r["name"]), 100 * share, bar(share / widest), r["us_per_token"].get<double>(),
                       fused ? fmt::format("<td>{:.2f}</td>", r["unfused_us_per_token"].get<double>()) : "", rt::short_count(r["flops_per_token"]),
                       rt::short_count(r["bytes_per_token"]), fused ? fmt::format("<td>{}</td>", rt::short_count(r["unfused_bytes_per_token"])) : "",
                       100 * r["peak_fraction"].get<double>());
  }
  return out + "</table>\n";
}

}  // namespace

std::string bench_page(const Json& report) {
  const std::string model = escaped(report["model"]);
  std::string out = fmt::format("<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{} on {}</title><style>{}</style>\n", model,
                                report["target"].get<std::string>(), kStyle);
  out += fmt::format("<h1>{}</h1>\n<p>{}, {}, {} threads; medians of {} interleaved repetitions; best peak measured beside them: {:.1f} GFLOP/s.</p>\n",
                     model, report["target"].get<std::string>(), report["precision"].get<std::string>(), report["threads"].get<int>(),
                     report["repetitions"].get<int>(), report["peak"]["flops_per_s"].get<double>() / 1e9);
  out += speeds(report);
  out += "<h2>Where the time of forward and backward goes, fused</h2>\n" + regions(report["fused"], "fused");
  out += "<h2>and unfused</h2>\n" + regions(report["unfused"], "unfused");
  out += "<p>FLOP: 2 m n k of the region's products, for a token. Bytes: what its loops load and store outside registers; most of them are in caches. "
         "Time: of all threads together. Unfused: what the same values take in unfused code, where each has loops of its own.</p>\n<h2>Why it was not fused further, and other decisions</h2>\n<ul>\n";
  for (const Json& line : report["decisions"]) out += "<li>" + escaped(line) + "</li>\n";
  return out + "</ul></html>\n";
}

}  // namespace cpuflow::cli
