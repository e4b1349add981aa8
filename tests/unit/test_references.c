/* What sections say of each other. */
#include "config/references.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BASE                                                                             \
    "[listener web]\naddress = 127.0.0.1:443\nbackend = app\n"                           \
    "[certificate main]\nchain = /c.pem\nkey = /k.pem\n"                                 \
    "[backend app]\naddress = 127.0.0.1:1\n[backend api]\naddress = 127.0.0.1:2\n"       \
    "[clients staff]\nca = /ca.pem\n"                        /* lines 1 to 12 */
#define USE "[route use]\nsni = use.test\nclients = staff\n" /* so that it is used */

static struct config *config;
static struct report report;

static int clean(void **state)
{
    (void)state;
    config_free(config);
    config = NULL;
    report_close(&report);
    return 0;
}

/* Exactly this sentence, or none. */
static void assert_reports(const char *text, const char *sentence)
{
    config = config_read(text, strlen(text), "p.ini", &report);
    assert_non_null(config);
    for (size_t i = 0; i < report.count; i++) {
        if (sentence == NULL || strcmp(report.entries[i].text, sentence) != 0) {
            print_message("%s\n", report.entries[i].text);
        }
    }
    assert_int_equal(report.count, sentence != NULL);
    if (sentence != NULL) {
        assert_string_equal(report.entries[0].text, sentence);
    }
}

static void references_become_pointers(void **state)
{
    (void)state;
    assert_reports(BASE "[route r]\nlistener = web\nsni = a.test\nbackend = api\n"
                        "certificate = main\nclients = staff\n",
                   NULL);
    const struct config_route *route = &config->routes[0];
    assert_ptr_equal(route->listener, &config->listeners[0]);
    assert_ptr_equal(route->backend, &config->backends[1]);
    assert_ptr_equal(route->clients, &config->clients[0]);
    assert_ptr_equal(config->listeners[0].backend, &config->backends[0]);
}

static void unknown_backend_is_reported(void **state)
{
    (void)state;
    assert_reports(BASE USE "[route r]\nsni = a.test\nbackend = apid\n",
                   "p.ini:18: route \"r\": backend \"apid\" is not defined (did you mean "
                   "\"api\"?)");
}

static void unknown_listener_is_reported(void **state)
{
    (void)state;
    assert_reports(BASE USE "[route r]\nlistener = wbe\nsni = a.test\n",
                   "p.ini:17: route \"r\": listener \"wbe\" is not defined (did you mean "
                   "\"web\"?)");
}

static void unknown_certificate_is_reported(void **state)
{
    (void)state;
    assert_reports(BASE USE "[route r]\nsni = a.test\ncertificate = main, xyz\n",
                   "p.ini:18: route \"r\": certificate \"xyz\" is not defined");
}

static void unknown_policy_is_reported(void **state)
{
    (void)state;
    assert_reports(BASE USE "[listener b]\naddress = 127.0.0.1:444\nbackend = app\n"
                            "clients = stuff\n",
                   "p.ini:19: listener \"b\": clients \"stuff\" is not defined (did you "
                   "mean \"staff\"?)");
}

static void policy_that_guards_nothing_is_a_warning(void **state)
{
    (void)state;
    assert_reports(BASE,
                   "p.ini:11: clients \"staff\": no listener and no route names this "
                   "policy, so it guards nothing");
    assert_int_equal(report.errors, 0);
}

static void second_route_for_one_name_is_reported(void **state)
{
    (void)state;
    assert_reports(
        BASE USE "[route r]\nsni = a.test\n[route s]\nsni = b.test, A.test\n",
        "p.ini:19: route \"s\": \"a.test\" is already routed by route \"r\" in "
        "line 16");
}

static void second_route_for_all_names_is_reported(void **state)
{
    (void)state;
    assert_reports(
        BASE USE "[route r]\nbackend = app\n[route s]\nbackend = api\n",
        "p.ini:18: route \"s\": every name is already routed by route \"r\" in "
        "line 16");
}

static void routes_that_differ_in_listener_or_protocol_are_fine(void **state)
{
    (void)state;
    assert_reports(BASE USE
                   "[route r]\nsni = a.test\n[route s]\nsni = a.test\nalpn = h2\n"
                   "[route t]\nlistener = web\nsni = a.test\n",
                   NULL);
}

static void routes_need_a_backend_from_somewhere(void **state)
{
    (void)state;
    assert_reports(
        "[listener web]\naddress = 127.0.0.1:443\n"
        "[certificate main]\nchain = /c.pem\nkey = /k.pem\n"
        "[backend a]\naddress = 127.0.0.1:1\n[backend b]\naddress = "
        "127.0.0.1:2\n[route r]\nsni = a.test\n",
        "p.ini:10: route \"r\": neither it nor listener \"web\" names a backend "
        "(choose one: backend = a)");
}

static void twice_named_route_is_reported(void **state)
{
    (void)state;
    assert_reports(BASE USE "[route use]\nsni = x.test\n",
                   "p.ini:16: section [route use] is already in line 13");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(references_become_pointers, clean),
        cmocka_unit_test_teardown(unknown_backend_is_reported, clean),
        cmocka_unit_test_teardown(unknown_listener_is_reported, clean),
        cmocka_unit_test_teardown(unknown_certificate_is_reported, clean),
        cmocka_unit_test_teardown(unknown_policy_is_reported, clean),
        cmocka_unit_test_teardown(policy_that_guards_nothing_is_a_warning, clean),
        cmocka_unit_test_teardown(second_route_for_one_name_is_reported, clean),
        cmocka_unit_test_teardown(second_route_for_all_names_is_reported, clean),
        cmocka_unit_test_teardown(routes_that_differ_in_listener_or_protocol_are_fine,
                                  clean),
        cmocka_unit_test_teardown(routes_need_a_backend_from_somewhere, clean),
        cmocka_unit_test_teardown(twice_named_route_is_reported, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
