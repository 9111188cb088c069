/* MurmurHash3_x86_32 (Appleby, public domain) of every window of characters, as cuDF's MinHash hashes them. */
#ifndef MURMUR_H
#define MURMUR_H

#include "texts.h"

enum { MURMUR_TILE = 1024 };

/* Hash every window of `width` characters of data[start:end] into `out`; the number of windows. A text shorter than
   `width` is one window. `blocks` has room for MURMUR_TILE + width numbers. */
int64_t window_hashes(const uint8_t *data, int64_t start, int64_t end, int64_t width, uint32_t seed, uint32_t *blocks,
                      uint32_t *out);

#endif
