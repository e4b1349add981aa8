/*
 * The pages of the demo: one request and the facts about its connection, as HTML and as
 * JSON.  Everything that came from a client is escaped here.
 */
#ifndef PROXY_DEMO_PAGE_H
#define PROXY_DEMO_PAGE_H

#include <event2/buffer.h>
#include <event2/http.h>

#include "proxy/demo_facts.h"

/* `nonce` is for the Content-Security-Policy that lets the page's own style in. */
void demo_page_write_html(struct evbuffer *out, struct evhttp_request *request,
                          const struct demo_facts *facts, const char *nonce);

void demo_page_write_json(struct evbuffer *out, struct evhttp_request *request,
                          const struct demo_facts *facts);

/* A page that says only `title` and `text`, both ours. */
void demo_page_write_note(struct evbuffer *out, const char *title, const char *text,
                          const char *nonce);

#endif
