#define TARGET amx
#include "tests/prelude/target_body.h"
