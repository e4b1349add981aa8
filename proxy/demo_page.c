#include "proxy/demo_page.h"

#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dde2e8;"
    "--back:#f5f7f9;--card:#fff;--good:#0a7a4b;--good-back:#e3f5ec;--fair:#8a5a00;"
    "--fair-back:#fdf1d8}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#98a3b3;--line:#2c3440;"
    "--back:#12161c;--card:#1a2028;--good:#5fd6a0;--good-back:#12342a;--fair:#e9b95c;"
    "--fair-back:#3a2e14}}"
    "*{box-sizing:border-box}"
    "body{margin:0;padding:3rem 1.25rem;background:var(--back);color:var(--ink);"
    "font:16px/1.55 system-ui,sans-serif}"
    "main{max-width:46rem;margin:0 auto}"
    "h1{margin:0 0 .25rem;font-size:1.75rem;letter-spacing:-.01em}"
    "h2{margin:0 0 .75rem;font-size:.8rem;color:var(--soft);text-transform:uppercase;"
    "letter-spacing:.08em}"
    "p{margin:.5rem 0}.lead{color:var(--soft);margin-bottom:1.75rem}"
    "section{background:var(--card);border:1px solid var(--line);border-radius:12px;"
    "padding:1.25rem 1.5rem;margin-bottom:1.25rem}"
    "table{width:100%;border-collapse:collapse;font-size:.95rem}"
    "td,th{padding:.4rem 0;border-top:1px solid var(--line);text-align:left;"
    "vertical-align:top}"
    "tr:first-child>*{border-top:0}"
    "th{width:11rem;padding-right:1rem;font-weight:500;color:var(--soft)}"
    "td,code,pre{font-family:ui-monospace,monospace;overflow-wrap:anywhere}"
    "pre{margin:0 0 .75rem;white-space:pre-wrap}"
    ".mark{display:inline-block;padding:.15rem "
    ".65rem;border-radius:1rem;font-size:.85rem;"
    "font-weight:600}"
    ".good{color:var(--good);background:var(--good-back)}"
    ".fair{color:var(--fair);background:var(--fair-back)}"
    "footer{color:var(--soft);font-size:.9rem}a{color:inherit}";

static const char *name_or(const char *text, const char *otherwise)
{
    return text[0] != '\0' ? text : otherwise;
}

static void add(struct evbuffer *out, const char *text)
{
    evbuffer_add(out, text, strlen(text));
}

static void add_html(struct evbuffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '&')
            add(out, "&amp;");
        else if (*text == '<')
            add(out, "&lt;");
        else if (*text == '>')
            add(out, "&gt;");
        else if (*text == '"')
            add(out, "&quot;");
        else if (*text == '\'')
            add(out, "&#39;");
        else
            evbuffer_add(out, text, 1);
    }
}

/* Bytes past ASCII stand for themselves only if the client sent UTF-8, which nothing
 * promises: each is written as the character of that number (Latin-1). */
static void add_json(struct evbuffer *out, const char *text)
{
    add(out, "\"");
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte > 0x7e)
            evbuffer_add_printf(out, "\\u%04x", byte);
        else if (byte == '"' || byte == '\\')
            evbuffer_add_printf(out, "\\%c", byte);
        else
            evbuffer_add(out, text, 1);
    }
    add(out, "\"");
}

static const char *method_name(struct evhttp_request *request)
{
    switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_POST:
        return "POST";
    default:
        return "OTHER";
    }
}

static void start_page(struct evbuffer *out, const char *title, const char *nonce)
{
    evbuffer_add_printf(out,
                        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width\">\n"
                        "<title>%s</title>\n<style nonce=\"%s\">%s</style>\n<main>\n"
                        "<h1>%s</h1>\n",
                        title, nonce, style, title);
}

static void add_row(struct evbuffer *out, const char *name, const char *value)
{
    add(out, "<tr><th scope=\"row\">");
    add_html(out, name);
    add(out, "</th><td>");
    add_html(out, value);
    add(out, "</td></tr>\n");
}

static void add_secrecy(struct evbuffer *out, const struct demo_facts *facts)
{
    add(out,
        "<section>\n<h2>Forward secrecy</h2>\n"
        "<p>The keys of this connection were agreed on by a key exchange made for it "
        "alone. Whoever records the traffic now and steals the server&rsquo;s "
        "certificate key later still cannot read it.</p>\n");
    if (demo_facts_is_hybrid(facts))
        add(out,
            "<p><span class=\"mark good\">Post-quantum hybrid</span> The exchange joins "
            "X25519 with ML-KEM-768: a future quantum computer does not open the "
            "recording either.</p>\n");
    else
        add(out,
            "<p><span class=\"mark fair\">Classical</span> This client did not offer "
            "the post-quantum hybrid X25519MLKEM768, so the exchange is safe against "
            "today&rsquo;s computers only. A current browser offers it.</p>\n");
    add(out, "</section>\n");
}

static void add_facts(struct evbuffer *out, const struct demo_facts *facts)
{
    if (!facts->present) {
        add(out,
            "<section>\n<h2>Connection</h2>\n<p>This request came straight to the demo "
            "application, not through Pawl, so nothing is known about its client. Open "
            "the https address that <code>pawl demo</code> printed.</p>\n"
            "</section>\n");
        return;
    }
    add(out, "<section>\n<h2>Connection</h2>\n<table>\n");
    add_row(out, "Client", name_or(facts->client, "not told"));
    add_row(out, "Connected to", name_or(facts->server, "not told"));
    add_row(out, "Server name (SNI)", name_or(facts->sni, "none sent"));
    add_row(out, "TLS version", name_or(facts->tls_version, "not told"));
    add_row(out, "Cipher", name_or(facts->tls_cipher, "not told"));
    add_row(out, "Key exchange group", name_or(facts->tls_group, "not told"));
    if (facts->alpn[0] != '\0')
        add_row(out, "Protocol (ALPN)", facts->alpn);
    add(out, "</table>\n</section>\n");
    if (facts->tls_version[0] != '\0')
        add_secrecy(out, facts);
}

void demo_page_write_html(struct evbuffer *out, struct evhttp_request *request,
                          const struct demo_facts *facts, const char *nonce)
{
    start_page(out, "Pawl is working", nonce);
    add(out,
        "<p class=\"lead\">This page comes from the demo application behind Pawl, and "
        "shows your request as the application got it.</p>\n");
    add_facts(out, facts);
    add(out, "<section>\n<h2>Request</h2>\n<pre>");
    add(out, method_name(request));
    add(out, " ");
    add_html(out, evhttp_request_get_uri(request));
    evbuffer_add_printf(out, " HTTP/%d.%d</pre>\n<table>\n", request->major,
                        request->minor);
    const struct evkeyval *header = evhttp_request_get_input_headers(request)->tqh_first;
    for (; header != NULL; header = header->next.tqe_next)
        add_row(out, header->key, header->value);
    add(out, "</table>\n</section>\n<footer>The same as <a href=\"/json\">JSON</a>. Also "
             "here: "
             "<code>/bytes/N</code>, <code>/slow/MS</code>, <code>POST /echo</code>."
             "</footer>\n</main>\n");
}

void demo_page_write_note(struct evbuffer *out, const char *title, const char *text,
                          const char *nonce)
{
    start_page(out, title, nonce);
    evbuffer_add_printf(
        out,
        "<p class=\"lead\">%s</p>\n<p><a href=\"/\">To the start</a></p>\n"
        "</main>\n",
        text);
}

static void add_member(struct evbuffer *out, const char *name, const char *value)
{
    evbuffer_add_printf(out, "\"%s\":", name);
    if (value[0] != '\0')
        add_json(out, value);
    else
        add(out, "null");
    add(out, ",");
}

void demo_page_write_json(struct evbuffer *out, struct evhttp_request *request,
                          const struct demo_facts *facts)
{
    evbuffer_add_printf(out, "{\"proxied\":%s,", facts->present ? "true" : "false");
    add_member(out, "client", facts->client);
    add_member(out, "server", facts->server);
    add_member(out, "sni", facts->sni);
    add_member(out, "alpn", facts->alpn);
    add_member(out, "tls_version", facts->tls_version);
    add_member(out, "tls_cipher", facts->tls_cipher);
    add_member(out, "tls_group", facts->tls_group);
    evbuffer_add_printf(out, "\"post_quantum\":%s,",
                        demo_facts_is_hybrid(facts) ? "true" : "false");
    add_member(out, "method", method_name(request));
    add_member(out, "target", evhttp_request_get_uri(request));
    add(out, "\"headers\":[");
    const struct evkeyval *header = evhttp_request_get_input_headers(request)->tqh_first;
    for (const char *comma = ""; header != NULL; header = header->next.tqe_next) {
        add(out, comma);
        add(out, "[");
        add_json(out, header->key);
        add(out, ",");
        add_json(out, header->value);
        add(out, "]");
        comma = ",";
    }
    add(out, "]}\n");
}
