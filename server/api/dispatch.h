/* dispatch.h: what a listener calls for each request (call.c); data is the struct api.
 *
 * Thread safety: the thread of the listener whose request it is.
 */
#ifndef API_DISPATCH_H
#define API_DISPATCH_H

struct request;
void dispatch_begin(void *data, struct request *request);
void dispatch_handle(void *data, struct request *request);
void dispatch_finish(void *data, struct request *request);
void dispatch_end(void *data, struct request *request);

#endif
