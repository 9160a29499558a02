#ifndef PLAIN_H
#define PLAIN_H

#ifdef __cplusplus
extern "C" {
#endif

#define PLAIN_VERSION "1.2"

typedef struct plain plain;

/* `class` and `new` are names in C. */
int plain_open(plain *class, const char *new);

#ifdef __cplusplus
}
#endif

#endif
