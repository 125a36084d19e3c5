/* first_start.h: a journal without plans gets those that ship, as if somebody had applied them.
 *
 * Thread safety: on the engine's thread. */
#ifndef ENGINE_FIRST_START_H
#define ENGINE_FIRST_START_H

#include "server/engine/executor.h"

/* Applies the plans of the .yaml files of `dir` if the world has none. dir NULL: does nothing. On failure no plan is
 * loaded. */
bool first_start_load_plans(const char *dir, struct turn *turn, GError **error);

#endif
