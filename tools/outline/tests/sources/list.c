/* A list. */
#include <stdlib.h>
#include "list.h"

#define LIST_MAX 128
#define LIST_EACH(item, list) \
    for (item = (list)->first; item; item = item->next)

struct node {
    struct node *next;
    void *data;
};

typedef struct list {
    struct node *first, *last;
    size_t length;
    int (*compare)(const void *, const void *);
    union {
        int i;
        float f;
    } as;
} list_t;

typedef struct {
    int x;
    int y;
} point;

typedef unsigned long word;
typedef int (*visit_fn)(void *data, void *context);

enum color { RED, GREEN = 2, BLUE };

typedef enum { ON, OFF } state_t;

struct forward;

static int count = 0;
extern const char *names[];
static const int table[] = {
    1, 2, 3,
};
static int (*callback)(int);

int list_length(const list_t *list);
static void *grow(void *old,
                  size_t size);

list_t *list_new(void)
{
    struct local { int a; };
    static int calls;
    calls++;
    return calloc(1, sizeof(list_t));
}

static inline int
compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

#ifdef DEBUG
void list_dump(const list_t *list) {}
#else
#define list_dump(list) ((void)0)
#endif

int main(int argc, char **argv)
{
    return 0;
}
