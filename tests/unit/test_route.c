/* Routes of configurations as people write them. */
#include "proxy/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BASE                                                                             \
    "[listener web]\naddress = 127.0.0.1:443\nbackend = main\n"                          \
    "[listener other]\naddress = 127.0.0.1:444\nbackend = other\n"                       \
    "[certificate c]\nchain = /c.pem\nkey = /k.pem\n"                                    \
    "[clients staff]\nca = /ca.pem\n[clients robots]\nca = /ca.pem\n"                    \
    "[backend main]\naddress = 127.0.0.1:1\n[backend other]\naddress = 127.0.0.1:2\n"    \
    "[backend a]\naddress = 127.0.0.1:3\n[backend b]\naddress = 127.0.0.1:4\n"

static struct config *config;
static struct route_table *table;
static struct report report;
static struct route route;

static int end(void **state)
{
    (void)state;
    route_table_free(table);
    config_free(config);
    table = NULL;
    config = NULL;
    report_close(&report);
    report = (struct report){0};
    return 0;
}

static void read_text(const char *text)
{
    config = config_read(text, strlen(text), "proxy.ini", &report);
    assert_non_null(config);
    for (size_t i = 0; i < report.count && report.errors > 0; i++)
        print_message("%s\n", report.entries[i].text);
    assert_int_equal(report.errors, 0);
    table = route_table_new(config);
    assert_non_null(table);
}

/* `alpn` is names with blanks between them. */
static enum route_result look(size_t listener, const char *sni, const char *alpn)
{
    struct hello hello = {.sni = ""};
    (void)snprintf(hello.sni, sizeof(hello.sni), "%s", sni);
    while (*alpn) {
        size_t length = strcspn(alpn, " ");
        hello.alpn[hello.alpn_len++] = (uint8_t)length;
        memcpy(hello.alpn + hello.alpn_len, alpn, length);
        hello.alpn_len += length;
        alpn += length + (alpn[length] == ' ');
    }
    route = (struct route){0};
    return route_find(table, &config->listeners[listener], &hello, &route);
}

/* The backend that a client of a listener comes to. */
static const char *backend_of(size_t listener, const char *sni, const char *alpn)
{
    assert_int_equal(look(listener, sni, alpn), ROUTE_FOUND);
    return route.backend->section.name;
}

static void listener_serves_who_has_no_route(void **state)
{
    (void)state;
    read_text(BASE "[route r]\nsni = a.test\nbackend = a\n");
    assert_string_equal(backend_of(0, "x.test", ""), "main");
    assert_null(route.section);
    assert_string_equal(backend_of(1, "", ""), "other");
    assert_string_equal(backend_of(1, "a.test", ""), "a");
    assert_string_equal(route.section->section.name, "r");
}

static void exact_name_goes_before_wildcard_before_none(void **state)
{
    (void)state;
    read_text(BASE
              "[route none]\nbackend = other\n[route wild]\nsni = *.test\nbackend = b\n"
              "[route exact]\nsni = x.test, y.test\nbackend = a\n");
    assert_string_equal(backend_of(0, "x.test", ""), "a");
    assert_string_equal(backend_of(0, "y.test", ""), "a");
    assert_string_equal(backend_of(0, "z.test", ""), "b");
    assert_string_equal(backend_of(0, "z.z.test", ""), "other");
    assert_string_equal(backend_of(0, "test", ""), "other");
    assert_string_equal(backend_of(0, "", ""), "other");
}

static void star_in_a_hello_is_no_wildcard(void **state)
{
    (void)state;
    read_text(BASE "[route wild]\nsni = *.test\nbackend = b\n");
    assert_string_equal(backend_of(0, ".test", ""), "main");
}

static void routes_of_a_listener_go_before_those_of_all(void **state)
{
    (void)state;
    read_text(BASE "[route all]\nsni = x.test\nbackend = a\n"
                   "[route own]\nlistener = other\nsni = x.test\nbackend = b\n");
    assert_string_equal(backend_of(0, "x.test", ""), "a");
    assert_string_equal(backend_of(1, "x.test", ""), "b");
}

static void name_goes_before_listener(void **state)
{
    (void)state;
    read_text(BASE "[route all]\nsni = x.test\nbackend = a\n"
                   "[route own]\nlistener = other\nsni = *.test\nbackend = b\n");
    assert_string_equal(backend_of(1, "x.test", ""), "a");
    assert_string_equal(backend_of(1, "y.test", ""), "b");
    assert_string_equal(backend_of(0, "y.test", ""), "main");
}

static void what_a_route_leaves_out_is_the_listeners(void **state)
{
    (void)state;
    read_text("[listener web]\naddress = 127.0.0.1:443\nclients = staff\nalpn = h2\n"
              "[certificate c]\nchain = /c.pem\nkey = /k.pem\n"
              "[clients staff]\nca = /ca.pem\n[clients robots]\nca = /ca.pem\n"
              "[backend app]\naddress = 127.0.0.1:1\n"
              "[route r]\nsni = a.test\n[route s]\nsni = b.test\nclients = robots\n"
              "alpn = x\ncertificate = c\n");
    assert_string_equal(backend_of(0, "a.test", "h2"), "app");
    assert_string_equal(route.clients->section.name, "staff");
    assert_string_equal(route.protocol, "h2");
    assert_int_equal(route.certificates->count, 0);
    assert_string_equal(backend_of(0, "b.test", "h2 x"), "app");
    assert_string_equal(route.clients->section.name, "robots");
    assert_string_equal(route.protocol, "x");
    assert_true(text_list_has(route.certificates, "c"));
}

static void servers_order_of_protocols_decides(void **state)
{
    (void)state;
    read_text(BASE "[route r]\nsni = a.test\nalpn = h2, http/1.1\n");
    assert_int_equal(look(0, "a.test", "http/1.1 h2"), ROUTE_FOUND);
    assert_string_equal(route.protocol, "h2");
    assert_int_equal(look(0, "a.test", "spdy/1 http/1.1"), ROUTE_FOUND);
    assert_string_equal(route.protocol, "http/1.1");
}

static void protocols_choose_among_routes_of_one_name(void **state)
{
    (void)state;
    read_text(BASE "[route one]\nsni = a.test\nalpn = acme-tls/1\nbackend = a\n"
                   "[route two]\nsni = a.test\nbackend = b\n");
    assert_string_equal(backend_of(0, "a.test", "acme-tls/1"), "a");
    assert_string_equal(backend_of(0, "a.test", "h2"), "b");
    assert_null(route.protocol);
    assert_string_equal(backend_of(0, "a.test", ""), "b");
}

static void client_without_protocols_gets_the_first_route_of_a_name(void **state)
{
    (void)state;
    read_text(BASE "[route one]\nsni = a.test\nalpn = h2\nbackend = a\n"
                   "[route two]\nsni = a.test\nalpn = mqtt\nbackend = b\n");
    assert_string_equal(backend_of(0, "a.test", ""), "a");
    assert_null(route.protocol);
    assert_string_equal(backend_of(0, "a.test", "mqtt"), "b");
}

static void other_protocols_do_not_lead_around_a_route(void **state)
{
    (void)state;
    read_text(BASE "[route guarded]\nsni = a.test\nalpn = h2\nclients = staff\n"
                   "[route wild]\nsni = *.test\nbackend = b\n");
    assert_int_equal(look(0, "a.test", "http/1.1"), ROUTE_NO_PROTOCOL);
    assert_null(route.backend);
}

static void listeners_protocols_bind_without_a_route(void **state)
{
    (void)state;
    read_text("[listener web]\naddress = 127.0.0.1:443\nalpn = h2\nalpn = http/1.1\n"
              "[certificate c]\nchain = /c.pem\nkey = /k.pem\n"
              "[backend app]\naddress = 127.0.0.1:1\n");
    assert_int_equal(look(0, "", "mqtt"), ROUTE_NO_PROTOCOL);
    assert_int_equal(look(0, "", ""), ROUTE_FOUND);
    assert_null(route.protocol);
    assert_int_equal(look(0, "", "http/1.1"), ROUTE_FOUND);
    assert_string_equal(route.protocol, "http/1.1");
}

static void protocol_names_are_compared_as_a_whole(void **state)
{
    (void)state;
    read_text(BASE "[route r]\nsni = a.test\nalpn = h2\n");
    assert_int_equal(look(0, "a.test", "h h22 H2"), ROUTE_NO_PROTOCOL);
}

static void listener_without_backend_serves_its_routes_only(void **state)
{
    (void)state;
    read_text("[listener web]\naddress = 127.0.0.1:443\n"
              "[certificate c]\nchain = /c.pem\nkey = /k.pem\n"
              "[backend a]\naddress = 127.0.0.1:1\n[backend b]\naddress = 127.0.0.1:2\n"
              "[route r]\nsni = a.test\nbackend = a\n");
    assert_string_equal(backend_of(0, "a.test", ""), "a");
    assert_int_equal(look(0, "b.test", ""), ROUTE_NO_NAME);
    assert_int_equal(look(0, "", "h2"), ROUTE_NO_NAME);
}

static void longest_name_is_found(void **state)
{
    char name[HELLO_SNI_MAX];
    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    name[1] = '.';
    read_text(BASE "[route r]\nsni = *.test\nbackend = a\n");
    assert_string_equal(backend_of(0, name, ""), "main");
}

static void thousand_routes_are_told_apart(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fputs(BASE, out);
    for (int i = 0; i < 1000; i++)
        fprintf(out, "[route r%d]\nsni = h%d.test, *.h%d.test\nbackend = %s\n", i, i, i,
                i % 2 ? "a" : "b");
    fclose(out);
    read_text(text);
    free(text);
    for (int i = 0; i < 1000; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%sh%d.test", i % 3 ? "" : "x.", i);
        assert_string_equal(backend_of(0, name, ""), i % 2 ? "a" : "b");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(listener_serves_who_has_no_route, end),
        cmocka_unit_test_teardown(exact_name_goes_before_wildcard_before_none, end),
        cmocka_unit_test_teardown(star_in_a_hello_is_no_wildcard, end),
        cmocka_unit_test_teardown(routes_of_a_listener_go_before_those_of_all, end),
        cmocka_unit_test_teardown(name_goes_before_listener, end),
        cmocka_unit_test_teardown(what_a_route_leaves_out_is_the_listeners, end),
        cmocka_unit_test_teardown(servers_order_of_protocols_decides, end),
        cmocka_unit_test_teardown(protocols_choose_among_routes_of_one_name, end),
        cmocka_unit_test_teardown(client_without_protocols_gets_the_first_route_of_a_name,
                                  end),
        cmocka_unit_test_teardown(other_protocols_do_not_lead_around_a_route, end),
        cmocka_unit_test_teardown(listeners_protocols_bind_without_a_route, end),
        cmocka_unit_test_teardown(protocol_names_are_compared_as_a_whole, end),
        cmocka_unit_test_teardown(listener_without_backend_serves_its_routes_only, end),
        cmocka_unit_test_teardown(longest_name_is_found, end),
        cmocka_unit_test_teardown(thousand_routes_are_told_apart, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
