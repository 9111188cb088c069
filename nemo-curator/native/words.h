/* Words, lines and paragraphs as spans with hashes. Positions are bytes, lengths are characters. */
#ifndef WORDS_H
#define WORDS_H

#include "hashes.h"
#include "utf8.h"

/* Room for the spans of one text. */
typedef struct {
    int64_t *starts, *ends, *lengths;
    uint64_t *hashes;
    int64_t room;
} Spans;

bool spans_make(Spans *spans, int64_t room);
void spans_free(Spans *spans);

/* Cut data[start:end] into words as Python's str.split() has them; their number. */
int64_t split_words(const uint8_t *data, int64_t start, int64_t end, Spans *out);

/* Cut data[start:end] into lines, stripped of ASCII white space, of which none is blank; their number. Starts and ends
   alone are set. */
int64_t split_lines(const uint8_t *data, int64_t start, int64_t end, Spans *out);

/* Join neighbouring lines in place into paragraphs, which blank lines part; their number. */
int64_t join_paragraphs(const uint8_t *data, int64_t lines, Spans *spans);

/* Hash each of the first `count` spans, and count its characters. */
void hash_spans(const uint8_t *data, int64_t count, Spans *spans);

#endif
