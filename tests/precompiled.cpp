// Makes CMake build the precompiled header that the test programs share.
