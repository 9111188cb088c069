/* Words as a linguist's tokenizer cuts them: runs of letters, digits and marks; runs of one other character. */
#ifndef TOKENS_H
#define TOKENS_H

#include "words.h"

enum { OTHER = 0, SYMBOL = 1, WITH_LETTER = 2 };

/* Cut data[start:end] into tokens; their number. `kinds` has room for as many as `out`. */
int64_t split_tokens(const uint8_t *data, int64_t start, int64_t end, const uint16_t *classes, Spans *out,
                     int64_t *kinds);

#endif
