/* Rows shared out among torch's own threads. */
#ifndef NEMO_SHARE_H
#define NEMO_SHARE_H

#include <stdint.h>

typedef void (*Work)(const void *task, int64_t first, int64_t last);

/* Do rows 0 to rows - 1, all here where they are too little work (`cost`: floats that are read) to wake others for. */
void share(Work work, const void *task, int64_t rows, int64_t cost);

#endif
