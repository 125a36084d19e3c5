/* migrations.h: the schemas of schema/sql/, embedded by the build (embed_sql.cmake). */
#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H

#include "server/store/db.h"

#define WEBHOOKS_FILE "webhooks.db" /* in the state folder */

extern const struct db_migration journal_migrations[];  /* journal-001.sql, ... */
extern const struct db_migration store_migrations[];    /* store-001.sql, ... */
extern const struct db_migration webhooks_migrations[]; /* webhooks-001.sql, ... */

#endif
