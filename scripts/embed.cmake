# cmake -DNAME=x -DIN=file -DOUT=x.cpp -P embed.cmake: the bytes of a file as `extern const std::string_view x`.
file(READ ${IN} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
file(WRITE ${OUT} "#include <string_view>\nnamespace cpuflow::embedded {\nstatic constexpr char bytes[] = {\n${bytes}'\\0'};\nextern const std::string_view ${NAME};\nconst std::string_view ${NAME}{bytes, sizeof(bytes) - 1};\n}\n")
