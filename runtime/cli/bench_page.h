#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cpuflow::cli {

/// What `bench --json` prints as a page of HTML that needs no other file: tokens a second as bars, and for each region of the fused and
/// the unfused program its time, arithmetic and traffic.
std::string bench_page(const nlohmann::ordered_json& report);

}  // namespace cpuflow::cli
