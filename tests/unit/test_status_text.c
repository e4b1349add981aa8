/* The status for people: what it warns of, and that it stays readable whatever is in it.
 */
#include "proxy/status_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/status_lab.h"

static struct status_lab *const lab = &status_lab;

static void write_plain(FILE *out, const struct status *status)
{
    status_write_text(out, status, false);
}

static void write_colored(FILE *out, const struct status *status)
{
    status_write_text(out, status, true);
}

static void says(const char *part)
{
    const char *text = status_lab_text(write_plain);
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text);
}

static void does_not_say(const char *part)
{
    const char *text = status_lab_text(write_plain);
    if (strstr(text, part))
        fail_msg("there is \"%s\" in:\n%s", part, text);
}

static int begin(void **state)
{
    int begun = status_lab_begin(state);
    lab->status.wall_ms = UINT64_C(1700000000000);
    lab->status.ticket_ms = 10000000;
    lab->master.started_ms = lab->status.wall_ms - 90061000;
    lab->certificate.not_after_ms = lab->status.wall_ms + UINT64_C(90) * 86400000;
    return begun;
}

static void is_quiet_while_all_is_well(void **state)
{
    (void)state;
    does_not_say("WARNING");
    says("  serving  ");
    says("up 1d1h\n");
}

static void warns_of_a_refused_reload_with_its_reason(void **state)
{
    (void)state;
    lab->master.last_reload_ms = lab->status.wall_ms - 65000;
    lab->master.last_reload_result = RELOAD_REFUSED;
    stats_text_set(&lab->master.last_reload_error, "proxy.ini:7: unknown key \"adress\"");
    says("WARNING  reload refused 1m05s ago: proxy.ini:7: unknown key \"adress\"\n");
}

static void warns_of_processes_that_died(void **state)
{
    (void)state;
    lab->master.process_count = 2;
    lab->master.processes[0] =
        (struct stats_process){.role = "worker",
                               .pid = 7,
                               .started_ms = lab->status.wall_ms - 2000,
                               .restarts = 3,
                               .serving = 1};
    lab->master.processes[1] = (struct stats_process){
        .role = "keyholder", .index = 1, .started_ms = lab->status.wall_ms - 9000};
    says("WARNING  worker 0 was restarted 3 times, last 2s ago\n");
    says("WARNING  keyholder 1 is not running\n");
}

static void warns_of_certificates_that_end(void **state)
{
    (void)state;
    lab->certificate.not_after_ms = lab->status.wall_ms + UINT64_C(3) * 86400000;
    says("WARNING  1 certificate expires within 7 days\n");
    lab->certificate.not_after_ms = lab->status.wall_ms - 1;
    says("WARNING  1 certificate has expired\n");
    lab->certificate.served = 0;
    says("WARNING  1 certificate is not served\n");
}

static void warns_of_backends_that_are_down(void **state)
{
    (void)state;
    stats_backend_of(&lab->pages[1], "api")->down = 1;
    says("WARNING  backend \"api\" is down, say 1 of 2 workers\n");
}

static void warns_of_a_window_that_is_not_kept(void **state)
{
    (void)state;
    lab->config.tls.window_ms = 3600000;
    lab->config.tls.tls12_max_lifetime_ms = LIFETIME_UNLIMITED;
    lab->config.tls.unanswered_rekey = UNANSWERED_KEEP;
    says("WARNING  TLS 1.2 connections may outlive the window");
    says("WARNING  clients that do not renew their keys are kept");
}

static void says_that_it_drains(void **state)
{
    (void)state;
    lab->master.state = MASTER_DRAINING;
    says("WARNING  no new clients are taken: draining\n");
}

static void shows_the_age_of_ticket_keys(void **state)
{
    (void)state;
    lab->master.window_ms = lab->config.tls.window_ms = 3600000;
    lab->master.rotation_due_ms = lab->status.ticket_ms + 600000;
    lab->master.ticket_keys[0] =
        (struct stats_ticket_key){.made_ms = lab->status.ticket_ms - 1200000,
                                  .ends_ms = lab->status.ticket_ms + 2400000};
    lab->master.ticket_keys[1] =
        (struct stats_ticket_key){.made_ms = 0, .ends_ms = lab->status.ticket_ms - 1};
    says("window         1h00m; ticket keys aged 20m00s; next rotation in 10m00s\n");
}

static void names_of_hosts_come_before_numbers(void **state)
{
    static const char *const names[] = {"192.0.2.1", "2001:db8::1", "app.example",
                                        "*.app.example"};
    (void)state;
    lab->certificate.names = names;
    lab->certificate.name_count = 4;
    says("  app.example, *.app.example, 192.0.2.1 and 1 more\n");
}

static void long_lists_are_cut(void **state)
{
    static const char *names[200];
    (void)state;
    for (size_t i = 0; i < 200; i++)
        names[i] = "some-name.of.medium.length.example";
    lab->certificate.names = names;
    lab->certificate.name_count = 200;
    says(" and 199 more\n");
}

static void color_is_for_what_is_wrong(void **state)
{
    (void)state;
    assert_null(strchr(status_lab_text(write_colored), '\033'));
    lab->master.state = MASTER_DRAINING;
    assert_non_null(strstr(status_lab_text(write_colored), "\033[31mWARNING"));
    assert_null(strchr(status_lab_text(write_plain), '\033'));
}

static void a_page_full_of_anything_is_survived(void **state)
{
    (void)state;
    memset(&lab->master, 0xff, sizeof(lab->master));
    memset(lab->pages, 0xff, sizeof(lab->pages));
    assert_true(strlen(status_lab_text(write_plain)) > 0);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(is_quiet_while_all_is_well),
        TEST(warns_of_a_refused_reload_with_its_reason),
        TEST(warns_of_processes_that_died),
        TEST(warns_of_certificates_that_end),
        TEST(warns_of_backends_that_are_down),
        TEST(warns_of_a_window_that_is_not_kept),
        TEST(says_that_it_drains),
        TEST(shows_the_age_of_ticket_keys),
        TEST(names_of_hosts_come_before_numbers),
        TEST(long_lists_are_cut),
        TEST(color_is_for_what_is_wrong),
        TEST(a_page_full_of_anything_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
