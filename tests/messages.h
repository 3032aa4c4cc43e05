#pragma once
#include <exception>
#include <string>

/// What `run` throws as std::exception, or "" when it throws nothing.
template <class Run>
std::string message_of(Run run) {
  try {
    run();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
