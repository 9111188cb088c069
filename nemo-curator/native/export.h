/* What is seen from outside a library of kernels. */
#ifndef NEMO_EXPORT_H
#define NEMO_EXPORT_H

#define EXPORT __attribute__((visibility("default")))

#endif
