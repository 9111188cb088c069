/* Documents gathered into components by union-find with path halving (Tarjan, van Leeuwen 1984). */
#include "texts.h"

#define LABEL int32_t
#define NAMED(name) name##_32
#include "components.inc"
#undef LABEL
#undef NAMED

#define LABEL int64_t
#define NAMED(name) name##_64
#include "components.inc"
