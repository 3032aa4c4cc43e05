#define TARGET portable
#include "tests/prelude/target_body.h"
