#pragma once
// Catch2 has other headers in version 2 (Debian 12) than in version 3; matchers are not used.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
