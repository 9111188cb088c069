/* Lines, paragraphs and their repeats as datatrove's rules count them. */
#ifndef DATATROVE_LINES_H
#define DATATROVE_LINES_H

#include "table.h"
#include "utf8.h"

typedef struct {
    int64_t newlines, characters;
} Extent;

/* Shares of the lines of str.splitlines that begin with a bullet, and that end in an ellipsis, into out[0] and [1]. */
void score_split_lines(const uint8_t *data, Span text, const uint16_t *classes, double *out);

/* Shares of lines with a mark at their end and of short ones into out[0] and [1]; the extent of the text. */
Extent score_line_ends(const uint8_t *data, Span text, const uint16_t *classes, double *out);

/* Repeated lines and their characters, repeated paragraphs and theirs, by all characters, into repeated[0] to [3];
   characters of repeated lines that are not blank, by those that are no newlines, into lines[0]. */
void score_repeats(const uint8_t *data, Span text, Extent extent, const uint16_t *classes, Table *table,
                   double *repeated, double *lines);

#endif
