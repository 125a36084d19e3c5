/* log.h: one line per event on standard error, message first, then fields (logfmt).
 *
 * Only programs log; library files return errors. A line that is not fatal says what happens next. Lines carry the
 * <priority> prefix of sd-daemon(3) when standard error is not a terminal, so that the system's journal sorts them.
 *
 * Thread safety: any thread; a line is one write(2).
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Lines above the level are dropped; INFO at the start. Call before threads are started. */
void log_set_level(enum log_level level);

/* message: a plain sentence. fields: printf format of `key=value` pairs, quoted by the caller where needed; "" for
 * none. */
void log_line(enum log_level level, const char *message, const char *fields, ...) __attribute__((format(printf, 3, 4)));

#define log_error(message, ...) log_line(LOG_LEVEL_ERROR, message, __VA_ARGS__)
#define log_warning(message, ...) log_line(LOG_LEVEL_WARNING, message, __VA_ARGS__)
#define log_info(message, ...) log_line(LOG_LEVEL_INFO, message, __VA_ARGS__)
#define log_debug(message, ...) log_line(LOG_LEVEL_DEBUG, message, __VA_ARGS__)

#endif
