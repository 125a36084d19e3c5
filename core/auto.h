/* auto.h: g_autoptr for structs that have no typedef: `sb_auto(world) w = world_new(...);` is freed at the end of
 * scope. SB_AUTO_DEFINE(world, world_unref) beside the struct's own declaration makes it possible.
 *
 * Thread safety: as free_fn.
 */
#ifndef CORE_AUTO_H
#define CORE_AUTO_H

#include <stddef.h>

#define SB_AUTO_DEFINE(type, free_fn)                                                                                  \
    static inline void sb_auto_##type(struct type **slot)                                                              \
    {                                                                                                                  \
        if (*slot != NULL)                                                                                             \
            free_fn(*slot);                                                                                            \
    }
#define sb_auto(type) __attribute__((cleanup(sb_auto_##type))) struct type *

#endif
